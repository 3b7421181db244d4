package meta

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// tagRule is an entry of the tags input.
type tagRule struct {
	entry
	kind       string
	attributes map[string]string
	priority   float64
}

// kindOf is what a type of rule is like.
type kindOf struct {
	priority   string
	attributes []string // its own
	defaults   map[string]string
	require    string // the attribute it can't be without
	check      func(t tagRule) error
	// apply gives the tag's text. ok is false where the rule does not apply.
	apply func(x *evaluation, t tagRule) (v verdict, ok bool, err error)
}

// verdict is what a rule says of an event.
type verdict struct {
	text   string
	latest bool // whether latest=auto makes this one the latest
	moving bool
}

var versionAttributes = []string{"pattern", "value", "match"}

// kinds are the types of rules. It is a function, since their evaluation leads
// back here.
func kinds() map[string]kindOf {
	return map[string]kindOf{
		"schedule": {priority: "1000", attributes: []string{"pattern"}, defaults: map[string]string{"pattern": "nightly"}, apply: applySchedule},
		"semver":   {priority: "900", attributes: versionAttributes, require: "pattern", apply: applySemver},
		"pep440":   {priority: "900", attributes: versionAttributes, require: "pattern", apply: applyPEP440},
		"match": {priority: "800", attributes: []string{"pattern", "group", "value"}, defaults: map[string]string{"group": "0"},
			require: "pattern", check: checkMatch, apply: applyMatch},
		"edge": {priority: "700", attributes: []string{"branch"}, apply: applyEdge},
		"ref":  {priority: "600", attributes: []string{"event"}, require: "event", check: checkRef, apply: applyRef},
		"raw":  {priority: "200", attributes: []string{"value"}, require: "value", apply: applyRaw},
		"sha": {priority: "100", attributes: []string{"format"}, defaults: map[string]string{"format": "short", "prefix": "sha-"},
			check: checkSHA, apply: applySHA},
	}
}

var commonAttributes = []string{"type", "enable", "priority", "prefix", "suffix"}

var defaultTags = []string{"type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"}

func (r *Rules) parseTags(entries []entry) (faults []error) {
	if len(entries) == 0 {
		for _, text := range defaultTags {
			entries = append(entries, entry{input: "tags", text: text})
		}
	}
	known := kinds()
	for _, e := range entries {
		t, err := parseTag(e, known)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.warnUnknown(t, known[t.kind])
		r.tags = append(r.tags, t)
	}
	sortByPriority(r.tags)
	return faults
}

func parseTag(e entry, known map[string]kindOf) (tagRule, error) {
	fields, err := e.fields()
	if err != nil {
		return tagRule{}, err
	}
	t := tagRule{entry: e, kind: "raw", attributes: map[string]string{}}
	for _, f := range fields {
		key, value := "value", f
		if i := strings.Index(f, "="); i > 0 { // "=x" is a value
			key, value = lower(trim(f[:i])), f[i+1:]
		}
		t.attributes[key] = trim(value)
	}
	if kind, ok := t.attributes["type"]; ok {
		t.kind = kind
	}
	kind, ok := known[t.kind]
	if !ok {
		return tagRule{}, e.fault("Unknown tag type attribute: %s", t.kind).WithHint("one of schedule, semver, pep440, match, edge, ref, raw, sha")
	}
	if _, given := t.attributes[kind.require]; kind.require != "" && !given { // an empty one is given
		return tagRule{}, e.fault("Missing %s attribute for %s", kind.require, e.text)
	}
	t.setDefaults(kind)
	if kind.check != nil {
		if err := kind.check(t); err != nil {
			return tagRule{}, err
		}
	}
	t.priority = number(t.attributes["priority"])
	return t, nil
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

func checkMatch(t tagRule) error {
	if math.IsNaN(number(t.attributes["group"])) {
		return t.fault("Invalid match group for %s", t.text).WithHint("group is a number")
	}
	return nil
}

func checkRef(t tagRule) error {
	switch t.attributes["event"] {
	case "branch", "tag", "pr":
		return nil
	}
	return t.fault("Invalid event for %s", t.text).WithHint("event is branch, tag or pr")
}

func checkSHA(t tagRule) error {
	switch t.attributes["format"] {
	case "short", "long":
		return nil
	}
	return t.fault("Invalid format for %s", t.text).WithHint("format is short or long")
}

// evaluation is rules on their way through facts.
type evaluation struct {
	facts   Facts
	rules   Rules
	globals map[string]any
	result  Result

	latest bool
}

// Tag evaluates the tag rules: Version, Images, Tags, Levels and Warnings of a
// Result.
func (r Rules) Tag(f Facts) (Result, error) {
	x := &evaluation{facts: f, rules: r}
	x.globals = x.expressions()
	x.result = Result{Images: r.enabledImages(), Levels: r.levels, Warnings: slices.Clone(r.warnings), Notes: slices.Clone(r.notes), Tags: []Tag{}}
	known := kinds()
	for _, t := range r.tags {
		if err := x.rule(t, known[t.kind]); err != nil {
			return Result{}, wrap(t.entry, err)
		}
	}
	if len(x.result.Tags) == 0 {
		x.warnf("No Docker image version has been generated. Check tags input.")
		x.warnf("No Docker tag has been generated. Check tags input.")
		return x.result, nil
	}
	x.result.Version = x.result.Tags[0].Name
	if x.latest {
		x.add(x.valid(r.flavor.latestTag()), true)
	}
	return x.result, nil
}

func (x *evaluation) warnf(format string, args ...any) {
	x.result.Warnings = append(x.result.Warnings, fmt.Sprintf(format, args...))
}

// rule evaluates one rule.
func (x *evaluation) rule(t tagRule, kind kindOf) error {
	enabled, err := x.render(t.attributes["enable"], x.globals)
	if err != nil {
		return err
	}
	switch enabled {
	case "true":
	case "false":
		return nil
	default:
		return t.fault("Invalid value for enable attribute: %s", enabled).WithHint("enable is true or false, or an expression that gives one")
	}
	v, ok, err := kind.apply(x, t)
	if err != nil || !ok {
		return err
	}
	name, err := x.decorate(t, v.text)
	if err != nil || name == "" {
		return err
	}
	first := len(x.result.Tags) == 0
	if name = x.valid(sanitize(name)); name == "" {
		return nil
	}
	x.add(name, v.moving)
	if first {
		x.latest = v.latest
		if x.rules.flavor.latest != "auto" {
			x.latest = x.rules.flavor.latest == "true"
		}
	}
	return nil
}

// add takes a tag, unless it is there.
func (x *evaluation) add(name string, moving bool) {
	if name == "" || slices.ContainsFunc(x.result.Tags, func(t Tag) bool { return t.Name == name }) {
		return
	}
	x.result.Tags = append(x.result.Tags, Tag{Name: name, Moving: moving})
}

// decorate adds prefix and suffix: the rule's own where it has them, even empty
// ones, else the flavor's.
func (x *evaluation) decorate(t tagRule, text string) (string, error) {
	prefix, err := x.affix(t, "prefix", x.rules.flavor.prefix)
	if err != nil {
		return "", err
	}
	suffix, err := x.affix(t, "suffix", x.rules.flavor.suffix)
	if err != nil {
		return "", err
	}
	return prefix + text + suffix, nil
}

func (x *evaluation) affix(t tagRule, key, common string) (string, error) {
	if own, ok := t.attributes[key]; ok {
		return x.render(own, x.globals)
	}
	text, err := x.render(common, x.globals)
	if err != nil {
		return "", wrap(x.rules.flavor.entry, err)
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
		tag = tag[:tagCap]
	}
	switch {
	case fallbackTag.MatchString(tag):
		x.warnf("tag %q: left out, since registries keep an image's signatures under such names", tag)
		return ""
	case tag == name:
	case tag == "":
		x.warnf("tag %q: left out, since a tag begins with a letter, a digit or an underscore", name)
	case strings.HasPrefix(name, tag):
		x.warnf("tag %q: cut to %q, since a tag has at most %d characters", name, tag, tagCap)
	default:
		x.warnf("tag %q: made %q, since a tag begins with a letter, a digit or an underscore", name, tag)
	}
	return tag
}

// wrap gives an error its input and line where it has none.
func wrap(e entry, err error) error {
	var placed *errdefs.Error
	if errors.As(err, &placed) {
		return err
	}
	if e.line == 0 {
		return e.fault("%w in %s", err, e.text)
	}
	return e.fault("%w", err)
}
