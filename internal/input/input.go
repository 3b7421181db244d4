// Package input declares what a person can set, once.
//
// A command's inputs are the fields of a struct. From that one struct come the
// flags, the environment names, the blocks of action.yml, docs/inputs.md and
// --help. Begin with [Bind], which fills such a struct, and [Describe], which
// lists its inputs.
//
//	type Options struct {
//		Tags  input.Words `env:"TAGS" help:"Full references to push."`
//		Push  bool        `env:"PUSH" envDefault:"false" help:"Push the index."`
//		Path  string      `env:"CONTEXT" envDefault:"." arg:"PATH" help:"Build context."`
//	}
//
// The tag env is the input's name in upper case, with hyphens. For CACHE-FROM
// the value is the first that is not blank of: the flag --cache-from, the
// environment's INPUT_CACHE-FROM and INPUT_CACHE_FROM (as CI runners set them),
// HULLWRIGHT_CACHE_FROM (for a shell), the names in the tag also, the tag
// envDefault. Other tags: help (required), arg (the input may be given as a
// positional argument of that name), choices (space-separated; any other value
// is an error), placeholder (the value's name in --help), quotes:"keep" (a list
// whose quotes belong to its entries), comments:"true" (a list where a line that
// begins with # is left out), bare (what the flag means without a value, which
// then must follow "=": bare:"true" for an input that is true, false or more; a
// bool has it already), flag:"none" (no flag gives it: an input of an action that
// a command has no use for), group (a heading of --help, for this field and those
// after it). Structs may be embedded.
//
// How lists are split is [Grammar]'s matter.
//
// Fields are string, bool, int, time.Duration, [Lines], [Words], [Records],
// [Text], [Secret] or [Secrets]; for packages that may not import this one []string is
// [Lines], and [Words] with the tag commas:"true".
package input

// Lines is a list that is split at line breaks only.
type Lines []string

// Words is a list that is split at line breaks and commas.
type Words []string

// Text is a value that is taken as it is, surrounding blanks included.
type Text string

// Secrets is a list like [Lines] whose entries are not trimmed and never come
// from a flag, since a process's arguments are not private.
type Secrets []string

// Secret is a text that never comes from a flag. Blanks around it are not part of
// it, since they most often are the line break of who stored it.
type Secret string

// Records is a list of key=value lists in CSV, one a line.
type Records []Record

// Record is one line of [Records].
type Record struct {
	Line   int     // from 1, within the input
	Text   string  // as written, trimmed
	Fields []Field // in order
}

// Field is one key=value of a [Record]. A field that has no "=" has an empty
// Key and all of its text in Value.
type Field struct {
	Key   string // lower case
	Value string
}

// Input is one declared input, as documentation and flags show it.
type Input struct {
	Name        string   // "cache-from"
	Env         []string // every environment name that sets it, in order of precedence
	Default     string
	Help        string
	Placeholder string
	Arg         string   // the positional argument's name, empty where it is none
	Choices     []string // nil is any
	Bare        string   // what the flag means without a value; empty where it must have one
	Group       string   // heading of --help that it stands under; empty is none
	NoFlag      bool     // no flag gives it, and --help leaves it out
	Type        string   // "string", "bool", "int", "duration", "lines", "words", "records", "text", "secret" or "secrets"
}

// Flag is the input's flag without dashes; empty where it has none.
func (i Input) Flag() string {
	if i.secret() || i.NoFlag {
		return ""
	}
	return i.Name
}

// secret is whether a process's arguments must not have it.
func (i Input) secret() bool { return i.Type == "secrets" || i.Type == "secret" }
