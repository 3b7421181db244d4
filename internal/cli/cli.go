// Package cli is the shell around every command: streams, signals, the table
// of verbs, printed errors and exit codes.
//
// Begin with [Main], which a program's main calls, and [NewVerb], with which a
// verb's package makes the one value that it exports.
package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// Env is the process as a verb sees it. Nothing below a verb reads another.
type Env struct {
	Stdin   io.Reader
	Stdout  io.Writer // results, and nothing else
	Raw     io.Writer // standard output as it is, for files: nothing in them is hidden
	Stderr  io.Writer // progress, notices, errors
	Environ map[string]string
	Dir     string // working directory, absolute
	// Executable is the path of the running program; empty where the system does
	// not tell.
	Executable string
	Now        func() time.Time // the clock; SOURCE_DATE_EPOCH is the verb's business
	// Terminal is whether Stderr is a terminal that a person watches.
	Terminal bool
	// Secrets are hidden in what Stdout and Stderr print, and in all else that a
	// verb writes of foreign text. Masking a value adds it.
	Secrets *ci.Secrets
	// CI is the system that runs the job; set before a verb runs.
	CI ci.Provider

	outputs *outputs
}

// Output hands a value to later steps and to --outputs-file.
func (e *Env) Output(name, value string) error { return e.outputs.set(e, name, value) }

// Output is a value that a verb hands to later steps, as documentation and
// action.yml show it.
type Output struct {
	Name string
	Help string
}

// Common are the inputs that every verb has. A verb's options embed it.
type Common struct {
	Provider    string `env:"PROVIDER" help:"CI system to take the event from and to give outputs to; found from the environment where not given." choices:"forgejo gitea github gitlab circleci buildkite azure bitbucket woodpecker drone travis teamcity codebuild jenkins cloudbuild tekton git"`
	OutputsFile string `env:"OUTPUTS-FILE" placeholder:"FILE" help:"File that receives all outputs as one JSON object."`
	DotenvFile  string `env:"DOTENV-FILE" placeholder:"FILE" help:"File that receives the outputs as KEY=value lines; on GitLab hullwright.env by default, for artifacts:reports:dotenv."`
}

func (c *Common) common() *Common { return c }

// Verb is a command of hullwright.
type Verb struct {
	Name    string
	Summary string // one line, lower case, no period
	Long    string // what --help says below the summary
	Outputs []Output
	// Reports is whether the verb shows its results to people itself. On plain
	// git, where no later step reads outputs, they are not listed again then.
	Reports bool
	// Inputs gives the verb's declared inputs. Few runs need them: reading those
	// of all verbs takes longer than a run of metadata.
	Inputs func() []input.Input

	run func(ctx context.Context, env *Env, args []string) error
}

// NewVerb makes a verb whose inputs are the fields of O. The constructor only
// binds: run is called with options that input.Bind has filled, and with
// env.CI set.
func NewVerb[O any, P interface {
	*O
	common() *Common
}](v Verb, run func(ctx context.Context, env *Env, opts O) error) Verb {
	v.Inputs = sync.OnceValue(func() []input.Input { return input.Describe(new(O)) })
	v.run = func(ctx context.Context, env *Env, args []string) error {
		var opts O
		faults := input.Bind(&opts, env.Environ, args)
		// The CI system is found where inputs are bad too: it marks the faults.
		if err := env.bind(P(&opts).common(), v.Reports); err != nil {
			return errors.Join(faults, err)
		}
		if faults != nil {
			return errors.Join(faults, furtherFaults(ctx, env, opts, faults))
		}
		return run(ctx, env, opts)
	}
	return v
}

// Checker is implemented by options whose values can be bad in ways that their
// types don't tell. Check gives these faults, also where others were found
// before, so that a person sees all at once; it does nothing else.
type Checker interface {
	Check(ctx context.Context, env *Env) error
}

// furtherFaults are those that the options find themselves, without what
// follows from a fault that is told already: its input has no value. Where a
// flag is unknown, any input may be the one that was meant, and none is checked.
func furtherFaults(ctx context.Context, env *Env, opts any, told error) error {
	checker, ok := opts.(Checker)
	if !ok {
		return nil
	}
	bad := map[string]bool{}
	for _, fault := range errdefs.List(told) {
		var e *errdefs.Error
		if !errors.As(fault, &e) || e.Input == "" {
			return nil
		}
		bad[strings.TrimPrefix(e.Input, "--")] = true
	}
	var further []error
	for _, fault := range errdefs.List(checker.Check(ctx, env)) {
		var e *errdefs.Error
		if errors.As(fault, &e) && e.Kind == errdefs.BadInput && e.Input != "" && !bad[e.Input] {
			further = append(further, fault)
		}
	}
	return errors.Join(further...)
}
