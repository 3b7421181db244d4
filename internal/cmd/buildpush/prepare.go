package buildpush

import (
	"context"
	"errors"
	"io"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/setup"
)

// prepare finds the builder or makes one for this run, and sees to emulation.
func (j *job) prepare(ctx context.Context) error {
	return j.env.Group("Builder", func() error {
		var err error
		if j.builder, err = j.findOrMake(ctx); err != nil {
			return err
		}
		if builder.Lists(j.builder.Nodes, j.request.Platforms) {
			return nil // emulators that are there are proved beside the build
		}
		return j.emulate(ctx, j.env.Stderr)
	})
}

// emulate sees to it that every platform runs, and proves it.
func (j *job) emulate(ctx context.Context, w io.Writer) error {
	j.emulated = true
	_, err := j.host(w).Emulate(ctx, j.builder, j.request.Platforms, j.spec.BinfmtImage, j.state)
	return err
}

// host is a manager of this machine's builders that says what it does on w.
func (j *job) host(w io.Writer) *setup.Manager {
	return setup.New(setup.Host{Environ: j.env.Environ, Stderr: w, Dir: j.env.Dir, Now: j.env.Now})
}

func (j *job) findOrMake(ctx context.Context) (*setup.Builder, error) {
	if j.options.Builder != "" {
		return j.manager.Find(ctx, j.options.Builder)
	}
	if j.options.Driver == "" {
		found, err := j.manager.Find(ctx, "")
		if !errors.Is(err, setup.ErrNoBuilder) {
			return found, err
		}
	}
	return j.manager.Ensure(ctx, j.spec, j.state)
}
