// Command env brings up the real environment that hullwright's tests run in:
// a Docker Engine with a BuildKit image, emulators, a registry with
// multi-platform base images, the helper programs, a GitLab runner and object
// stores.
//
// Begin with [steps], the list of what is brought up, in order. Nothing of it
// lies in the repository: state and caches are in one directory of the
// machine, which every clone shares (see [layout]). docs/testing.md says how
// to use it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const usage = `usage: go run ./test/env COMMAND

commands:
  up [PART...]     bring up all parts, or some and what they need
  down [PART...]   stop what was started here, unmount what was mounted; keep caches
  down --all       the same, and remove caches and images too
  status           say what is up
  vars             print the environment's variables as shell exports
  exec [--] CMD    run CMD with these variables
`

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main with its world as arguments. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, args, environ, stdout)
	if err == nil {
		return errdefs.ExitDone
	}
	for _, e := range errdefs.List(err) {
		fmt.Fprintf(stderr, "env: error: %v\n", e)
	}
	for _, hint := range errdefs.Hints(err) {
		fmt.Fprintf(stderr, "env: hint: %s\n", hint)
	}
	return errdefs.KindOf(err).ExitCode()
}

func dispatch(ctx context.Context, args, environ []string, stdout io.Writer) error {
	if len(args) == 0 {
		return badUsage("no command")
	}
	command, args := args[0], args[1:]
	if command == "help" || command == "-h" || command == "--help" {
		_, err := io.WriteString(stdout, usage)
		return err
	}
	w, err := newWorld(environ, stdout)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return up(ctx, w, args)
	case "down":
		return down(ctx, w, args)
	case "status":
		return status(ctx, w)
	case "vars":
		return printVars(w, stdout)
	case "exec":
		return execute(w, args)
	}
	return badUsage("unknown command %q", command)
}

func badUsage(format string, args ...any) error {
	return errdefs.New(errdefs.BadInput, format, args...).WithHint("go run ./test/env help lists the commands")
}
