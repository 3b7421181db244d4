package registry

import (
	"regexp"
	"slices"
	"strings"
)

// The ranks of tags.
const (
	rankFixed = iota // a commit, a full version, a date
	rankMinor
	rankMajor
	rankMoving
)

var (
	fullVersion  = regexp.MustCompile(`^v?\d+(\.\d+){2}`)
	minorVersion = regexp.MustCompile(`^v?\d+\.\d+$`)
	majorVersion = regexp.MustCompile(`^v?\d{1,5}$`)
	day          = regexp.MustCompile(`(^|[-_])\d{4}-\d{2}-\d{2}([-_T]|$)`)
	timestamp    = regexp.MustCompile(`^\d{6,}`)
	commit       = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
)

// Rank is a tag's place in the order of writes, from its text: what never moves
// (a commit, a full version, a date) is 0, a minor version 1, a major version
// 2, and what always moves (latest, edge, a branch, a pull request) 3. A flavor
// before or after ("1.2-alpine", "alpine-1.2") changes nothing. A text that
// only looks like a version, as a branch release-2, is taken for one: the order
// is then stricter than it need be, which does no harm.
func Rank(tag string) int {
	tag = strings.ToLower(tag)
	words := strings.FieldsFunc(tag, func(r rune) bool { return r == '-' || r == '_' })
	if slices.Contains(words, "latest") {
		return rankMoving
	}
	words = withoutRequest(words)
	if day.MatchString(tag) || slices.ContainsFunc(words, isFixed) || (len(words) > 1 && words[0] == "sha") {
		return rankFixed
	}
	for _, w := range words {
		switch {
		case fullVersion.MatchString(w):
			return rankFixed
		case minorVersion.MatchString(w):
			return rankMinor
		case majorVersion.MatchString(w):
			return rankMajor
		}
	}
	return rankMoving
}

// withoutRequest drops the number of a pull or merge request, which is no version.
func withoutRequest(words []string) []string {
	if len(words) > 1 && slices.Contains([]string{"pr", "mr", "pull", "merge"}, words[0]) {
		return words[2:]
	}
	return words
}

// isFixed is whether a word is a commit or a date.
func isFixed(word string) bool {
	return timestamp.MatchString(word) || (commit.MatchString(word) && strings.ContainsAny(word, "0123456789"))
}
