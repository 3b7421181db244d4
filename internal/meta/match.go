package meta

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

// matchTimeout bounds what a pattern may take. The engine backtracks, so there
// are patterns that never end.
const matchTimeout = 2 * time.Second

// pattern is a JavaScript regular expression.
type pattern struct {
	re             *regexp2.Regexp
	names          []string // of the groups, in order; those without one are empty
	global, sticky bool
}

// parsePattern reads a pattern with JavaScript's flags.
func parsePattern(body, flags string) (pattern, error) {
	var p pattern
	options := regexp2.RegexOptions(regexp2.ECMAScript)
	for i, f := range flags {
		if strings.ContainsRune(flags[:i], f) {
			//lint:ignore ST1005 the words are those that its users know
			return p, fmt.Errorf("Invalid flags supplied to RegExp constructor '%s'", flags)
		}
		switch f {
		case 'i':
			options |= regexp2.IgnoreCase
		case 'm':
			options |= regexp2.Multiline
		case 's':
			options |= regexp2.Singleline
		case 'u':
			options |= regexp2.Unicode
		case 'g':
			p.global = true
		case 'y':
			p.sticky = true
		case 'd', 'v':
		default:
			//lint:ignore ST1005 the words are those that its users know
			return p, fmt.Errorf("Invalid flags supplied to RegExp constructor '%s'", flags)
		}
	}
	re, err := regexp2.Compile(body, options)
	if err != nil {
		//lint:ignore ST1005 the words are those that its users know
		return p, fmt.Errorf("Invalid regular expression: /%s/%s: %w", body, flags, err)
	}
	re.MatchTimeout = matchTimeout
	p.re, p.names = re, groupNames(body)
	return p, nil
}

// match is String.match: the groups of the first match, or with the flag g all
// matches. A group that took no part is nil; no match is a nil list.
func (p pattern) match(s string) ([]*string, error) {
	m, err := p.re.FindStringMatch(s)
	if err != nil || m == nil {
		return nil, err
	}
	if !p.global {
		if p.sticky && m.Index != 0 {
			return nil, nil
		}
		return p.groups(m), nil
	}
	var all []*string
	for end := 0; m != nil && (!p.sticky || m.Index == end); {
		all = append(all, captured(m.Group))
		if end = m.Index + m.Length; m.Length == 0 {
			end++
		}
		if m, err = p.re.FindNextMatch(m); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// groups are a match and its groups in the order of their parentheses. The
// engine counts as .NET does: those with a name come last.
func (p pattern) groups(m *regexp2.Match) []*string {
	groups := []*string{captured(m.Group)}
	number := 0
	for _, name := range p.names {
		var g *regexp2.Group
		if name != "" {
			g = m.GroupByName(name)
		} else {
			number++
			g = m.GroupByNumber(number)
		}
		if g == nil {
			groups = append(groups, nil)
			continue
		}
		groups = append(groups, captured(*g))
	}
	return groups
}

// groupNames finds the capturing groups of a pattern that compiles.
func groupNames(body string) (names []string) {
	class := false
	for i := 0; i < len(body); i++ {
		switch rest := body[i+1:]; {
		case body[i] == '\\':
			i++
		case class:
			class = body[i] != ']'
		case body[i] == '[':
			class = true
		case body[i] == '(' && !strings.HasPrefix(rest, "?"):
			names = append(names, "")
		case body[i] == '(' && strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!"):
			name, _, _ := strings.Cut(rest[2:], ">")
			names = append(names, name)
		}
	}
	return names
}

func captured(g regexp2.Group) *string {
	if len(g.Captures) == 0 {
		return nil
	}
	s := g.String()
	return &s
}

// version is what a version rule's match attribute finds in a text: the first
// group, or all that matched where the pattern has no group.
func (p pattern) version(text string) (found string, ok bool, err error) {
	groups, err := p.match(text)
	switch {
	case err != nil || groups == nil:
		return "", false, err
	case len(groups) == 1:
		return *groups[0], true, nil
	case groups[1] == nil:
		return "", false, fmt.Errorf("group 1 of %s takes no part in its match of %s", p.re, text)
	}
	return *groups[1], true, nil
}

// splitLiteral splits /body/flags.
func splitLiteral(s string) (body, flags string) {
	end := strings.LastIndex(s, "/")
	if strings.HasPrefix(s, "/") && end > 1 && !strings.ContainsAny(s, "\n\r\u2028\u2029") {
		return s[1:end], s[end+1:]
	}
	return s, ""
}

func applyMatch(x *evaluation, t tagRule) (verdict, error) {
	text, none, err := x.subject(t)
	if err != nil || none != "" {
		return verdict{skip: none}, err
	}
	source := t.attributes["pattern"]
	p, err := parsePattern(splitLiteral(source))
	if err != nil {
		return verdict{}, wrap(t.entry, t.columns["pattern"], err)
	}
	found, err := p.match(text)
	if err != nil {
		return verdict{}, err
	}
	if found == nil {
		x.warnf("%s does not match %s.", source, text)
		return skip("%s does not match %s", source, text), nil
	}
	group := t.attributes["group"]
	i, err := strconv.Atoi(group)
	// The group is a property's name: 01 and +1 are other names than 1.
	if err != nil || strconv.Itoa(i) != group || i < 0 || i >= len(found) || found[i] == nil {
		x.warnf("Group %s does not exist for %s pattern.", group, source)
		return skip("%s has no group %s", source, group), nil
	}
	if *found[i] == text {
		return verdict{text: text, latest: true}, nil
	}
	if higher := x.higherMatch(p, i, text, *found[i]); higher != "" && t.attributes["value"] == "" {
		return skip("%s is higher and has it", higher), nil
	}
	return verdict{text: *found[i], latest: true, moving: true}, nil
}
