package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// Copy makes repository to hold the index or image with a digest that from
// holds, whole: what to lacks of it is copied, by a mount where both are in one
// registry. It writes no tag, nor the tag that stands in for referrers where a
// registry has none. What is there already costs a HEAD.
func (c *Client) Copy(ctx context.Context, from, to name.Repository, digest v1.Hash) error {
	source, err := c.remote(ctx, from, pull)
	if err != nil {
		return err
	}
	target, err := c.remote(ctx, to, push)
	if err != nil {
		return err
	}
	top, err := source.session.manifest(ctx, from.Digest(digest.String()))
	if err != nil {
		return err
	}
	images, err := imagesOf(top)
	if err != nil {
		return fmt.Errorf("copy %s@%s: %w", from, digest, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for _, im := range images {
		g.Go(func() error { return im.copy(gctx, source, target) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if top.MediaType.IsImage() {
		return nil
	}
	return target.session.put(ctx, top)
}

// copiesAtOnce bounds the images of one index that are copied at one time.
const copiesAtOnce = 8

// copy makes target hold the image whole, its manifest last.
func (im *image) copy(ctx context.Context, source, target place) error {
	ref := target.session.repo.Digest(im.digest.String())
	switch _, err := target.session.resolve(ctx, ref); {
	case err == nil:
		return nil
	case !errors.Is(err, ErrNotFound):
		return err
	}
	m, err := source.session.manifest(ctx, source.session.repo.Digest(im.digest.String()))
	if err != nil {
		return err
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil {
		return wrongf("%s: manifest: %w", im.label(), err)
	}
	for _, d := range append(parsed.Layers, parsed.Config) {
		if !d.MediaType.IsDistributable() {
			continue
		}
		if err := copyBlob(ctx, d.Digest, source, target); err != nil {
			return err
		}
	}
	return target.session.put(ctx, m)
}

func copyBlob(ctx context.Context, digest v1.Hash, source, target place) error {
	layer, err := remote.Layer(source.repo.Digest(digest.String()), source.options...)
	if err == nil {
		err = remote.WriteLayer(target.repo, layer, target.options...)
	}
	to := target.session
	what := fmt.Sprintf("copy %s@%s to %s", source.session.repo, digest, to.repo)
	return explain(what, to.repo.RegistryStr(), to.scope(), err)
}

// put writes a manifest by its digest.
func (s *session) put(ctx context.Context, m Manifest) error {
	_, err := s.do(ctx, call{
		method: http.MethodPut, kind: manifests, id: m.Digest.String(),
		contentType: string(m.MediaType), body: m.Raw,
	})
	return err
}

// place is a repository as go-containerregistry's remote package reaches it
// through a session of ours.
type place struct {
	session *session
	repo    name.Repository
	options []remote.Option
}

// remote opens a session for go-containerregistry. The session logs in and the
// transport below it tries again, so that package's own ways of both are off.
func (c *Client) remote(ctx context.Context, repo name.Repository, actions string) (place, error) {
	s := c.session(repo, actions)
	if err := s.open(ctx); err != nil {
		return place{}, err
	}
	var options []name.Option
	if s.scheme == "http" {
		options = append(options, name.Insecure)
	}
	reached, err := name.NewRepository(repo.Name(), options...)
	if err != nil {
		return place{}, err
	}
	return place{session: s, repo: reached, options: []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(s),
		remote.WithJobs(perRepository / 4),
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}}, nil
}
