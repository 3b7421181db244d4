package meta

import (
	"encoding/csv"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/tonistiigi/go-csvvalue"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// Options are rules as a person wrote them: the entries of list inputs, blank
// ones left out. An entry whose Line is 0 is named by its text in errors.
type Options struct {
	Images      []input.Entry
	Tags        []input.Entry // default: schedule, and ref of branch, tag and pr
	Flavor      []input.Entry
	Labels      []input.Entry
	Annotations []input.Entry
	// Levels are where annotations go, separated by commas. Default: manifest.
	Levels string
	// ShortLength is how many characters of a commit a short one has.
	// Default: 7. It is looked at when one is wanted.
	ShortLength string

	// Extended allows what docker's action takes for a fault: string helpers in
	// expressions, and type=ref without an event.
	Extended bool
	// Guard keeps latest, and what moves by a version (1, 1.2), from moving to
	// a version when Facts.Versions or Facts.Published has a
	// higher one.
	Guard bool
	// HashLongTags ends a name that is cut with a hash of the whole of it, so
	// that two long names do not become one tag.
	HashLongTags bool
}

// Entries are the entries of a list whose lines nobody kept.
func Entries(list []string) []input.Entry {
	entries := make([]input.Entry, len(list))
	for i, text := range list {
		entries[i].Text = text
	}
	return entries
}

// Rules are parsed rules.
type Rules struct {
	images      []image
	common      ruleSet // of the images that have none of their own
	labels      []entry
	annotations []entry
	levels      []string
	options     Options

	warnings []string
	notes    []string
}

// ruleSet is what gives the tags of one image, or of all.
type ruleSet struct {
	image  string // whose it is; empty for the common one
	tags   []tagRule
	flavor flavor
}

// sets are the sets that an enabled image uses, in the images' order; the
// common one where there is no image.
func (r Rules) sets() []ruleSet {
	var sets []ruleSet
	common := false
	for _, i := range r.images {
		switch {
		case !i.enabled:
		case i.own != nil:
			sets = append(sets, *i.own)
		case !common:
			sets, common = append(sets, r.common), true
		}
	}
	if len(sets) == 0 {
		sets = append(sets, r.common)
	}
	return sets
}

// entry is an entry of a list, and where it stands.
type entry struct {
	input string
	line  int
	text  string
}

// fault is a fault of the entry, at a column of it, from 1; 0 is none. Columns
// are of the entry as rules read it, which has lost the quotes around it.
func (e entry) fault(column int, format string, args ...any) *errdefs.Error {
	if column > 0 {
		format, args = "column %d: "+format, append([]any{column}, args...)
	}
	return errdefs.BadInputf(e.input, e.line, format, args...)
}

// field is one field of an entry.
type field struct {
	text   string
	column int // at which it begins, from 1
}

// Parse reads rules. It gives every fault at once, each an errdefs.BadInput
// with its input and line; expressions within are looked at when they are
// evaluated, since a rule that does not apply may hold anything.
func Parse(o Options) (Rules, error) {
	r := Rules{options: o, levels: []string{"manifest"}}
	if o.Levels != "" {
		r.levels = strings.Split(o.Levels, ",")
	}
	common, faults := r.parseFlavor(entries("flavor", o.Flavor))
	r.common.flavor = common
	tagFaults := r.parseTags(entries("tags", o.Tags))
	faults = slices.Concat(r.parseImages(entries("images", o.Images)), tagFaults, faults)
	r.labels = entries("labels", o.Labels)
	r.annotations = entries("annotations", o.Annotations)
	return r, errors.Join(faults...)
}

// entries says of each entry which input it is of.
func entries(name string, list []input.Entry) []entry {
	named := make([]entry, len(list))
	for i, e := range list {
		named[i] = entry{input: name, line: e.Line, text: e.Text}
	}
	return named
}

// fields splits an entry again, at commas. Quotes are strict this time, and
// only the first record counts: docker's action parses entries twice.
func (e entry) fields() ([]field, error) {
	record := firstRecord(e.text)
	texts, err := csvvalue.Fields(record, nil)
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return nil, e.fault(bad.Column, "%w in %s", bad.Err, e.text).
			WithHint(`quote the whole line, and write "" for a quote within: "type=match,""pattern=\d{1,2}"""`)
	}
	starts := fieldStarts(record)
	fields := make([]field, len(texts))
	for i, text := range texts {
		fields[i].text = text
		if i < len(starts) {
			fields[i].column = starts[i] + 1
		}
	}
	return fields, err
}

// fieldStarts are where the fields of a record begin, counted in bytes.
func fieldStarts(record string) []int {
	starts, quoted := []int{0}, false
	for i := range len(record) {
		switch {
		case record[i] == '"':
			quoted = !quoted
		case record[i] == ',' && !quoted:
			starts = append(starts, i+1)
		}
	}
	return starts
}

// firstRecord is text up to a line break that is not within quotes.
func firstRecord(text string) string {
	quoted := false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case (c == '\n' || c == '\r') && !quoted && i > 0:
			return text[:i]
		}
	}
	return text
}

// NeedsCommitTime is whether an expression may ask when the commit was made.
func (r Rules) NeedsCommitTime() bool { return r.mention("commit_date") }

// NeedsCommitCount is whether an expression may ask how many commits led here.
func (r Rules) NeedsCommitCount() bool { return r.mention("commit_count") }

// NeedsDefaultBranch is whether a rule can't do without the default branch.
func (r Rules) NeedsDefaultBranch() bool {
	return slices.ContainsFunc(r.sets(), func(s ruleSet) bool {
		return slices.ContainsFunc(s.tags, func(t tagRule) bool {
			return t.kind == "edge" && t.attributes["branch"] == ""
		})
	})
}

func (r Rules) mention(word string) bool {
	in := func(e entry) bool { return strings.Contains(e.text, word) }
	return slices.ContainsFunc(r.labels, in) || slices.ContainsFunc(r.annotations, in) ||
		slices.ContainsFunc(r.sets(), func(s ruleSet) bool {
			return strings.Contains(s.flavor.prefix, word) || strings.Contains(s.flavor.suffix, word) ||
				slices.ContainsFunc(s.tags, func(t tagRule) bool { return in(t.entry) })
		})
}

// sortByPriority orders rules, the highest priority first. A priority that is
// no number is equal to every other; where the order then depends on the
// algorithm, it is V8's for short lists: the longest ordered beginning, then
// insertion by bisection.
func sortByPriority(rules []tagRule) {
	compare := func(a, b tagRule) float64 {
		if d := b.priority - a.priority; !math.IsNaN(d) {
			return d
		}
		return 0
	}
	if len(rules) < 2 {
		return
	}
	run := 2
	descending := compare(rules[1], rules[0]) < 0
	for run < len(rules) && (compare(rules[run], rules[run-1]) < 0) == descending {
		run++
	}
	if descending {
		slices.Reverse(rules[:run])
	}
	for i := run; i < len(rules); i++ {
		pivot, left, right := rules[i], 0, i
		for left < right {
			middle := (left + right) / 2
			if compare(pivot, rules[middle]) < 0 {
				right = middle
			} else {
				left = middle + 1
			}
		}
		copy(rules[left+1:i+1], rules[left:i])
		rules[left] = pivot
	}
}
