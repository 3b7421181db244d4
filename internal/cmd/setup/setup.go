// Package setup is the setup command: it finds or makes a builder, with
// emulation where the platforms need it.
//
// Begin with [Verb]; run is the order of the work.
package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// stateKey is the name under which the clean-up step finds the state file.
const stateKey = "hullwright-state"

// Options are what a person sets.
type Options struct {
	Name      string      `env:"NAME" help:"Name of the builder. One that is there is used as it is; the default is a new name."`
	Use       bool        `env:"USE" envDefault:"true" help:"Make it the current builder of docker buildx."`
	Platforms input.Words `env:"PLATFORMS" help:"Platforms to build for. Those that the builder does not run are emulated, and each is proved by running a program in a build. all is every platform that this machine or the image has an emulator for."`
	KeepState bool        `env:"KEEP-STATE" envDefault:"false" help:"Keep the builder's cache at clean-up, for a builder of the same name: the volume of driver docker-container, or of driver process a directory in the user's cache directory."`
	Cleanup   bool        `env:"CLEANUP" envDefault:"true" help:"On GitHub, undo everything at the end of the job."`
	State     string      `env:"STATE" placeholder:"FILE" help:"File that will say what was made, for teardown. The default is in a new directory of the job's temporary one."`
	Doctor    bool        `env:"DOCTOR" envDefault:"false" help:"Check builder and machine at the end, as hullwright doctor does, and fail where something stands in the way of builds."`
	setup.BuilderOptions
	setup.UpkeepOptions
	EmulatorOptions
	Replaced
	cli.Common
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "setup",
		Summary: "find or make a builder, with emulation where platforms need it",
		Long: `
Gives a builder that hullwright, docker buildx and other actions can use: the
one of that name that is there, or a new one, in a container of an engine or,
where no engine answers, as a process. What it makes it writes to a state file
first; hullwright teardown undoes exactly that.

With driver none there are emulators and no builder, as for docker run.

  hullwright setup --name ci --platforms linux/amd64,linux/arm64
  hullwright teardown --name ci
  hullwright setup --driver none --platforms linux/arm64`,
		Outputs: []cli.Output{
			{Name: "name", Help: "Name of the builder."},
			{Name: "driver", Help: "Driver of the builder."},
			{Name: "platforms", Help: "Platforms of all nodes, comma-separated; without a builder those that were registered."},
			{Name: "nodes", Help: "Nodes as JSON: name, endpoint, driver-opts, status, buildkitd-flags, buildkit, platforms."},
			{Name: "endpoint", Help: "Endpoint of the first node."},
			{Name: "status", Help: "Status of the first node."},
			{Name: "flags", Help: "The first node's flags of buildkitd."},
			{Name: "state", Help: "The state file."},
		},
	}, run)
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	spec, platforms, err := o.spec(env)
	if err != nil {
		return err
	}
	o.tell(env)
	state, err := openState(env, o)
	if err != nil {
		return err
	}
	fresh := state.Empty()
	host := setup.Host{
		Environ: env.Environ, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now,
		Transport: registry.Transport(env.Environ), Keychain: registry.Keychain(env.Environ, env.Dir),
	}
	if o.CacheImage {
		host.ImageCache = setup.ImageCacheDir(env.Environ)
	}
	m := setup.New(host)
	if o.Sweeps(env.CI.Name(), env.Environ) {
		m.Sweep(ctx)
		login.Sweep(ctx, host)
	}
	b, runs, err := prepare(ctx, m, spec, platforms, state)
	switch {
	case err != nil:
	case b == nil:
		err = write(env, "", setup.None, runs, nil)
	default:
		err = errors.Join(outputs(env, b), b.Close())
	}
	if err == nil && o.Doctor {
		err = check(ctx, env, m, spec, b, platforms)
	}
	if err == nil {
		err = handOver(env, spec, state)
	}
	if err != nil && fresh {
		// A setup that failed leaves nothing. What can't be undone within a
		// runner's patience stays in the file, for the clean-up step. A file that
		// had an earlier setup's things is not ours to undo as a whole.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, m.Teardown(clean, state.Path()))
	}
	return err
}

// spec parses everything, and gives every fault at once.
func (o Options) spec(env *cli.Env) (setup.Spec, []v1.Platform, error) {
	emulators, platforms, err := o.emulators()
	faults := []error{err}
	spec, err := o.BuilderOptions.Spec(env.Dir, env.Environ)
	faults = append(faults, err)
	spec.Emulators = emulators
	spec.Name, spec.Use, spec.KeepState, spec.BinfmtImage = o.Name, o.Use, o.KeepState, o.Image
	spec.Lifetime, err = o.ParseLifetime(env.CI.Name(), env.Environ, o.KeepState)
	faults = append(faults, err)
	return spec.For(platforms), platforms, errors.Join(faults...)
}

// handOver leaves what was made to the job's later steps.
func handOver(env *cli.Env, spec setup.Spec, state *setup.State) error {
	if spec.Lifetime > 0 {
		fmt.Fprintf(env.Stderr, "setup: if no teardown comes, it counts as left behind after %s\n", spec.Lifetime)
	}
	return state.HandOver()
}

// openState makes the state file, which the clean-up step knows of before
// there is anything in it.
func openState(env *cli.Env, o Options) (*setup.State, error) {
	path := o.State
	switch {
	case path == "":
		var err error
		if path, err = setup.NewStatePath(env.Environ); err != nil {
			return nil, err
		}
	case !filepath.IsAbs(path):
		path = filepath.Join(env.Dir, path)
	}
	if saver, ok := env.CI.(ci.StateSaver); ok && o.Cleanup {
		if err := saver.SaveState(stateKey, path); err != nil {
			return nil, err
		}
	}
	state, err := setup.OpenState(path)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(env.Stderr, "setup: state file %s\n", path)
	return state, env.Output("state", path)
}

// prepare gives the builder, or, where none is wanted, what runs on the machine.
func prepare(ctx context.Context, m *setup.Manager, spec setup.Spec, platforms []v1.Platform, state *setup.State) (*setup.Builder, []v1.Platform, error) {
	if spec.Emulators.Wanted() {
		rows, err := m.Register(ctx, spec, state)
		if err != nil {
			return nil, nil, err
		}
		if spec.Emulators.All || spec.Driver == setup.None {
			for _, r := range rows {
				platforms = append(platforms, r.Platform)
			}
		}
	}
	if spec.Driver == setup.None {
		return nil, platforms, nil
	}
	defer m.Prefetch(ctx, spec, platforms)()
	b, err := m.Ensure(ctx, spec, state)
	if err != nil {
		return nil, nil, err
	}
	rows, err := m.Emulate(ctx, b, platforms, spec.BinfmtImage, state)
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	m.Advise(ctx, b, rows)
	return b, nil, nil
}

// node is a node as docker/setup-buildx-action shows it.
type node struct {
	Name       string   `json:"name"`
	Endpoint   string   `json:"endpoint"`
	DriverOpts []string `json:"driver-opts,omitempty"`
	Status     string   `json:"status"`
	Flags      string   `json:"buildkitd-flags,omitempty"`
	Version    string   `json:"buildkit,omitempty"`
	Platforms  string   `json:"platforms"`
}

// The status of nodes: running of those that Ensure gives, lost of those that it
// could not reach. The words are buildx's.
const (
	running = "running"
	lost    = "error"
)

func outputs(env *cli.Env, b *setup.Builder) error {
	var nodes []node
	var all []v1.Platform
	for _, n := range b.Nodes {
		all = append(all, n.Platforms...)
		shown := node{
			Name: n.Name, Endpoint: n.Endpoint, Status: running,
			Flags: strings.Join(n.Flags, " "), Version: n.Version, Platforms: list(n.Platforms),
		}
		for _, key := range slices.Sorted(maps.Keys(n.DriverOpts)) {
			shown.DriverOpts = append(shown.DriverOpts, key+"="+setup.ShownOpt(key, n.DriverOpts[key]))
		}
		nodes = append(nodes, shown)
	}
	for _, l := range b.Lost {
		nodes = append(nodes, node{Name: l.Name, Endpoint: l.Endpoint, Status: lost})
	}
	return write(env, b.Name, b.Driver, all, nodes)
}

// list is platforms as people write them, each once.
func list(platforms []v1.Platform) string {
	var names []string
	for _, p := range platforms {
		if name := p.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func write(env *cli.Env, name, driver string, platforms []v1.Platform, nodes []node) error {
	var first node
	if len(nodes) > 0 {
		first = nodes[0]
	} else {
		nodes = []node{} // [], not null
	}
	raw, err := json.Marshal(nodes)
	if err != nil {
		return err
	}
	for _, o := range [][2]string{
		{"name", name},
		{"driver", driver},
		{"platforms", list(platforms)},
		{"nodes", string(raw)},
		{"endpoint", first.Endpoint},
		{"status", first.Status},
		{"flags", first.Flags},
	} {
		if err := env.Output(o[0], o[1]); err != nil {
			return fmt.Errorf("output %s: %w", o[0], err)
		}
	}
	return nil
}
