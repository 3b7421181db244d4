// Package errdefs says how hullwright fails: what a person is told, and with
// which code a command exits.
//
// Begin with [Error]. A function that finds a fault returns one, or wraps one
// with %w and its own operand; [KindOf] and [Hints] read them back from any
// chain or [errors.Join] of errors. Nothing here prints: internal/cli does.
package errdefs

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind is the class of a failure. It decides the exit code.
type Kind int

const (
	// Unknown is a failure that nobody classified. It exits with 1.
	Unknown Kind = iota
	// Build is a build that ran and failed.
	Build
	// BadInput is something that a person wrote and can put right.
	BadInput
	// Environment is something missing or unreachable around the program: an
	// engine, a builder, a registry, a disk.
	Environment
	// Denied is a registry or a daemon that answered and refused.
	Denied
	// Canceled is a run that was told to stop.
	Canceled
)

// The exit codes of every command.
const (
	ExitDone        = 0
	ExitBuild       = 1
	ExitBadInput    = 2
	ExitEnvironment = 3
	ExitDenied      = 4
	ExitCanceled    = 130
)

// ExitCode is the code with which a command that failed with this kind exits.
func (k Kind) ExitCode() int {
	switch k {
	case BadInput:
		return ExitBadInput
	case Environment:
		return ExitEnvironment
	case Denied:
		return ExitDenied
	case Canceled:
		return ExitCanceled
	default:
		return ExitBuild
	}
}

// Error is a failure in a person's terms.
type Error struct {
	Kind  Kind
	Input string // the input's name as its user wrote it: "cache-to"; empty where no input is at fault
	Line  int    // the line within a list input, from 1; 0 is none
	Hint  string // the next move, one sentence, no period; empty where there is none
	Err   error  // what was found and what was expected; lower case, no period
}

// Error is the message without its hint: `input "cache-to" line 2: unknown cache type "registy"`.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Input != "" {
		fmt.Fprintf(&b, "input %q", e.Input)
		if e.Line > 0 {
			fmt.Fprintf(&b, " line %d", e.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// WithHint returns e with another hint, so that a fault and its next move stand side by side.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// New is an Error of a kind, from a format as in fmt.Errorf (%w included).
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// BadInputf is a BadInput at an input and, where line is not 0, a line of it.
func BadInputf(input string, line int, format string, args ...any) *Error {
	return &Error{Kind: BadInput, Input: input, Line: line, Err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of an error: the first classified one in its tree. Of
// joined errors Canceled wins, since what else broke did so on the way out. A
// context that was canceled is Canceled even where nobody said so; a deadline
// is not.
func KindOf(err error) Kind {
	first := Unknown
	for _, e := range List(err) {
		kind := Unknown
		walk(e, func(e error) bool {
			if t, ok := e.(*Error); ok {
				kind = t.Kind
			}
			return kind == Unknown
		})
		if kind == Unknown && errors.Is(e, context.Canceled) {
			kind = Canceled
		}
		if kind == Canceled {
			return Canceled
		}
		if first == Unknown {
			first = kind
		}
	}
	return first
}

// Hints are the hints in err's tree, outermost first, each once.
func Hints(err error) []string {
	var hints []string
	seen := map[string]bool{}
	walk(err, func(e error) bool {
		if t, ok := e.(*Error); ok && t.Hint != "" && !seen[t.Hint] {
			seen[t.Hint] = true
			hints = append(hints, t.Hint)
		}
		return true
	})
	return hints
}

// List splits joined errors into the single ones that a person reads line by
// line; an error that was not joined is a list of one.
func List(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	var lines []string
	for _, e := range joined.Unwrap() {
		list = append(list, List(e)...)
		lines = append(lines, e.Error())
	}
	// fmt.Errorf with several %w unwraps to a list too, but says more than its
	// parts; only what errors.Join made is no more than their lines.
	if err.Error() != strings.Join(lines, "\n") {
		return []error{err}
	}
	return list
}

// walk visits err's tree depth first until visit says stop.
func walk(err error, visit func(error) bool) bool {
	if err == nil {
		return true
	}
	if !visit(err) {
		return false
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return walk(u.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if !walk(e, visit) {
				return false
			}
		}
	}
	return true
}
