// Package teardown is the teardown command: it undoes what setup and build-push
// made, by the state file that they wrote.
//
// Begin with [Verb].
package teardown

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// Options are what a person sets.
type Options struct {
	State string `env:"STATE" arg:"STATE" placeholder:"FILE" help:"State file of the setup or build-push to undo."`
	Name  string `env:"NAME" help:"Name of a builder that setup made, instead of its state file."`

	Orphans   bool          `env:"ORPHANS" envDefault:"false" help:"Find and remove what runs that were killed left behind on this machine."`
	DryRun    bool          `env:"DRY-RUN" envDefault:"false" help:"With orphans: list them, and remove nothing."`
	OlderThan time.Duration `env:"OLDER-THAN" placeholder:"TIME" help:"With orphans: count also what was made longer ago, as 24h, whatever its lifetime, unless its run is under way."`
	cli.Common
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "teardown",
		Summary: "undo what setup or build-push made",
		Long: `
Removes builders, containers, volumes, processes, registrations of emulators
and mounts that the state file lists, newest first, each only if it carries the
mark of that run. It goes on after a failure; the file then keeps what is left.
A builder that another run uses too stays for that one.

  hullwright teardown --name ci
  hullwright teardown --orphans --dry-run`,
	}, run)
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	m := setup.New(host(env))
	switch {
	case o.Orphans:
		return orphans(ctx, env, m, o)
	case o.DryRun || o.OlderThan != 0:
		return errors.Join(needsOrphans("dry-run", o.DryRun), needsOrphans("older-than", o.OlderThan != 0))
	case o.State != "" && o.Name != "":
		return errdefs.BadInputf("name", 0, "state is given too").WithHint("give one of them")
	case o.Name != "":
		return m.TeardownBuilder(ctx, o.Name)
	case o.State == "":
		return errdefs.BadInputf("state", 0, "missing").
			WithHint("setup prints the state file and gives it as output state; --name NAME finds it for a builder")
	}
	path := o.State
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	show(ctx, env, m, path)
	err := m.Teardown(ctx, path)
	if errors.Is(err, setup.ErrNoState) {
		// A run that ended well undid its things itself; its clean-up step
		// comes all the same.
		fmt.Fprintf(env.Stderr, "teardown: skipped: there is no %s, so all is undone\n", path)
		return nil
	}
	return err
}

func host(env *cli.Env) setup.Host {
	return setup.Host{Environ: env.Environ, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now, Keychain: registry.Keychain(env.Environ, env.Dir)}
}
