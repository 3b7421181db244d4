package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Copy makes repository to hold the index or image with a digest that from
// holds, whole: what to lacks of it is copied, by a mount where both are in one
// registry. It writes no tag, nor the tag that stands in for referrers where a
// registry has none. What is there already costs a HEAD.
func (c *Client) Copy(ctx context.Context, from, to name.Repository, digest v1.Hash) error {
	source, target := c.session(from, pull), c.session(to, push)
	top, err := source.manifest(ctx, from.Digest(digest.String()))
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
	return target.put(ctx, top)
}

// copiesAtOnce bounds the images of one index that are copied at one time.
const copiesAtOnce = 8

// copy makes target hold the image whole, its manifest last.
func (im *image) copy(ctx context.Context, source, target *session) error {
	ref := target.repo.Digest(im.digest.String())
	switch _, err := target.resolve(ctx, ref); {
	case err == nil:
		return nil
	case !errors.Is(err, ErrNotFound):
		return err
	}
	m, err := source.manifest(ctx, source.repo.Digest(im.digest.String()))
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
		if err := copyBlob(ctx, d, source, target); err != nil {
			return err
		}
	}
	return target.put(ctx, m)
}

// put writes a manifest by its digest.
func (s *session) put(ctx context.Context, m Manifest) error {
	_, err := s.do(ctx, call{
		method: http.MethodPut, kind: manifests, id: m.Digest.String(),
		contentType: string(m.MediaType), body: m.Raw,
	})
	return err
}
