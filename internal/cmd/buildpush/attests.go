package buildpush

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// attestTypes are what BuildKit attests.
var attestTypes = []string{"provenance", "sbom"}

// parseAttests reads the attestations that are asked for. The inputs provenance
// and sbom count more than attests, as in docker/build-push-action.
func (j *job) parseAttests(context.Context) error {
	attests, err := parseAttests(j.options.Attests)
	errs := []error{err}
	for in, text := range map[string]string{"provenance": j.options.Provenance, "sbom": j.options.Sbom} {
		if text == "" {
			continue
		}
		attrs, err := parseAttest(in, text)
		if err != nil {
			errs = append(errs, errdefs.BadInputf(in, 0, "%w", err).WithHint("true, false, or attributes as %s", attestExample[in]))
			continue
		}
		attests[in] = attrs
	}
	j.attests = attests
	return errors.Join(errs...)
}

var attestExample = map[string]string{"provenance": "mode=max", "sbom": "generator=IMAGE"}

// attestAttrs are the attributes of an attestation; nil says that there shall
// be none.
type attestAttrs map[string]string

// parseAttests reads the lines of attests.
func parseAttests(records input.Records) (map[string]attestAttrs, error) {
	attests := map[string]attestAttrs{}
	var errs []error
	for _, r := range records {
		kind, attrs, err := parseAttestRecord(r)
		if _, twice := attests[kind]; err == nil && twice {
			err = fmt.Errorf("type=%s is given twice", kind)
		}
		if err != nil {
			errs = append(errs, at("attests", r.Line, err))
			continue
		}
		attests[kind] = attrs
	}
	return attests, errors.Join(errs...)
}

func parseAttestRecord(r input.Record) (kind string, attrs attestAttrs, err error) {
	var rest []input.Field
	for _, f := range r.Fields {
		if f.Key == "type" {
			kind = f.Value
			continue
		}
		rest = append(rest, f)
	}
	if !slices.Contains(attestTypes, kind) {
		return kind, nil, errdefs.New(errdefs.BadInput, "unknown type of attestation %q", kind).
			WithHint("write type=..., %s", keyList(attestTypes))
	}
	attrs, err = fieldsOfAttest(rest)
	return kind, attrs, err
}

// parseAttest reads the input of one attestation: a boolean or attributes.
func parseAttest(kind, text string) (attestAttrs, error) {
	if on, err := strconv.ParseBool(text); err == nil {
		if on && kind == "provenance" {
			return attestAttrs{"mode": "max"}, nil // BuildKit's own default, made visible
		}
		if on {
			return attestAttrs{}, nil
		}
		return nil, nil
	}
	fields, err := input.ParseRecord(text)
	if err != nil {
		return nil, err
	}
	return fieldsOfAttest(fields)
}

// fieldsOfAttest reads attributes. A boolean among them says whether there
// shall be an attestation, as in docker/build-push-action.
func fieldsOfAttest(fields []input.Field) (attestAttrs, error) {
	attrs := attestAttrs{}
	disabled := false
	for _, f := range fields {
		key, value := f.Key, f.Value
		on, err := strconv.ParseBool(value)
		switch {
		case key == "" && err == nil:
			disabled = !on
		case key == "":
			return nil, fmt.Errorf("%q is no attribute; expected true, false or key=value", value)
		case key == "disabled" && err != nil:
			return nil, fmt.Errorf("disabled=%q is neither true nor false", value)
		case key == "disabled":
			disabled = on
		default:
			attrs[key] = value
		}
	}
	if mode := attrs["mode"]; mode != "" && mode != "min" && mode != "max" {
		return nil, fmt.Errorf("unknown mode %q; expected min or max", mode)
	}
	if disabled {
		return nil, nil
	}
	return attrs, nil
}

// settleAttests says what is attested. Nothing is by default where an engine
// loads the image, since many can't hold attestations.
func (j *job) settleAttests() {
	if _, said := j.attests["provenance"]; !said && j.attestsByDefault() {
		j.attests["provenance"] = defaultProvenance(j.event)
	}
	if p := j.attests["provenance"]; p != nil && p["builder-id"] == "" && j.event.JobURL != "" {
		p["builder-id"] = j.event.JobURL
	}
	for kind, attrs := range j.attests {
		if attrs == nil {
			continue
		}
		if j.request.Attests == nil {
			j.request.Attests = map[string]string{}
		}
		j.request.Attests[kind] = attrs.String()
	}
}

func (j *job) attestsByDefault() bool {
	if j.options.NoDefaultAttestations || j.options.Reproducible || j.options.Load || j.request.Call.Method != "" {
		return false
	}
	for _, o := range j.outputs {
		if o.Type == "docker" {
			return false
		}
	}
	return true
}

// defaultProvenance is the attestation that is made unasked. mode=max records
// build arguments, so it is the default only where everyone may read the
// repository anyway.
func defaultProvenance(e ci.Event) attestAttrs {
	if e.Repository.Visibility == ci.Public {
		return attestAttrs{"mode": "max"}
	}
	return attestAttrs{"mode": "min", "inline-only": "true"}
}

// String is the attributes in CSV, in a fixed order: mode first, as people
// write it.
func (a attestAttrs) String() string {
	keys := slices.SortedFunc(maps.Keys(a), func(x, y string) int {
		if (x == "mode") != (y == "mode") {
			if x == "mode" {
				return -1
			}
			return 1
		}
		return strings.Compare(y, x) // inline-only before builder-id
	})
	var fields []string
	for _, key := range keys {
		fields = append(fields, key+"="+a[key])
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(fields) // a buffer takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}
