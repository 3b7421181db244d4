package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// Main runs a program that has several verbs and returns its exit code. Its
// first argument chooses the verb.
func Main(program string, verbs []Verb) int {
	env, ctx, stop, err := process()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", program, err)
		return errdefs.ExitEnvironment
	}
	defer stop()
	return Run(ctx, env, program, verbs, os.Args[1:])
}

// MainOf runs a program that is one verb, as the actions' programs are.
func MainOf(verb Verb) int {
	env, ctx, stop, err := process()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", verb.Name, err)
		return errdefs.ExitEnvironment
	}
	defer stop()
	return runVerb(ctx, env, verb.Name, verb, os.Args[1:])
}

// Run is [Main] without the process: tests call it.
func Run(ctx context.Context, env *Env, program string, verbs []Verb, args []string) int {
	if len(args) == 0 || isHelp(args[0]) {
		if len(args) > 1 {
			if v, ok := find(verbs, args[1]); ok {
				printVerbHelp(env.Stdout, program+" "+v.Name, v)
				return errdefs.ExitDone
			}
		}
		printHelp(env.Stdout, program, verbs)
		return errdefs.ExitDone
	}
	if args[0] == "version" || args[0] == "--version" {
		fmt.Fprintln(env.Stdout, program, Version())
		return errdefs.ExitDone
	}
	v, ok := find(verbs, args[0])
	if !ok {
		err := errdefs.New(errdefs.BadInput, "unknown command %q", args[0]).
			WithHint("%s help lists the commands", program)
		return printError(env, program, err)
	}
	return runVerb(ctx, env, program+" "+v.Name, v, args[1:])
}

func runVerb(ctx context.Context, env *Env, usage string, v Verb, args []string) int {
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "-h" || a == "--help" {
			printVerbHelp(env.Stdout, usage, v)
			return errdefs.ExitDone
		}
		if a == "--version" {
			fmt.Fprintln(env.Stdout, usage, Version())
			return errdefs.ExitDone
		}
	}
	defer env.flush()
	err := v.run(ctx, env, args)
	// What was given before a failure stays given: a later step may need the
	// digest of a build whose report could not be written.
	err = errors.Join(err, env.outputs.write())
	if err != nil {
		return printError(env, v.Name, err)
	}
	return errdefs.ExitDone
}

// process is the real process as an Env, with a context that ends at the first
// SIGINT, SIGTERM or SIGHUP. A second signal ends the process at once.
func process() (*Env, context.Context, func(), error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, nil, nil, err
	}
	// Libraries below gRPC print to the standard logger, in the middle of a
	// display, what comes back as an error anyway.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	environ := environMap(os.Environ())
	executable, _ := os.Executable() // what is looked for beside it may be elsewhere, too
	secrets := new(ci.Secrets)
	env := &Env{
		Stdin:      os.Stdin,
		Stdout:     secrets.Writer(os.Stdout),
		Raw:        os.Stdout,
		Stderr:     secrets.Writer(os.Stderr),
		Secrets:    secrets,
		Environ:    environ,
		Dir:        dir,
		Executable: executable,
		Now:        time.Now,
		// Buildkite's agent and act give jobs a terminal that nobody watches.
		Terminal: environ["CI"] == "" && term.IsTerminal(int(os.Stderr.Fd())),
	}
	if env.Terminal {
		env.Stderr = os.Stderr // a live display needs the file itself
	}
	return env, ctx, stop, nil
}

// flush hands on what the streams hold back.
func (e *Env) flush() {
	for _, w := range []io.Writer{e.Stdout, e.Stderr} {
		if f, ok := w.(interface{ Flush() error }); ok {
			f.Flush() // a closed stdout has nobody left to tell
		}
	}
}
