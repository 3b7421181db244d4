package meta

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/hullwright/hullwright/internal/meta/handlebars"
)

// subject is the text that a version or match rule looks at: its value, or the
// git tag. ok is false where there is none.
func (x *evaluation) subject(t tagRule) (text string, ok bool, err error) {
	if value := t.attributes["value"]; value != "" {
		text, err = x.render(value, x.globals)
		return text, err == nil, err
	}
	ref := string(x.facts.Ref)
	if !strings.HasPrefix(ref, "refs/tags/") {
		return "", false, nil
	}
	return strings.TrimPrefix(ref, "refs/tags/"), true, nil
}

// version is the subject of a version rule after its match attribute.
func (x *evaluation) version(t tagRule) (text string, ok bool, err error) {
	text, ok, err = x.subject(t)
	if err != nil || !ok {
		return "", false, err
	}
	if pattern := t.attributes["match"]; pattern != "" {
		found, matched, err := matchVersion(pattern, text)
		if err != nil {
			return "", false, err
		}
		if matched {
			text = found
		} else {
			x.warnf("%s does not match %s.", pattern, text)
		}
	}
	return strings.ReplaceAll(text, "/", "-"), true, nil
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

func applySemver(x *evaluation, t tagRule) (verdict, bool, error) {
	text, ok, err := x.version(t)
	if err != nil || !ok {
		return verdict{}, false, err
	}
	v, ok := parseSemver(text)
	if !ok {
		x.warnf("%s is not a valid semver. More info: https://semver.org/", text)
		return verdict{}, false, nil
	}
	plain := fmt.Sprintf("%d.%d.%d", v.Major(), v.Minor(), v.Patch())
	if v.Prerelease() != "" {
		plain += "-" + v.Prerelease()
	}
	names := map[string]any{
		"raw": text, "version": plain, "loose": true,
		"major": float64(v.Major()), "minor": float64(v.Minor()), "patch": float64(v.Patch()),
		"prerelease": identifiers(v.Prerelease()), "build": identifiers(v.Metadata()),
	}
	return x.versioned(t, names, v.Prerelease() != "")
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

// versioned renders a version rule's pattern. A prerelease is given whole,
// whatever the pattern asks for: 1.2 must not move to 1.2.3-rc.1.
func (x *evaluation) versioned(t tagRule, names map[string]any, prerelease bool) (verdict, bool, error) {
	pattern, raw, plain := t.attributes["pattern"], names["raw"].(string), names["version"].(string)
	if prerelease {
		if rawPattern(pattern) {
			return verdict{text: raw}, true, nil
		}
		return verdict{text: plain}, true, nil
	}
	text, err := x.render(pattern, names)
	return verdict{text: text, latest: true, moving: !strings.Contains(text, plain) && !strings.Contains(text, raw)}, err == nil, err
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
	release    []float64
	clean      string
	prerelease bool // a pre-, post- or development release
}

func parsePEP440(s string) (pep440, bool) {
	m := pep440Form.FindStringSubmatch(s)
	if m == nil || strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) >= 0 {
		return pep440{}, false
	}
	var v pep440
	var b strings.Builder
	if epoch := integer(m[1]); epoch != 0 {
		b.WriteString(handlebars.Number(epoch) + "!")
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
	v.clean, v.prerelease = b.String(), m[3] != "" || m[6] != "" || m[10] != ""
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

func applyPEP440(x *evaluation, t tagRule) (verdict, bool, error) {
	text, ok, err := x.version(t)
	if err != nil || !ok {
		return verdict{}, false, err
	}
	v, ok := parsePEP440(text)
	if !ok {
		x.warnf("%s does not conform to PEP 440. More info: https://www.python.org/dev/peps/pep-0440", text)
		return verdict{}, false, nil
	}
	release := append(v.release, 0, 0, 0)
	names := map[string]any{"raw": text, "version": v.clean, "major": release[0], "minor": release[1], "patch": release[2]}
	return x.versioned(t, names, v.prerelease)
}
