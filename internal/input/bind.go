package input

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v10"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Bind fills opts, a pointer to a struct, from args, environ and defaults, in
// that order of precedence. It returns every fault at once, joined, each an
// errdefs.BadInput under the name that its user wrote (--flag or input name),
// with the nearest known name as its hint where a flag is unknown.
func Bind(opts any, environ map[string]string, args []string) error {
	fields := declared(opts)
	given, faults := parseArgs(fields, args)

	b := binder{sources: map[string]source{}, faults: faults}
	texts := map[string]string{}
	for _, f := range fields {
		s := find(f, given, environ)
		b.sources[f.key] = s
		texts[f.key] = s.text
	}
	err := env.ParseWithOptions(opts, env.Options{
		Environment: texts,
		FuncMap:     b.parsers(),
		OnSet:       func(key string, _ any, _ bool) { b.current = b.sources[key] },
	})
	return errors.Join(append(b.faults, err)...)
}

// source is a field's text and the name under which its user gave it.
type source struct {
	field
	name string
	text string // empty where nobody gave one
}

// find takes the first text that is not blank. Runners set every input of an
// action, those that nobody gave as empty ones.
func find(f field, given map[string]source, environ map[string]string) source {
	if s, ok := given[f.Name]; ok && !f.blank(s.text) {
		return s
	}
	for _, name := range f.Env {
		if text := environ[name]; !f.blank(text) {
			shown := f.Name
			if !strings.HasPrefix(name, "INPUT_") && !strings.HasPrefix(name, "HULLWRIGHT_") {
				shown = name
			}
			return source{field: f, name: shown, text: text}
		}
	}
	return source{field: f, name: f.Name}
}

func (f field) blank(text string) bool {
	if f.Type == "text" {
		return text == ""
	}
	return trim(text) == ""
}

// binder gives package env a parser for each type. env hands such a parser a
// text and nothing else, so OnSet, which env calls just before, tells which
// field it is for.
type binder struct {
	sources map[string]source // by the tag env
	current source
	faults  []error
}

func (b *binder) parsers() map[reflect.Type]env.ParserFunc {
	parsers := map[reflect.Type]env.ParserFunc{}
	for t := range kinds {
		parsers[t] = func(text string) (any, error) {
			value, faults := b.current.parse(text)
			for _, f := range faults {
				f.Input = b.current.name
				b.faults = append(b.faults, f)
			}
			return value, nil // env need not name faults again
		}
	}
	return parsers
}

// parse gives the value of the field's type, and every fault in text.
func (f field) parse(text string) (value any, faults []*errdefs.Error) {
	switch f.Type {
	case "text":
		return Text(text), nil
	case "secret":
		return Secret(trim(text)), nil
	case "lines", "words", "records", "secrets":
		return f.parseList(text)
	}
	text = trim(text)
	var err error
	switch f.Type {
	case "bool":
		// YAML's six words and Go's six more.
		if value, err = strconv.ParseBool(text); err != nil {
			faults = append(faults, errdefs.New(errdefs.BadInput, "%q is neither true nor false", text))
		}
	case "int":
		if value, err = strconv.Atoi(text); err != nil {
			faults = append(faults, errdefs.New(errdefs.BadInput, "%q is no whole number", text))
		}
	case "duration":
		if value, err = time.ParseDuration(text); err != nil {
			faults = append(faults, errdefs.New(errdefs.BadInput, "%q is no duration", text).
				WithHint("a number and its unit, as 90s or 5m"))
		}
	default:
		value, faults = text, f.refuse(nil, Entry{Text: text})
	}
	return value, faults
}

func (f field) parseList(text string) (any, []*errdefs.Error) {
	entries, err := f.grammar.Parse(text)
	var faults []*errdefs.Error
	var unclosed *errdefs.Error
	if errors.As(err, &unclosed) {
		faults = append(faults, unclosed)
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Text
		faults = f.refuse(faults, e)
	}
	switch f.Type {
	case "lines":
		return Lines(list), faults
	case "words":
		return Words(list), faults
	case "secrets":
		return Secrets(list), faults
	}
	records := make(Records, 0, len(entries))
	for _, e := range entries {
		fields, err := ParseRecord(e.Text)
		var bad *errdefs.Error
		if errors.As(err, &bad) {
			bad.Line = e.Line
			faults = append(faults, bad)
		}
		records = append(records, Record{Line: e.Line, Text: e.Text, Fields: fields})
	}
	return records, faults
}

// refuse adds a fault where an entry is none of the field's choices.
func (f field) refuse(faults []*errdefs.Error, e Entry) []*errdefs.Error {
	if f.Choices == nil || slices.Contains(f.Choices, e.Text) {
		return faults
	}
	fault := errdefs.BadInputf("", e.Line, "unknown value %q", e.Text).
		WithHint("one of %s", strings.Join(f.Choices, ", "))
	return append(faults, fault)
}
