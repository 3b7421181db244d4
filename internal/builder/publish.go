package builder

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/registry"
)

// maxRepositories bounds the repositories that are spoken to at one time.
const maxRepositories = 8

// Pushed is one repository's image, as it was read back.
type Pushed struct {
	Repository string              `json:"repository"`
	Digest     string              `json:"digest"`
	Platforms  []registry.Platform `json:"platforms"`
}

// Probe asks every repository of the request for one of its tags, so that a
// registry that is down or denies is known before a long build and not after
// it. A tag that is not there is the usual answer.
func Probe(ctx context.Context, reg *registry.Client, req Request) error {
	first := map[string]name.Tag{}
	for _, t := range req.Tags {
		if _, ok := first[t.Context().Name()]; !ok {
			first[t.Context().Name()] = t
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxRepositories)
	for _, tag := range first {
		group.Go(func() error {
			_, err := reg.Resolve(ctx, tag)
			if errors.Is(err, registry.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// Align gives every repository of the request the first one's index. Layers,
// configs and manifests are there already: BuildKit pushed them. What differs
// is the attestations, since each exporter names its repository in them.
func Align(ctx context.Context, reg *registry.Client, req Request, digest v1.Hash) error {
	repos := req.Destinations()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxRepositories)
	for _, repo := range repos[1:] {
		group.Go(func() error { return reg.Copy(ctx, repos[0], repo, digest) })
	}
	return group.Wait()
}

// Moves say how the tags of a release may move.
type Moves struct {
	Guard    registry.Guard
	Rollback bool
}

func (m Moves) guarded() bool { return m.Guard != registry.GuardNothing }

// Release points the request's tags to digest, in the plan's order, after the
// index was read back from every repository and held against the platforms that
// were asked for. It gives a row a tag and one a repository, as far as it came,
// also with an error; journal sees the tags before and between writes.
func Release(ctx context.Context, reg *registry.Client, req Request, moves Moves, digest v1.Hash, journal func([]registry.Written) error) ([]registry.Written, []Pushed, error) {
	var pushed []Pushed
	release := registry.Release{Digest: digest, Guard: moves.Guard, Rollback: moves.Rollback, Check: func(ctx context.Context) error {
		var err error
		pushed, err = verify(ctx, reg, req, digest)
		return err
	}}
	for _, t := range req.Tags {
		release.Tags = append(release.Tags, registry.Tag{Reference: t, Rank: registry.Rank(t.TagStr())})
	}
	tags, err := reg.Release(ctx, release, journal)
	return tags, pushed, err
}

// verify reads the index back from every repository of the request, in the
// order of the tags.
func verify(ctx context.Context, reg *registry.Client, req Request, digest v1.Hash) ([]Pushed, error) {
	repos := req.Destinations()
	pushed := make([]Pushed, len(repos))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxRepositories)
	for i, repo := range repos {
		group.Go(func() error {
			platforms, err := reg.Verify(ctx, repo, digest, req.Platforms)
			pushed[i] = Pushed{Repository: repo.Name(), Digest: digest.String(), Platforms: platforms}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return pushed, nil
}
