// Package doctor is the doctor command: it checks before a build whether all
// that the build needs is there.
//
// Begin with [Verb]. It reads its inputs by the door of build-push, so that it
// checks the build that would be run.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/buildpush"
	"github.com/hullwright/hullwright/internal/doctor"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/report"
)

// Options are what a person sets: how checks are done, and all that build-push
// is given, so that its command lines are doctor's too. What no check needs does
// nothing. Strict, of build-push, has warnings fail here as it does there.
type Options struct {
	Only    input.Words   `group:"the checks" env:"ONLY" placeholder:"CHECKS" help:"Checks to do; the default is all."`
	Format  string        `env:"FORMAT" envDefault:"text" choices:"text json" help:"How standard output shows what was found."`
	Timeout time.Duration `env:"TIMEOUT" envDefault:"10s" help:"How long each check may take; they run at the same time."`

	buildpush.Options
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "doctor",
		Summary: "check everything that a build will need, and say what to do",
		Reports: true,
		Long: `
Looks, before a build, at all that it will need, at the same time and within
seconds. It changes nothing: no emulator is registered, and no registry keeps
anything. Every input of build-push is one of doctor's: write doctor in the
place of build-push to check that build. What no check needs does nothing.

  hullwright doctor --tags registry.example/app:1 --platforms linux/arm64 .
  hullwright doctor --only engine,builder,disk --format json

Registries are asked about a push where there is a name to push to, unless push
is false, or outputs, load or call say what else becomes of the build. With
strict a warning fails, too.

The exit code is 0 where nothing stands in the way of a build, 4 where all that
does is a refusal, and 3 otherwise.

` + checkList(),
		Outputs: []cli.Output{
			{Name: "result", Help: "The gravest of what was found: ok, note, warning or error."},
			{Name: "findings", Help: "What was found that is not ok, as JSON."},
		},
	}, run)
}

// checkList is the help of every check.
func checkList() string {
	var b strings.Builder
	b.WriteString("checks:\n")
	for _, c := range doctor.Checks() {
		fmt.Fprintf(&b, "  %-13s%s\n", c.Name, c.Help)
	}
	return b.String()
}

// Check gives the faults of all values, where one of them could not be read. Else
// those of a build are findings.
func (o Options) Check(ctx context.Context, env *cli.Env) error {
	build := o.Options
	build.Strict = false // what would be a warning is a finding
	return errors.Join(o.check(), build.Check(ctx, env))
}

// check gives the faults of the options that are doctor's own.
func (o Options) check() error {
	var faults []error
	known := doctor.Names()
	for i, name := range o.Only {
		if !slices.Contains(known, name) {
			bad := errdefs.BadInputf("only", i+1, "unknown check %q", name)
			faults = append(faults, bad.WithHint("%s", suggestion(name, known)))
		}
	}
	if o.Timeout <= 0 {
		faults = append(faults, errdefs.BadInputf("timeout", 0, "%s is no time to check anything in", o.Timeout))
	}
	return errors.Join(faults...)
}

func suggestion(name string, known []string) string {
	if near := errdefs.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "one of " + strings.Join(known, ", ")
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	host, subject := read(ctx, env, o)
	found, err := doctor.Run(ctx, host, subject, doctor.Options{Only: o.Only, Limit: o.Timeout})
	if err != nil {
		return err
	}
	if err := show(env, o, found); err != nil {
		return err
	}
	return found.Err(o.Strict)
}

func show(env *cli.Env, o Options, found doctor.Report) error {
	found = report.Inert(env, found)
	list, err := json.Marshal(found.Wrong())
	if err != nil {
		return err
	}
	err = errors.Join(env.Output("result", string(found.Worst())), env.Output("findings", string(list)))
	if o.Format == "json" {
		return errors.Join(err, found.JSON(env.Stdout), report.Noticed(env, found))
	}
	return errors.Join(err, report.Checks(env, env.Stdout, found))
}
