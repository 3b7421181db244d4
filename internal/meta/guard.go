package meta

import (
	"fmt"
	"strings"
)

// higher is a version that is higher than v and for which the rule gives the
// same text, empty where there is none: 1.2 stays with 1.2.9 when 1.2.3 is
// built again.
func (x *evaluation) higher(t tagRule, v version, text string) string {
	for _, other := range x.others(t, v) {
		if other.prerelease || other.compare(v) <= 0 {
			continue
		}
		if same, err := x.render(t.attributes["pattern"], other.names); err == nil && same == text {
			return other.raw
		}
	}
	return ""
}

// higherMatch is [evaluation.higher] for a match rule: a git tag whose group is
// the same, and whose version is higher.
func (x *evaluation) higherMatch(p pattern, group int, tag, text string) string {
	prefix, v, ok := tagVersion(tag)
	if !ok || !x.rules.options.Guard {
		return ""
	}
	for _, name := range x.facts.Versions {
		before, other, isVersion := tagVersion(name)
		if !isVersion || before != prefix || other.prerelease || other.compare(v) <= 0 {
			continue
		}
		found, err := p.match(name)
		if err == nil && group < len(found) && found[group] != nil && *found[group] == text {
			return name
		}
	}
	return ""
}

// others are the versions that are there, as a rule reads them.
func (x *evaluation) others(t tagRule, v version) []version {
	parse := kinds()[t.kind].parse
	var others []version
	for _, name := range matching(x.facts.Versions, t.attributes["match"]) {
		if other, ok := parse(t, strings.ReplaceAll(name, "/", "-")); ok {
			others = append(others, other)
		}
	}
	for _, name := range x.published(t) {
		if other, ok := parse(t, name); ok && sameScheme(v, other) {
			others = append(others, other)
		}
	}
	return others
}

// matching is what a match attribute finds in git tags. One that it does not
// fit is something else's version.
func matching(names []string, body string) []string {
	if body == "" {
		return names
	}
	p, err := parsePattern(body, "")
	if err != nil {
		return nil // told where the rule is applied
	}
	var found []string
	for _, name := range names {
		if text, ok, err := p.version(name); ok && err == nil {
			found = append(found, text)
		}
	}
	return found
}

// published are the images' tags without the prefix and suffix that the rule
// gives to its own. A tag that lacks them is another variant's.
func (x *evaluation) published(t tagRule) []string {
	if len(x.facts.Published) == 0 {
		return nil
	}
	var prefix, suffix string
	x.quiet(func() { // faults in them are told when the rule is applied
		prefix, _ = x.affix(t, "prefix", x.set.flavor.prefix)
		suffix, _ = x.affix(t, "suffix", x.set.flavor.suffix)
	})
	var names []string
	for _, name := range x.facts.Published {
		rest, ok := strings.CutPrefix(name, sanitize(prefix))
		if rest, has := strings.CutSuffix(rest, sanitize(suffix)); ok && has {
			names = append(names, rest)
		}
	}
	return names
}

// aDate is where the first numbers of versions end and dates and commits that
// are all digits begin: among an image's tags are both.
const aDate = 100_000

func sameScheme(v, other version) bool {
	first := func(v version) float64 {
		if n := len(v.numbers); n > 1 && v.epoch { // a Python version's epoch comes first
			return v.numbers[1]
		}
		return v.numbers[0]
	}
	return first(v) >= aDate || first(other) < aDate
}

// holdLatest is why this event may not have latest, empty where it may. Events
// that are about no version are free to.
func (x *evaluation) holdLatest() string {
	if !x.rules.options.Guard && !x.set.flavor.noPrerelease {
		return ""
	}
	v, others, ok := x.built()
	if x.set.flavor.noPrerelease && (ok && v.prerelease || x.prerelease() != "") {
		return "it is a prerelease, and the flavor says prerelease-latest=false"
	}
	if !ok || !x.rules.options.Guard {
		return ""
	}
	highest := v
	for _, other := range others {
		if !other.prerelease && other.compare(highest) > 0 {
			highest = other
		}
	}
	if highest.compare(v) > 0 {
		return fmt.Sprintf("%s is higher", highest.raw)
	}
	return ""
}

// built is the version that is built, and those that it is compared with: as
// the first version rule that applies reads them, else as they stand in the
// git tags of the same prefix.
func (x *evaluation) built() (v version, others []version, ok bool) {
	known := kinds()
	for _, t := range x.set.tags {
		parse := known[t.kind].parse
		if parse == nil {
			continue
		}
		x.quiet(func() {
			if enabled, err := x.attribute(t, "enable"); err != nil || enabled != "true" {
				return
			}
			text, none, err := x.subject(t)
			if err != nil || none != "" {
				return
			}
			if text, err = x.matched(t, text); err == nil {
				v, ok = parse(t, text)
			}
		})
		if ok {
			return v, x.others(t, v), true
		}
	}
	prefix, v, ok := tagVersion(cut(string(x.facts.Ref), "refs/tags/"))
	if !ok {
		return version{}, nil, false
	}
	for _, name := range x.facts.Versions {
		if before, other, isVersion := tagVersion(name); isVersion && before == prefix {
			others = append(others, other)
		}
	}
	for _, name := range x.published(tagRule{}) {
		before, other, isVersion := tagVersion(name)
		if isVersion && (before == "" || before == sanitize(prefix)) && sameScheme(v, other) {
			others = append(others, other)
		}
	}
	return v, others, true
}

// prerelease is what the git tag says after its version (rc.1), or
// "prerelease" where the forge calls the release one; else it is empty.
func (x *evaluation) prerelease() string {
	if _, v, ok := tagVersion(cut(string(x.facts.Ref), "refs/tags/")); ok && v.prerelease {
		return v.names["suffix"].(string)
	}
	release, _ := x.facts.Event.Payload["release"].(map[string]any)
	if ticked, _ := release["prerelease"].(bool); ticked {
		return "prerelease"
	}
	return ""
}
