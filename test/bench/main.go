// Command bench measures hullwright beside its peers, docker buildx and
// buildctl, on one builder and one registry in one run, and holds the ratios
// against their budgets.
//
// Begin with [rows], the list of what is measured. It runs inside the tests'
// environment, as make bench starts it, and brings up what else it needs by
// itself: see [lab]. docs/benchmarks.md says what each figure means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// options are what a person sets.
type options struct {
	n        int
	deadline time.Duration
	strict   bool
	verbose  bool
	bin      string
	only     []string
}

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main with its world as arguments. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return errdefs.ExitDone
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		ctx, cancel := context.WithTimeout(ctx, o.deadline)
		defer cancel()
		err = bench(ctx, o, environ, stdout, stderr)
	}
	if err == nil {
		return errdefs.ExitDone
	}
	for _, e := range errdefs.List(err) {
		fmt.Fprintf(stderr, "bench: error: %v\n", e)
	}
	for _, hint := range errdefs.Hints(err) {
		fmt.Fprintf(stderr, "bench: hint: %s\n", hint)
	}
	return errdefs.KindOf(err).ExitCode()
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.n, "n", 5, "measured `runs` of each program in each row; the metadata step runs six times as often")
	f.DurationVar(&o.deadline, "deadline", 15*time.Minute, "end after this `time`, clean-up aside")
	f.BoolVar(&o.strict, "strict", false, "exit with 1 where a budget is not met")
	f.BoolVar(&o.verbose, "v", false, "print every run")
	f.StringVar(&o.bin, "bin", "bin", "`directory` of hullwright and metadata")
	f.StringVar(&only, "only", "", "`rows` to measure, with commas between: "+strings.Join(rowNames(rows()), ", "))
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, &errdefs.Error{Kind: errdefs.BadInput, Err: err}
	}
	if f.NArg() > 0 {
		return o, errdefs.New(errdefs.BadInput, "unexpected argument %q", f.Arg(0))
	}
	if o.n < 1 {
		return o, errdefs.BadInputf("n", 0, "%d runs have no median", o.n)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	return o, nil
}

// choose gives the rows of these names, in the order of the list. No name is
// all rows.
func choose(all []row, names []string) ([]row, error) {
	for _, n := range names {
		if !slices.Contains(rowNames(all), n) {
			return nil, errdefs.BadInputf("only", 0, "unknown row %q", n).WithHint("one of %s", strings.Join(rowNames(all), ", "))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(r row) bool { return !slices.Contains(names, r.name) }), nil
}

func rowNames(all []row) []string {
	var names []string
	for _, r := range all {
		names = append(names, r.name)
	}
	return names
}

// bench measures the rows and prints the table. What was measured before a
// failure is printed too.
func bench(ctx context.Context, o options, environ []string, stdout, stderr io.Writer) error {
	chosen, err := choose(rows(), o.only)
	if err != nil {
		return err
	}
	l, err := newLab(o, environ, stderr)
	if err != nil {
		return err
	}
	table, err := measure(ctx, l, chosen)
	if len(table) > 0 {
		fmt.Fprint(stdout, describe(ctx, l), "\n", format(table))
	}
	err = errors.Join(err, l.close())
	if errors.Is(err, context.DeadlineExceeded) {
		err = errdefs.New(errdefs.Environment, "not done in %s: %w", o.deadline, err).WithHint("-deadline gives more time, -only and -n take less")
	}
	if over := overBudget(table); err == nil && o.strict && over > 0 {
		return fmt.Errorf("%d of %d budgets are not met", over, len(table))
	}
	return err
}

// measure brings up the lab and runs the rows, one after the other.
func measure(ctx context.Context, l *lab, chosen []row) ([]measurement, error) {
	if slices.ContainsFunc(chosen, func(r row) bool { return r.builds }) {
		if err := l.up(ctx); err != nil {
			return nil, err
		}
	}
	var table []measurement
	for _, r := range chosen {
		l.sayf("measuring %s", r.name)
		m, err := r.measure(ctx, l)
		table = append(table, m...)
		if err != nil {
			return table, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return table, nil
}
