package input

import (
	"encoding/csv"
	"errors"
	"strings"
	"unicode"

	"github.com/tonistiigi/go-csvvalue"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Grammar is how the text of a list is split into entries. All lists share one
// syntax, which is the one that workflows for GitHub have grown used to: CSV
// with relaxed quotes. An entry that begins with a double quote runs to the
// closing one, over commas and line breaks, and "" within it is one quote; a
// quote elsewhere is an ordinary character. The zero value is [Lines].
type Grammar struct {
	Commas     bool // commas split too
	Comments   bool // a line that begins with # is left out
	KeepQuotes bool // a quote is an ordinary character everywhere
	Untrimmed  bool // blanks around an entry belong to it
}

// Entry is one entry of a list.
type Entry struct {
	Line int // on which it begins, from 1, within the input
	Text string
}

// Parse splits text. Blank entries are left out. A quote that is not closed is
// an errdefs.BadInput with its line and no input's name.
func (g Grammar) Parse(text string) ([]Entry, error) {
	first := 1
	if !g.Untrimmed {
		rest := strings.TrimLeftFunc(text, isBlank)
		first += countLines(text[:len(text)-len(rest)])
		text = trim(rest)
	}
	records, err := parseCSV(text, first, g)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, r := range records {
		for _, s := range g.split(r.fields) {
			if trim(s) == "" {
				continue
			}
			if !g.Untrimmed {
				s = trim(s)
			}
			entries = append(entries, Entry{Line: r.line, Text: s})
		}
	}
	return entries, nil
}

// split gives the entries of a record. Where commas do not split, the fields
// are joined again, and so a quoted field loses its quotes; where they do, a
// field that is alone on its line is split even if it was quoted. Both are what
// docker's actions do (actions-toolkit, Util.getList).
func (g Grammar) split(fields []string) []string {
	switch {
	case !g.Commas:
		return []string{strings.Join(fields, ",")}
	case len(fields) == 1:
		return strings.Split(fields[0], ",")
	default:
		return fields
	}
}

// ParseRecord splits one line of key=value fields. The quotes of CSV are
// strict here; an error has neither input nor line.
func ParseRecord(text string) ([]Field, error) {
	if trim(text) == "" {
		return nil, nil
	}
	parts, err := csvvalue.Fields(text, nil)
	var bad *csv.ParseError
	if errors.As(err, &bad) { // which does not repeat the text: it may hold a key
		return nil, errdefs.New(errdefs.BadInput, "column %d: %w", bad.Column, bad.Err).
			WithHint(`a field that holds a comma or a quote is written "key=value", with "" for a quote within`)
	}
	if err != nil {
		return nil, err
	}
	fields := make([]Field, len(parts))
	for i, part := range parts {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" { // "=x" has no key that could be meant
			fields[i] = Field{Value: trim(part)}
			continue
		}
		fields[i] = Field{Key: strings.ToLower(trim(key)), Value: trim(value)}
	}
	return fields, nil
}

// record is one line of CSV; a quoted field may make it longer than a line of
// text.
type record struct {
	line   int
	fields []string
}

// scanner splits CSV as csv-parse 7 does with relax_quotes, relax_column_count,
// skip_empty_lines and comment_no_infix set, byte for byte.
type scanner struct {
	text    string
	pos     int
	line    int
	grammar Grammar
	eol     string // the line break in use; the first one outside quotes decides, others are ordinary characters

	field   []byte
	quoted  bool // the field was opened by a quote that is closed by now
	record  record
	records []record
}

func parseCSV(text string, line int, g Grammar) ([]record, error) {
	s := &scanner{text: text, line: line, grammar: g}
	s.record.line = line
	for s.pos < len(s.text) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	if s.begun() {
		s.endRecord()
	}
	return s.records, nil
}

// next reads a quoted run, a line break, a comment, a comma or one byte.
func (s *scanner) next() error {
	c := s.text[s.pos]
	switch n := s.lineBreak(s.pos); {
	case c == '"' && !s.grammar.KeepQuotes && len(s.field) == 0:
		return s.quote()
	case n > 0:
		if s.begun() {
			s.endRecord()
		}
		s.advance(n)
		s.record.line = s.line
	case s.grammar.Comments && c == '#' && len(s.field) == 0 && len(s.record.fields) == 0:
		for s.pos < len(s.text) && s.lineBreak(s.pos) == 0 {
			s.advance(1)
		}
	case c == ',':
		s.endField()
		s.advance(1)
	default:
		s.field = append(s.field, c)
		s.advance(1)
	}
	return nil
}

// quote reads from an opening quote to the closing one. Where something other
// than the end of a field follows that, both quotes are ordinary characters.
func (s *scanner) quote() error {
	opened := s.line
	s.advance(1)
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c != '"' {
			s.field = append(s.field, c)
			s.advance(1)
			continue
		}
		if strings.HasPrefix(s.text[s.pos+1:], `"`) {
			s.field = append(s.field, '"')
			s.advance(2)
			continue
		}
		s.advance(1)
		s.quoted = true
		if !s.fieldEnds() {
			s.field = append(append([]byte{'"'}, s.field...), '"')
		}
		return nil
	}
	return errdefs.BadInputf("", opened, "a quote is not closed").
		WithHint(`close it, or begin the entry with another character; within quotes, "" is one quote`)
}

func (s *scanner) fieldEnds() bool {
	if s.pos == len(s.text) || s.lineBreak(s.pos) > 0 {
		return true
	}
	c := s.text[s.pos]
	return c == ',' || s.grammar.Comments && c == '#'
}

// lineBreak is the length of the line break at i, 0 for none.
func (s *scanner) lineBreak(i int) int {
	if s.eol == "" {
		for _, eol := range []string{"\r\n", "\n", "\r"} { // "\r\n" before its parts
			if strings.HasPrefix(s.text[i:], eol) {
				s.eol = eol
				return len(eol)
			}
		}
		return 0
	}
	if strings.HasPrefix(s.text[i:], s.eol) {
		return len(s.eol)
	}
	return 0
}

// advance moves on by n bytes, and counts lines as an editor would.
func (s *scanner) advance(n int) {
	for range n {
		c := s.text[s.pos]
		s.pos++
		if c == '\n' || c == '\r' && !strings.HasPrefix(s.text[s.pos:], "\n") {
			s.line++
		}
	}
}

func (s *scanner) begun() bool {
	return s.quoted || len(s.field) > 0 || len(s.record.fields) > 0
}

func (s *scanner) endField() {
	s.record.fields = append(s.record.fields, string(s.field))
	s.field, s.quoted = nil, false
}

func (s *scanner) endRecord() {
	s.endField()
	s.records = append(s.records, s.record)
	s.record = record{}
}

// trim cuts the blanks that GitHub's own library cuts from an input: those of
// JavaScript, which has U+FEFF among them and U+0085 not.
func trim(s string) string { return strings.TrimFunc(s, isBlank) }

func isBlank(r rune) bool {
	return r == '\uFEFF' || r != '\u0085' && unicode.IsSpace(r)
}

func countLines(s string) int {
	return strings.Count(s, "\n") + strings.Count(s, "\r") - strings.Count(s, "\r\n")
}

// Entries are the records as they were written, for a reader that splits them
// by a syntax of its own.
func (r Records) Entries() []Entry {
	entries := make([]Entry, len(r))
	for i, record := range r {
		entries[i] = Entry{Line: record.Line, Text: record.Text}
	}
	return entries
}
