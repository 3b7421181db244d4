package meta

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/meta/handlebars"
)

// tagRule is an entry of the tags input.
type tagRule struct {
	entry
	kind       string
	attributes map[string]string
	columns    map[string]int // at which an attribute stands in the entry
	priority   float64
}

// kindOf is what a type of rule is like.
type kindOf struct {
	priority   string
	attributes []string // its own
	defaults   map[string]string
	require    string // the attribute it can't be without
	check      func(r *Rules, t tagRule) error
	// apply gives the tag's text, or why the rule gives none.
	apply func(x *evaluation, t tagRule) (verdict, error)
	// parse reads a version, where the type is about versions.
	parse func(t tagRule, text string) (version, bool)
}

// verdict is what a rule says of an event.
type verdict struct {
	text   string
	latest bool // whether latest=auto makes this one the latest
	moving bool
	prefix string // where the rule has none of its own
	skip   string // why there is no tag; empty where there is one
}

// skip is the verdict of a rule that gives no tag.
func skip(format string, args ...any) verdict { return verdict{skip: fmt.Sprintf(format, args...)} }

var versionAttributes = []string{"pattern", "value", "match"}

// kinds are the types of rules. It is a function, since their evaluation leads
// back here.
func kinds() map[string]kindOf {
	return map[string]kindOf{
		"schedule": {priority: "1000", attributes: []string{"pattern"}, defaults: map[string]string{"pattern": "nightly"}, apply: applySchedule},
		"semver": {priority: "900", attributes: append([]string{"build"}, versionAttributes...), require: "pattern", check: checkBuild,
			apply: applyVersion("%s is not a valid semver. More info: https://semver.org/"), parse: readSemver},
		"pep440": {priority: "900", attributes: versionAttributes, require: "pattern",
			apply: applyVersion("%s does not conform to PEP 440. More info: https://www.python.org/dev/peps/pep-0440"), parse: readPEP440},
		"version": {priority: "900", attributes: versionAttributes, require: "pattern",
			apply: applyVersion("%s is no version: it has no number to begin with."), parse: readDotted},
		"match": {priority: "800", attributes: []string{"pattern", "group", "value"}, defaults: map[string]string{"group": "0"},
			require: "pattern", check: checkMatch, apply: applyMatch},
		"edge": {priority: "700", attributes: []string{"branch"}, apply: applyEdge},
		"ref":  {priority: "600", attributes: []string{"event", "queue"}, check: checkRef, apply: applyRef},
		"raw":  {priority: "200", attributes: []string{"value"}, require: "value", apply: applyRaw},
		"sha": {priority: "100", attributes: []string{"format"}, defaults: map[string]string{"format": "short", "prefix": "sha-"},
			check: checkSHA, apply: applySHA},
	}
}

// kindNames are the types in the order of their priority.
var kindNames = []string{"schedule", "semver", "pep440", "version", "match", "edge", "ref", "raw", "sha"}

var commonAttributes = []string{"type", "enable", "priority", "prefix", "suffix"}

var defaultTags = []string{"type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"}

func (r *Rules) parseTags(entries []entry) (faults []error) {
	if len(entries) == 0 {
		for _, text := range defaultTags {
			entries = append(entries, entry{input: "tags", text: text})
		}
	}
	for _, e := range entries {
		fields, err := e.fields()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		t, wrong := r.parseTag(e, fields)
		faults = append(faults, wrong...)
		r.common.tags = append(r.common.tags, t)
	}
	sortByPriority(r.common.tags)
	return faults
}

// parseTag reads a rule, and finds all that is wrong with it.
func (r *Rules) parseTag(e entry, fields []field) (t tagRule, faults []error) {
	t = tagRule{entry: e, kind: "raw", attributes: map[string]string{}, columns: map[string]int{}}
	for _, f := range fields {
		key, value, column := "value", f.text, f.column
		if i := strings.Index(f.text, "="); i > 0 { // "=x" is a value
			key, value, column = lower(trim(f.text[:i])), f.text[i+1:], f.column+i+1
		}
		t.attributes[key], t.columns[key] = trim(value), column
	}
	if kind, ok := t.attributes["type"]; ok {
		t.kind = kind
	}
	kind, ok := kinds()[t.kind]
	if !ok {
		return t, []error{t.unknownType()}
	}
	if _, given := t.attributes[kind.require]; kind.require != "" && !given { // an empty one is given
		faults = append(faults, t.fault(0, "Missing %s attribute for %s", kind.require, e.text).
			WithHint("type=%s has the attributes %s", t.kind, strings.Join(append(slices.Clone(kind.attributes), commonAttributes[1:]...), ", ")))
	}
	t.setDefaults(kind)
	if kind.check != nil {
		if err := kind.check(r, t); err != nil {
			faults = append(faults, err)
		}
	}
	t.priority = number(t.attributes["priority"])
	r.warnUnknown(t, kind)
	return t, faults
}

func (t tagRule) unknownType() error {
	fault := t.fault(t.columns["type"], "Unknown tag type attribute: %s", t.kind)
	hint := "one of " + strings.Join(kindNames, ", ")
	if near := errdefs.Nearest(t.kind, kindNames); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return fault.WithHint("%s", hint)
}

func (t tagRule) setDefaults(kind kindOf) {
	set := func(key, value string) {
		if _, ok := t.attributes[key]; !ok {
			t.attributes[key] = value
		}
	}
	for key, value := range kind.defaults {
		set(key, value)
	}
	if t.kind == "ref" && t.attributes["event"] == "pr" {
		set("prefix", "pr-")
	}
	set("enable", "true")
	set("priority", kind.priority)
}

// warnUnknown tells of attributes that nobody reads. It is a warning where one
// that is known was most likely meant, else a note.
func (r *Rules) warnUnknown(t tagRule, kind kindOf) {
	known := append(slices.Clone(commonAttributes), kind.attributes...)
	var unknown []string
	for key := range t.attributes {
		if !slices.Contains(known, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		text := fmt.Sprintf("input %q line %d: attribute %q is not known for type=%s", t.input, t.line, key, t.kind)
		if like := errdefs.Nearest(key, known); like != "" {
			r.warnings = append(r.warnings, fmt.Sprintf("%s; did you mean %q?", text, like))
			continue
		}
		r.notes = append(r.notes, text)
	}
}

func checkMatch(_ *Rules, t tagRule) error {
	if math.IsNaN(number(t.attributes["group"])) {
		return t.fault(t.columns["group"], "Invalid match group for %s", t.text).WithHint("group is a number")
	}
	return nil
}

func checkRef(r *Rules, t tagRule) error {
	event, given := t.attributes["event"]
	switch {
	case !given && r.options.Extended:
	case !given:
		return t.fault(0, "Missing event attribute for %s", t.text).
			WithHint("event is branch, tag or pr; with the input extended a rule without one takes whichever there is")
	case event != "branch" && event != "tag" && event != "pr":
		return t.fault(t.columns["event"], "Invalid event for %s", t.text).WithHint("event is branch, tag or pr")
	}
	return checkSwitch(t, "queue")
}

func checkBuild(_ *Rules, t tagRule) error { return checkSwitch(t, "build") }

// checkSwitch refuses an attribute that is neither true nor false.
func checkSwitch(t tagRule, key string) error {
	switch t.attributes[key] {
	case "", "true", "false":
		return nil
	}
	return t.fault(t.columns[key], "%s is %q", key, t.attributes[key]).WithHint("%s is true or false", key)
}

func checkSHA(_ *Rules, t tagRule) error {
	switch t.attributes["format"] {
	case "short", "long":
		return nil
	}
	return t.fault(t.columns["format"], "Invalid format for %s", t.text).WithHint("format is short or long")
}

// decorate adds prefix and suffix: the rule's own where it has them, even empty
// ones, else the flavor's.
func (x *evaluation) decorate(t tagRule, v verdict) (string, error) {
	common := x.set.flavor.prefix
	if v.prefix != "" {
		common = v.prefix
	}
	prefix, err := x.affix(t, "prefix", common)
	if err != nil {
		return "", err
	}
	suffix, err := x.affix(t, "suffix", x.set.flavor.suffix)
	if err != nil {
		return "", err
	}
	return prefix + v.text + suffix, nil
}

func (x *evaluation) affix(t tagRule, key, common string) (string, error) {
	if _, ok := t.attributes[key]; ok {
		return x.attribute(t, key)
	}
	text, err := x.render(common, x.globals)
	if err != nil {
		return "", wrap(x.set.flavor.entry, 0, err)
	}
	return text, nil
}

var notInTags = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// sanitize puts a hyphen for every run of characters that no tag has.
func sanitize(s string) string { return notInTags.ReplaceAllString(s, "-") }

// tagCap is the length of the longest tag,
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests.
const tagCap = 128

// fallbackTag is the form of the tags under which clients keep what refers to
// an image, where a registry has no referrers API,
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema.
var fallbackTag = regexp.MustCompile(`^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})$`)

// valid makes a name a tag that registries take, and says so where it had to.
func (x *evaluation) valid(name string) string {
	tag := strings.TrimLeft(name, ".-")
	if len(tag) > tagCap {
		tag = x.cut(tag)
	}
	switch {
	case fallbackTag.MatchString(tag):
		x.warnf("tag %q: left out, since registries keep an image's signatures under such names", tag)
		return ""
	case tag == name:
	case tag == "":
		x.warnf("tag %q: left out, since a tag begins with a letter, a digit or an underscore", name)
	case len(name) > tagCap:
		x.warnf("tag %q: cut to %q, since a tag has at most %d characters", name, tag, tagCap)
	default:
		x.warnf("tag %q: made %q, since a tag begins with a letter, a digit or an underscore", name, tag)
	}
	return tag
}

// hashLength is how many characters of a hash end a name that is cut.
const hashLength = 8

// cut makes a name as short as a tag may be. With its hash at the end it is
// the same for the same name, and another for one that differs beyond the cut.
func (x *evaluation) cut(name string) string {
	if !x.rules.options.HashLongTags {
		return name[:tagCap]
	}
	sum := sha256.Sum256([]byte(name))
	return name[:tagCap-hashLength-1] + "-" + hex.EncodeToString(sum[:])[:hashLength]
}

// wrap gives an error its input, line and column where it has none.
func wrap(e entry, column int, err error) error {
	var placed *errdefs.Error
	if errors.As(err, &placed) {
		return err
	}
	fault := e.fault(column, "%w", err)
	if e.line == 0 {
		fault = e.fault(column, "%w in %s", err, e.text)
	}
	if m := missingHelper.FindStringSubmatch(err.Error()); m != nil && handlebars.TextHelpers()[m[1]] != nil {
		return fault.WithHint("with the input extended expressions have lower, upper, replace, slice, split and default")
	}
	return fault
}

// missingHelper is Handlebars' word for a helper that is not there.
var missingHelper = regexp.MustCompile(`^Missing helper: "([a-z]+)"$`)
