// Package logout is the logout command: it takes away what login wrote.
//
// Begin with [Verb].
package logout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/registry"
)

// Options are what a person sets.
type Options struct {
	Registry string `env:"REGISTRY" arg:"REGISTRY" placeholder:"HOST" help:"Registry to log out of; the default is all that login wrote."`
	State    string `env:"STATE" placeholder:"FILE" help:"State file of the login to undo: that one alone."`
	Config   string `env:"CONFIG" placeholder:"DIR" help:"Directory of the docker configuration; the default is the one in force."`
	cli.Common
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "logout",
		Summary: "take away what login wrote",
		Long: `
Takes away credentials that login wrote, and nothing else: what was there before
is there again, and what another login of the job wrote stays. A configuration
of the job's own is removed with its last credentials.`,
	}, run)
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	if o.State != "" {
		return undo(ctx, env, o)
	}
	dir := registry.ConfigDirectory(env.Environ, env.Dir)
	if o.Config != "" {
		dir = within(env.Dir, o.Config)
	}
	d, err := login.NamedDirectory(dir)
	if err != nil {
		return err
	}
	if o.Registry == "" {
		return explain(d.DropAll(ctx), "docker logout")
	}
	reg, err := login.ParseRegistry("registry", 0, o.Registry)
	if err != nil {
		return err
	}
	return explain(d.DropRegistry(ctx, reg.RegistryStr()), "docker logout "+o.Registry)
}

// undo takes away what one login wrote, by its state file.
func undo(ctx context.Context, env *cli.Env, o Options) error {
	if o.Registry != "" || o.Config != "" {
		return errdefs.BadInputf("state", 0, "a registry or config is given too").WithHint("give the state file alone")
	}
	path := within(env.Dir, o.State)
	state, err := login.OpenState(path)
	if errors.Is(err, fs.ErrNotExist) {
		// A login that failed has undone itself; its clean-up step comes all the same.
		fmt.Fprintf(env.Stderr, "logout: skipped: there is no %s, so all is undone\n", path)
		return nil
	}
	if err != nil {
		return err
	}
	return state.Undo(ctx, registry.BuildxDirectory(env.Environ, env.Dir))
}

// explain tells whoever logged in by other means how to log out.
func explain(err error, command string) error {
	if errors.Is(err, login.ErrNotOurs) {
		return errdefs.New(errdefs.BadInput, "%w", err).WithHint("what docker login wrote, `%s` takes away", command)
	}
	return err
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
