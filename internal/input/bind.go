package input

import "errors"

// Bind fills opts, a pointer to a struct, from args, environ and defaults, in
// that order of precedence. It returns every fault at once, joined, each an
// errdefs.BadInput under the name that its user wrote (--flag or input name),
// with the nearest known name as its hint where a flag is unknown.
func Bind(opts any, environ map[string]string, args []string) error {
	return errors.New("not yet")
}

// Describe lists the inputs of opts, a struct or a pointer to one, in the
// order of its fields.
func Describe(opts any) []Input { return nil }

// Help is the inputs as --help shows them: a flag and its help, the default
// and the environment name.
func Help(inputs []Input) string { return "" }
