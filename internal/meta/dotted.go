package meta

import (
	"regexp"
	"strings"

	"github.com/hullwright/hullwright/internal/meta/handlebars"
)

// dottedForm is a version of any number of parts, as 1.2, 1.2.3.4, 26.05 or
// 2026-05-01, and what may stand after it.
var (
	dottedForm = regexp.MustCompile(`^[vV]?([0-9]+(?:\.[0-9]+)*)(?:[-.]?([A-Za-z][0-9A-Za-z.-]*)|-([0-9A-Za-z][0-9A-Za-z.-]*))?(?:\+([0-9A-Za-z.-]+))?$`)
	datedForm  = regexp.MustCompile(`^[vV]?([0-9]{4}-[0-9]{2}(?:-[0-9]{2})?)(?:-([A-Za-z][0-9A-Za-z.-]*))?(?:\+([0-9A-Za-z.-]+))?$`)
	// prefixForm is what stands before a version in a git tag: app/v1.2.3.
	prefixForm = regexp.MustCompile(`^(|.*?[/_@-])([vV]?[0-9][^/]*)$`)
)

// releaseWords begin suffixes of versions that are releases; other words
// (rc1, beta, SNAPSHOT) make a prerelease.
var releaseWords = regexp.MustCompile(`(?i)^(?:final|ga|release|lts|sp|post|p|r|rev|patch|hotfix)[0-9.-]*$`)

// missingPart is a part that a pattern names and a version does not have.
type missingPart struct{ name string }

func (m *missingPart) Error() string { return "has no " + m.name }

// readDotted reads a version for type=version.
func readDotted(_ tagRule, text string) (version, bool) { return parseDotted(trim(text)) }

// parseDotted reads a version that need not have three parts. Its parts stay as
// they are written: 26.05 has the minor version 05.
func parseDotted(text string) (version, bool) {
	var release, suffix, build string
	if m := datedForm.FindStringSubmatch(text); m != nil {
		release, suffix, build = m[1], m[2], m[3]
	} else if m := dottedForm.FindStringSubmatch(text); m != nil {
		release, suffix, build = m[1], m[2]+m[3], m[4]
	} else {
		return version{}, false
	}
	plain, _, _ := strings.Cut(strings.TrimLeft(text, "vV"), "+")
	v := version{raw: text, plain: plain, prerelease: suffix != "" && !releaseWords.MatchString(suffix)}
	v.whole = v.prerelease
	parts := []any{}
	for _, part := range strings.FieldsFunc(release, func(r rune) bool { return r == '.' || r == '-' }) {
		v.numbers = append(v.numbers, integer(part))
		parts = append(parts, part)
	}
	v.names = map[string]any{"raw": text, "version": plain, "parts": parts, "build": identifiers(build), "suffix": suffix, "prerelease": []any{}}
	if v.prerelease {
		v.names["prerelease"] = identifiers(suffix)
	}
	for i, name := range []string{"major", "minor", "patch", "revision"} {
		v.names[name] = handlebars.Func(func(handlebars.Call) (any, error) { return nil, &missingPart{name} })
		if i < len(parts) {
			v.names[name] = parts[i]
		}
	}
	return v, true
}

// tagVersion finds the version that a git tag ends with, and what stands
// before it.
func tagVersion(tag string) (prefix string, v version, ok bool) {
	m := prefixForm.FindStringSubmatch(tag)
	if m == nil {
		return "", version{}, false
	}
	v, ok = parseDotted(m[2])
	return m[1], v, ok
}
