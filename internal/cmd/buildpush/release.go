package buildpush

import (
	"context"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/registry"
)

// Release are the inputs of how tags are written.
type Release struct{}

func (j *job) align(ctx context.Context) error {
	if len(j.plan.Align) == 0 {
		return nil
	}
	return builder.Align(ctx, j.registry, j.request, j.result.Digest)
}

func (j *job) release(ctx context.Context) error {
	if !j.request.Push {
		return skip("the image is not pushed")
	}
	var err error
	j.tags, j.pushed, err = builder.Release(ctx, j.registry, j.request, j.result.Digest, func(rows []registry.Written) error {
		return j.state.Note("tags", rows)
	})
	return err
}
