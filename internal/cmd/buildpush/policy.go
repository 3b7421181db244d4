package buildpush

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

var (
	policyKeys      = []string{"filename", "reset", "disabled", "strict", "log-level"}
	policyLogLevels = []string{"panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"}
)

// parsePolicies reads the source policies.
func (j *job) parsePolicies(context.Context) (err error) {
	j.request.Policies, err = parsePolicies(j.options.Policy, j.env.Dir)
	return err
}

// parsePolicies reads policies, one a line: files, and how they are in force.
func parsePolicies(records input.Records, dir string) ([]builder.Policy, error) {
	var policies []builder.Policy
	var errs []error
	for _, r := range records {
		var p builder.Policy
		for _, f := range r.Fields {
			if err := setPolicy(&p, f, dir); err != nil {
				errs = append(errs, at("policy", r.Line, err))
			}
		}
		policies = append(policies, p)
	}
	return policies, errors.Join(errs...)
}

func setPolicy(p *builder.Policy, f input.Field, dir string) error {
	on, notBool := strconv.ParseBool(f.Value)
	if notBool != nil {
		notBool = fmt.Errorf("%s=%q is neither true nor false", f.Key, f.Value)
	}
	switch f.Key {
	case "filename":
		path := absolute(f.Value, dir)
		if err := isFile(path); f.Value == "" || err != nil {
			return errdefs.New(errdefs.BadInput, "no policy at %q", f.Value)
		}
		p.Files = append(p.Files, path)
	case "reset":
		p.Reset = on
		return notBool
	case "disabled":
		p.Disabled = on
		return notBool
	case "strict":
		p.Strict = &on
		return notBool
	case "log-level":
		if !slices.Contains(policyLogLevels, f.Value) {
			return errdefs.New(errdefs.BadInput, "unknown log-level %q", f.Value).WithHint("%s", keyList(policyLogLevels))
		}
		p.LogLevel = f.Value
	case "":
		return errdefs.New(errdefs.BadInput, "expected key=value, found %q", f.Value).WithHint("write filename=%s", f.Value)
	default:
		return errdefs.New(errdefs.BadInput, "unknown key %q", f.Key).WithHint("%s", keyList(policyKeys))
	}
	return nil
}
