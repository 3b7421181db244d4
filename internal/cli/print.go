package cli

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// Version is the module's version as the build recorded it, or "devel".
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// printError prints every error and hint under the verb's name, marks them in
// the CI system, and returns the exit code.
func printError(env *Env, verb string, err error) int {
	// An error may quote what a stranger wrote: a branch, a Dockerfile, the
	// output of a step.
	inert := func(text string) string { return ci.Inert(env.CI, env.Secrets.Hide(text)) }
	for _, e := range errdefs.List(err) {
		fmt.Fprintf(env.Stderr, "%s: error: %s\n", verb, inert(e.Error()))
		for _, h := range errdefs.Hints(e) {
			fmt.Fprintf(env.Stderr, "%s: hint: %s\n", verb, inert(h))
		}
		var bad *errdefs.Error
		if noticer, ok := env.CI.(ci.Noticer); ok && errors.As(e, &bad) {
			noticer.Notice(ci.Notice{Level: ci.Failure, Message: inert(firstLine(e.Error())), Title: verb})
		}
	}
	return errdefs.KindOf(err).ExitCode()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func printHelp(w io.Writer, program string, verbs []Verb) {
	fmt.Fprintf(w, "%s takes a repository from a git ref to a pushed, verified, multi-platform image.\n\nusage: %s COMMAND [flags]\n\ncommands:\n", program, program)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range verbs {
		fmt.Fprintf(tw, "  %s\t%s\n", v.Name, v.Summary)
	}
	tw.Flush()
	fmt.Fprintf(w, "\n%s COMMAND --help shows a command's inputs.\nexit codes: 0 done, 1 build failed, 2 bad input, 3 environment, 4 denied, 130 canceled\n", program)
}

func printVerbHelp(w io.Writer, usage string, v Verb) {
	var args string
	for _, in := range v.Inputs() {
		if in.Arg != "" {
			args += " [" + in.Arg + "]"
		}
	}
	fmt.Fprintf(w, "%s: %s\n\nusage: %s [flags]%s\n", v.Name, v.Summary, usage, args)
	if v.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(v.Long))
	}
	if len(v.Inputs()) > 0 && v.Inputs()[0].Group == "" {
		fmt.Fprint(w, "\ninputs:\n")
	}
	fmt.Fprint(w, input.Help(v.Inputs()))
	if len(v.Outputs) == 0 {
		return
	}
	fmt.Fprint(w, "\noutputs:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range v.Outputs {
		fmt.Fprintf(tw, "  %s\t%s\n", o.Name, o.Help)
	}
	tw.Flush()
}

func find(verbs []Verb, name string) (Verb, bool) {
	for _, v := range verbs {
		if v.Name == name {
			return v, true
		}
	}
	return Verb{}, false
}

func isHelp(arg string) bool { return arg == "help" || arg == "-h" || arg == "--help" }
