package input

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// kinds are the types that a field may have, and what documentation calls them.
var kinds = map[reflect.Type]string{
	reflect.TypeFor[string]():        "string",
	reflect.TypeFor[bool]():          "bool",
	reflect.TypeFor[int]():           "int",
	reflect.TypeFor[time.Duration](): "duration",
	reflect.TypeFor[Lines]():         "lines",
	reflect.TypeFor[[]string]():      "lines", // for packages that this one's floor is closed to
	reflect.TypeFor[Words]():         "words",
	reflect.TypeFor[Records]():       "records",
	reflect.TypeFor[Text]():          "text",
	reflect.TypeFor[Secrets]():       "secrets",
	reflect.TypeFor[Secret]():        "secret",
}

// placeholders are the values' names in --help where a field gives none.
var placeholders = map[string]string{
	"string": "VALUE", "text": "VALUE", "int": "N", "duration": "DURATION",
	"lines": "LINES", "words": "LIST", "records": "RECORDS", "secrets": "SECRETS", "secret": "SECRET",
}

// field is an input together with how its value is read.
type field struct {
	Input
	key     string // of the tag env
	grammar Grammar
}

// Describe lists the inputs of opts, a struct or a pointer to one, in the
// order of its fields. A declaration that can't be is a programming error, and
// panics.
func Describe(opts any) []Input {
	fields := declared(opts)
	inputs := make([]Input, len(fields))
	for i, f := range fields {
		inputs[i] = f.Input
	}
	return inputs
}

func declared(opts any) []field {
	t := reflect.TypeOf(opts)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	fields := appendFields(nil, t, "")
	owner := map[string]string{}
	for _, f := range fields {
		for _, env := range f.Env {
			if other, ok := owner[env]; ok {
				panic(fmt.Sprintf("input: %s of %v is declared by %s and %s", env, t, other, f.Name))
			}
			owner[env] = f.Name
		}
	}
	return fields
}

// appendFields adds the inputs of t. The tag group names the group of a field
// and of those after it, up to the next tag; of an embedded struct, the group
// of all its fields.
func appendFields(fields []field, t reflect.Type, group string) []field {
	for i := range t.NumField() {
		sf := t.Field(i)
		if g, ok := sf.Tag.Lookup("group"); ok {
			group = g
		}
		switch _, named := sf.Tag.Lookup("env"); {
		case !sf.IsExported():
		case named:
			f := declare(t, sf)
			f.Group = group
			fields = append(fields, f)
		case sf.Type.Kind() == reflect.Struct:
			fields = appendFields(fields, sf.Type, group)
		}
	}
	return fields
}

func declare(t reflect.Type, sf reflect.StructField) field {
	kind, ok := kinds[sf.Type]
	if kind == "lines" && sf.Tag.Get("commas") == "true" {
		kind = "words" // of a package that can't say so by the type
	}
	key := sf.Tag.Get("env")
	help := sf.Tag.Get("help")
	if !ok || help == "" || key != strings.ToUpper(key) || strings.ContainsAny(key, "_, ") {
		panic(fmt.Sprintf("input: %v.%s needs a known type, a help and a name in upper case with hyphens", t, sf.Name))
	}
	f := field{
		Input: Input{
			Name:        strings.ToLower(key),
			Env:         environNames(key, strings.Fields(sf.Tag.Get("also"))),
			Default:     sf.Tag.Get("envDefault"),
			Help:        help,
			Placeholder: sf.Tag.Get("placeholder"),
			Arg:         sf.Tag.Get("arg"),
			Bare:        sf.Tag.Get("bare"),
			NoFlag:      sf.Tag.Get("flag") == "none",
			Type:        kind,
		},
		key: key,
		grammar: Grammar{
			Commas:     kind == "words",
			Comments:   sf.Tag.Get("comments") == "true",
			KeepQuotes: sf.Tag.Get("quotes") == "keep",
			Untrimmed:  kind == "secrets",
		},
	}
	if choices := strings.Fields(sf.Tag.Get("choices")); len(choices) > 0 {
		f.Choices = choices
	}
	if kind == "bool" {
		f.Bare = "true"
	}
	if f.Placeholder == "" {
		f.Placeholder = placeholders[kind]
	}
	return f
}

// environNames are the environment's names of an input, in order of precedence.
// Runners write hyphens as they are; a runner of old, and the env block of a
// composite action that a shell must read, write underscores.
func environNames(key string, also []string) []string {
	snake := strings.ReplaceAll(key, "-", "_")
	names := []string{"INPUT_" + key, "INPUT_" + snake, "HULLWRIGHT_" + snake}
	return slices.Compact(append(names, also...))
}
