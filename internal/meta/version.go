package meta

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/hullwright/hullwright/internal/meta/handlebars"
)

// version is a version as a rule reads it.
type version struct {
	raw, plain string // as it was found, and what {{version}} gives
	numbers    []float64
	epoch      bool // whether the first number is a Python version's epoch
	prerelease bool
	whole      bool           // whether it is given whole, whatever the pattern
	names      map[string]any // what a pattern may name
}

// compare is -1, 0 or 1 as v is lower than, equal to or higher than w. What is
// missing is 0, and all prereleases of a version are the same.
func (v version) compare(w version) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		var a, b float64
		if i < len(v.numbers) {
			a = v.numbers[i]
		}
		if i < len(w.numbers) {
			b = w.numbers[i]
		}
		if c := cmp.Compare(a, b); c != 0 {
			return c
		}
	}
	switch {
	case v.prerelease && !w.prerelease:
		return -1
	case w.prerelease && !v.prerelease:
		return 1
	}
	return 0
}

// subject is the text that a version or match rule looks at: its value, or the
// git tag. none is the reason where there is no text.
func (x *evaluation) subject(t tagRule) (text, none string, err error) {
	if t.attributes["value"] != "" {
		text, err = x.attribute(t, "value")
		return text, "", err
	}
	tag, ok := strings.CutPrefix(string(x.facts.Ref), "refs/tags/")
	if !ok {
		return "", "the event is not on a git tag, and the rule has no value", nil
	}
	return tag, "", nil
}

// matched is a subject after the rule's match attribute.
func (x *evaluation) matched(t tagRule, text string) (string, error) {
	if pattern := t.attributes["match"]; pattern != "" {
		p, err := parsePattern(pattern, "")
		if err != nil {
			return "", wrap(t.entry, t.columns["match"], err)
		}
		found, ok, err := p.version(text)
		if err != nil {
			return "", wrap(t.entry, t.columns["match"], err)
		}
		if ok {
			text = found
		} else {
			x.warnf("%s does not match %s.", pattern, text)
		}
	}
	return strings.ReplaceAll(text, "/", "-"), nil
}

// applyVersion is how all rules that read versions apply. complaint is the
// warning about a text that is none.
func applyVersion(complaint string) func(*evaluation, tagRule) (verdict, error) {
	return func(x *evaluation, t tagRule) (verdict, error) {
		text, none, err := x.subject(t)
		if err != nil || none != "" {
			return verdict{skip: none}, err
		}
		if text, err = x.matched(t, text); err != nil {
			return verdict{}, err
		}
		v, ok := kinds()[t.kind].parse(t, text)
		if !ok {
			x.warnf(complaint, text)
			return skip("%q is not a version for type=%s", text, t.kind), nil
		}
		return x.versioned(t, v)
	}
}

// versioned renders a version rule's pattern. A prerelease, and a Python
// version's post-release, is given whole, whatever the pattern asks for: 1.2
// must not move to 1.2.3-rc.1.
func (x *evaluation) versioned(t tagRule, v version) (verdict, error) {
	if v.whole {
		if rawPattern(t.attributes["pattern"]) {
			return verdict{text: v.raw}, nil
		}
		return verdict{text: v.plain}, nil
	}
	text, err := x.attributeIn(t, "pattern", v.names)
	var missing *missingPart
	if errors.As(err, &missing) {
		return skip("%s %v", v.plain, missing), nil
	}
	if err != nil {
		return verdict{}, err
	}
	moving := !strings.Contains(text, v.plain) && !strings.Contains(text, v.raw)
	if moving && x.rules.options.Guard {
		if higher := x.higher(t, v, text); higher != "" {
			return skip("%s is higher and has it", higher), nil
		}
	}
	return verdict{text: text, latest: true, moving: moving}, nil
}

// largestNumber is JavaScript's largest safe integer; its semver takes no
// larger one.
const largestNumber = 1<<53 - 1

// parseSemver reads a version as node's semver does when it is strict.
func parseSemver(s string) (*semver.Version, bool) {
	if len(s) > 256 {
		return nil, false
	}
	v, err := semver.StrictNewVersion(strings.TrimPrefix(trim(s), "v"))
	if err != nil || v.Major() > largestNumber || v.Minor() > largestNumber || v.Patch() > largestNumber {
		return nil, false
	}
	return v, true
}

// readSemver reads a version for type=semver. With build=true the build
// metadata is part of it; a tag has a hyphen for the plus sign.
func readSemver(t tagRule, text string) (version, bool) {
	v, ok := parseSemver(text)
	if !ok {
		return version{}, false
	}
	plain := fmt.Sprintf("%d.%d.%d", v.Major(), v.Minor(), v.Patch())
	if v.Prerelease() != "" {
		plain += "-" + v.Prerelease()
	}
	if v.Metadata() != "" && t.attributes["build"] == "true" {
		plain += "+" + v.Metadata()
	}
	numbers := []float64{float64(v.Major()), float64(v.Minor()), float64(v.Patch())}
	return version{raw: text, plain: plain, numbers: numbers, prerelease: v.Prerelease() != "", whole: v.Prerelease() != "", names: map[string]any{
		"raw": text, "version": plain, "loose": true,
		"major": numbers[0], "minor": numbers[1], "patch": numbers[2],
		"prerelease": identifiers(v.Prerelease()), "build": identifiers(v.Metadata()),
	}}, true
}

func identifiers(s string) []any {
	list := []any{}
	if s != "" {
		for part := range strings.SplitSeq(s, ".") {
			list = append(list, part)
		}
	}
	return list
}

// rawPattern is whether a pattern is {{raw}} and nothing else.
func rawPattern(pattern string) bool {
	if !strings.Contains(pattern, "raw") {
		return false
	}
	t, err := handlebars.Parse(pattern)
	return err == nil && t.Name() == "raw"
}

// pep440Form is the grammar of https://packaging.python.org/en/latest/specifications/version-specifiers/,
// as @renovate/pep440 has it. Only ASCII is in it; the letters' case does not matter.
var pep440Form = regexp.MustCompile(`(?i)^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
	`([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?([0-9]+)?)?` +
	`((?:-([0-9]+))|(?:[-_.]?(post|rev|r)[-_.]?([0-9]+)?))?` +
	`([-_.]?(dev)[-_.]?([0-9]+)?)?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// pep440 is a Python version. Its numbers are JavaScript's: beyond 2^53 they
// are rounded, as in the tags that are out there.
type pep440 struct {
	epoch      float64
	release    []float64
	clean      string
	prerelease bool // a pre-release or a development release
	post       bool
}

func parsePEP440(s string) (pep440, bool) {
	m := pep440Form.FindStringSubmatch(s)
	if m == nil || strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) >= 0 {
		return pep440{}, false
	}
	var v pep440
	var b strings.Builder
	if v.epoch = integer(m[1]); v.epoch != 0 {
		b.WriteString(handlebars.Number(v.epoch) + "!")
	}
	for i, part := range strings.Split(m[2], ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		v.release = append(v.release, integer(part))
		b.WriteString(handlebars.Number(integer(part)))
	}
	if m[3] != "" {
		b.WriteString(preLetter(lower(m[4])) + handlebars.Number(integer(m[5])))
	}
	if m[6] != "" {
		b.WriteString(".post" + handlebars.Number(integer(m[7]+m[9])))
	}
	if m[10] != "" {
		b.WriteString(".dev" + handlebars.Number(integer(m[12])))
	}
	if m[13] != "" {
		b.WriteString("+" + localVersion(m[13]))
	}
	v.clean, v.post, v.prerelease = b.String(), m[6] != "", m[3] != "" || m[10] != ""
	return v, true
}

// integer is a number of digits; none are 0.
func integer(digits string) float64 {
	f, err := strconv.ParseFloat("0"+digits, 64)
	if err != nil {
		return f // infinite
	}
	return f
}

func preLetter(word string) string {
	switch word {
	case "alpha":
		return "a"
	case "beta":
		return "b"
	case "c", "pre", "preview":
		return "rc"
	}
	return word
}

// localVersion joins the parts by commas, which is what docker's action prints.
func localVersion(local string) string {
	parts := strings.FieldsFunc(local, func(r rune) bool { return strings.ContainsRune("._-", r) })
	for i, part := range parts {
		if n := number(part); n == n {
			parts[i] = handlebars.Number(n)
		} else {
			parts[i] = lower(part)
		}
	}
	return strings.Join(parts, ",")
}

// readPEP440 reads a version for type=pep440.
func readPEP440(_ tagRule, text string) (version, bool) {
	v, ok := parsePEP440(text)
	if !ok {
		return version{}, false
	}
	release := append(slices.Clone(v.release), 0, 0, 0)
	return version{raw: text, plain: v.clean, numbers: append([]float64{v.epoch}, v.release...), epoch: true, prerelease: v.prerelease, whole: v.prerelease || v.post, names: map[string]any{
		"raw": text, "version": v.clean, "major": release[0], "minor": release[1], "patch": release[2],
	}}, true
}
