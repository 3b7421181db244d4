package meta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSON is the result as one JSON object.
func (r Result) JSON() string {
	return object(
		member{"tags", texts(r.References())},
		member{"tag-names", texts(r.Names())},
		member{"labels", pairsObject(r.Labels)},
		member{"annotations", texts(r.LevelAnnotations())},
	)
}

// BakeFile is a bake file that carries part of a result.
type BakeFile struct {
	Output string // the output that names it: "bake-file-tags"
	Name   string // of the file
	Text   string
}

// BakeFiles are bake definitions of targets. An image that belongs to a target
// gives its tags to that one only.
func (r Result) BakeFiles(targets ...string) []BakeFile {
	file := func(part string, members func(target string) []member) BakeFile {
		f := BakeFile{Output: "bake-file", Name: "docker-metadata-action-bake.json"}
		if part != "" {
			f.Output, f.Name = "bake-file-"+part, "docker-metadata-action-bake-"+part+".json"
		}
		var definitions []member
		for _, target := range targets {
			definitions = append(definitions, member{target, object(members(target)...)})
		}
		f.Text = indent(object(member{"target", object(definitions...)}))
		return f
	}
	labels := member{"labels", pairsObject(r.Labels)}
	annotations := member{"annotations", texts(leveled(r.bakeLevels(), r.Annotations))}
	return []BakeFile{
		file("tags", func(target string) []member { return []member{r.bakeTags(target), r.bakeArgs(target)} }),
		file("labels", func(string) []member { return []member{labels} }),
		file("annotations", func(string) []member { return []member{annotations} }),
		file("", func(target string) []member { return []member{r.bakeTags(target), labels, r.bakeArgs(target)} }),
	}
}

func (r Result) bakeTags(target string) member {
	if len(r.Images) == 0 {
		return member{"tags", texts(r.Names())}
	}
	return member{"tags", texts(r.references(r.imageIndexes(target)))}
}

func (r Result) bakeArgs(target string) member {
	var images []string
	for _, i := range r.imageIndexes(target) {
		images = append(images, r.Images[i])
	}
	arguments := []member{{"DOCKER_META_IMAGES", quote(strings.Join(images, ","))}}
	if r.Version != "" {
		arguments = append(arguments, member{"DOCKER_META_VERSION", quote(r.Version)})
	}
	return member{"args", object(arguments...)}
}

// bakeLevels are the levels without what follows a colon: bake has no
// annotations of a single platform here.
func (r Result) bakeLevels() []string {
	levels := make([]string, len(r.Levels))
	for i, level := range r.Levels {
		levels[i], _, _ = strings.Cut(level, ":")
	}
	return levels
}

// What follows writes JSON as JavaScript does, whose order of keys and whose
// escapes encoding/json does not have.

type member struct{ key, json string }

func object(members ...member) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(m.key) + ":" + m.json)
	}
	return b.String() + "}"
}

func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// pairsObject is an object of pairs. A value ends at its first line break, keys
// that are array indexes come first, and __proto__ can't be one.
func pairsObject(pairs []Pair) string {
	var members []member
	for _, p := range pairs {
		if p.Key == "__proto__" {
			continue
		}
		value := p.Value
		if i := strings.IndexAny(value, "\n\r\u2028\u2029"); i >= 0 {
			value = value[:i]
		}
		members = append(members, member{p.Key, quote(value)})
	}
	slices.SortStableFunc(members, func(a, b member) int {
		i, aIndex := arrayIndex(a.key)
		j, bIndex := arrayIndex(b.key)
		switch {
		case aIndex && bIndex:
			return int(i - j)
		case aIndex:
			return -1
		case bIndex:
			return 1
		}
		return 0
	})
	return object(members...)
}

// arrayIndex reads a key that JavaScript takes for a number.
func arrayIndex(key string) (int64, bool) {
	n, err := strconv.ParseInt(key, 10, 64)
	return n, err == nil && n >= 0 && n < 1<<32-1 && strconv.FormatInt(n, 10) == key
}

// quote is JSON.stringify of a text.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= 0x20:
			if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
				b.WriteRune(utf8.RuneError)
				continue
			}
			b.WriteRune(r)
		default:
			b.WriteString(control(r))
		}
	}
	return b.String() + `"`
}

func control(r rune) string {
	if i := strings.IndexRune("\b\f\n\r\t", r); i >= 0 {
		return `\` + "bfnrt"[i:i+1]
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func indent(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return text
	}
	return b.String()
}
