package buildpush

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// prepare finds the builder or makes one for this run, and sees to emulation.
// Meanwhile git is asked about the sources: either takes longer than it works.
func (j *job) prepare(ctx context.Context) error {
	return j.env.Group("Builder", func() error {
		var source sync.WaitGroup
		source.Go(func() { j.describeSource(ctx) })
		found, err := j.find(ctx)
		if found != nil {
			j.manager.Keeps(found.Name, j.spec.Settings)
		}
		if found == nil && err == nil && j.spec.Driver != setup.Docker {
			_, err = fillGateway(j.request.AddHosts, "")
		}
		if found == nil && err == nil {
			// The emulators' image comes while the builder boots.
			defer j.manager.Prefetch(ctx, j.spec, j.request.Platforms)()
			found, err = j.make(ctx)
		}
		source.Wait()
		if err != nil {
			return err
		}
		j.builder = found
		if err := j.fitEngine(ctx); err != nil {
			return err
		}
		if len(found.Lost) == 0 && builder.Lists(j.builder.Nodes, j.request.Platforms) {
			return nil // emulators that are there are proved beside the build
		}
		return j.emulate(ctx, j.manager)
	})
}

// emulate sees to it that every platform runs, and proves it.
func (j *job) emulate(ctx context.Context, m *setup.Manager) (err error) {
	j.emulated = true
	j.emulations, err = m.Emulate(ctx, j.builder, j.request.Platforms, j.spec.BinfmtImage, j.state)
	return err
}

// emulateBeside is what is left to say of emulators while the build runs: whether
// those that were there before work, and what is known against them.
func (j *job) emulateBeside(ctx context.Context, m *setup.Manager) error {
	if !j.emulated {
		if err := j.emulate(ctx, m); err != nil {
			return err
		}
	}
	m.Advise(ctx, j.builder, j.emulations)
	return nil
}

// host is a manager of this machine's builders that says what it does on w.
func (j *job) host(w io.Writer) *setup.Manager {
	return setup.New(setup.Host{
		Environ: j.env.Environ, Stderr: w, Dir: j.env.Dir, Now: j.env.Now, Keychain: j.memory, Transport: registry.Transport(j.env.Environ),
		ImageCache: j.options.ImageCache(j.env.Environ),
	})
}

// find is the builder that is there; nil where one is to be made.
func (j *job) find(ctx context.Context) (*setup.Builder, error) {
	if j.options.Builder != "" {
		return j.manager.Find(ctx, j.options.Builder)
	}
	if j.options.Driver != "" || j.options.Append != "" {
		return nil, nil
	}
	found, err := j.manager.Find(ctx, "")
	if errors.Is(err, setup.ErrNoBuilder) {
		return nil, nil
	}
	return found, err
}

// make makes a builder for this run, where runs that were killed have left room
// for it.
func (j *job) make(ctx context.Context) (*setup.Builder, error) {
	if j.options.Sweeps(j.env.CI.Name(), j.env.Environ) {
		j.manager.Sweep(ctx)
		login.Sweep(ctx, setup.Host{Environ: j.env.Environ, Stderr: j.env.Stderr, Dir: j.env.Dir, Now: j.env.Now})
	}
	return j.manager.Ensure(ctx, j.spec, j.state)
}
