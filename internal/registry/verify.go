package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// indexLimit is how many manifests an index may have.
const indexLimit = 1000

// BuildKit marks what it attests about an image so:
// https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
const (
	referenceType       = "vnd.docker.reference.type"
	referenceDigest     = "vnd.docker.reference.digest"
	attestationManifest = "attestation-manifest"
)

// Platform is one image of an index, as it was read back.
type Platform struct {
	Platform    string `json:"platform"` // linux/arm64; unknown/unknown is an attestation
	Digest      string `json:"digest"`
	Config      string `json:"config"` // digest
	Size        int64  `json:"size"`   // manifest, config and layers, bytes
	Attestation bool   `json:"attestation,omitempty"`
	Of          string `json:"of,omitempty"` // digest of the image that an attestation is about
}

// Verify reads repo@digest back: the index or manifest itself, then every
// platform's manifest and config, whole and held against their digests, and
// every layer's presence. want are the platforms that must be there; more than
// them, attestations aside, is a fault too. Where want is empty any will do.
// Errors name the platform and the digest.
//
// Platforms are compared normalized: linux/arm64 is linux/arm64/v8. Layers that
// are not for distribution need not be there.
func (c *Client) Verify(ctx context.Context, repo name.Repository, digest v1.Hash, want []v1.Platform) ([]Platform, error) {
	s := c.session(repo, pull)
	top, err := s.manifest(ctx, repo.Digest(digest.String()))
	if err != nil {
		return nil, err
	}
	images, err := imagesOf(top)
	if err != nil {
		return nil, fmt.Errorf("verify %s@%s: %w", repo, digest, err)
	}
	v := &verification{session: s, images: images, blobs: map[v1.Hash]*blob{}}
	if err := v.run(ctx); err != nil {
		return nil, fmt.Errorf("verify %s@%s: %w", repo, digest, err)
	}
	if err := compare(images, want); err != nil {
		return nil, fmt.Errorf("verify %s@%s: %w", repo, digest, err)
	}
	out := make([]Platform, len(images))
	for i, im := range images {
		out[i] = im.row()
	}
	return out, nil
}

// image is one manifest of an index, or the only one.
type image struct {
	digest      v1.Hash
	size        int64 // as the index says; -1 where there is none
	platform    *v1.Platform
	attestation bool
	of          string // digest of the image that an attestation is about

	raw      []byte // nil until read
	manifest *v1.Manifest
	config   *blob
}

// imagesOf are the images of an index, or the one that top is.
func imagesOf(top Manifest) ([]*image, error) {
	if top.MediaType.IsImage() {
		return []*image{{digest: top.Digest, size: int64(len(top.Raw)), raw: top.Raw}}, nil
	}
	if !top.MediaType.IsIndex() {
		return nil, wrongf("neither an index nor an image: media type %q", top.MediaType)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(top.Raw))
	if err != nil {
		return nil, wrongf("index: %w", err)
	}
	if len(index.Manifests) > indexLimit {
		return nil, wrongf("index has %d manifests, more than %d", len(index.Manifests), indexLimit)
	}
	var images []*image
	for _, d := range index.Manifests {
		if !d.MediaType.IsImage() {
			return nil, wrongf("index has %s, which is no image: media type %q", d.Digest, d.MediaType)
		}
		images = append(images, &image{
			digest:      d.Digest,
			size:        d.Size,
			platform:    d.Platform,
			attestation: d.Annotations[referenceType] == attestationManifest,
			of:          d.Annotations[referenceDigest],
		})
	}
	return images, nil
}

// label names an image in errors.
func (im *image) label() string {
	switch {
	case im.attestation:
		return "attestation " + im.digest.String()
	case im.platform != nil:
		return format(*im.platform) + " " + im.digest.String()
	}
	return im.digest.String()
}

// blob is a config or a layer. Platforms that share one share its check.
type blob struct {
	v1.Descriptor
	owner *image // the first that has it
	whole bool   // a config, to be read
	raw   []byte
}

// verification is a Verify at work: all manifests, then all blobs.
type verification struct {
	session *session
	images  []*image
	blobs   map[v1.Hash]*blob
}

func (v *verification) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(perRepository)
	for _, im := range v.images {
		g.Go(func() error { return im.read(gctx, v.session) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	v.collect()
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(perRepository)
	for _, b := range v.blobs {
		g.Go(func() error { return b.check(gctx, v.session) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, im := range v.images {
		if err := im.checkPlatform(); err != nil {
			return err
		}
	}
	return nil
}

// read gets the image's manifest, unless it was read as the top already.
func (im *image) read(ctx context.Context, s *session) error {
	if im.raw == nil {
		m, err := s.manifest(ctx, s.repo.Digest(im.digest.String()))
		if err != nil {
			return fmt.Errorf("%s: %w", im.label(), err)
		}
		im.raw = m.Raw
	}
	if int64(len(im.raw)) != im.size {
		return wrongf("%s: manifest has %d bytes, the index says %d", im.label(), len(im.raw), im.size)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(im.raw))
	if err != nil {
		return wrongf("%s: manifest: %w", im.label(), err)
	}
	im.manifest = parsed
	return nil
}

// collect lists every blob once.
func (v *verification) collect() {
	for _, im := range v.images {
		im.config = v.add(im, im.manifest.Config)
		im.config.whole = true
		for _, layer := range im.manifest.Layers {
			if layer.MediaType.IsDistributable() {
				v.add(im, layer)
			}
		}
	}
}

func (v *verification) add(owner *image, d v1.Descriptor) *blob {
	b, ok := v.blobs[d.Digest]
	if !ok {
		b = &blob{Descriptor: d, owner: owner}
		v.blobs[d.Digest] = b
	}
	return b
}

func (b *blob) check(ctx context.Context, s *session) error {
	if b.whole {
		return b.read(ctx, s)
	}
	size, err := s.blobSize(ctx, b.Digest)
	if err != nil {
		return fmt.Errorf("%s: layer: %w", b.owner.label(), err)
	}
	if size > 0 && size != b.Size {
		return wrongf("%s: layer %s has %d bytes, the manifest says %d", b.owner.label(), b.Digest, size, b.Size)
	}
	return nil
}

// read gets a config whole and holds it against its digest.
func (b *blob) read(ctx context.Context, s *session) error {
	r, err := s.do(ctx, call{method: http.MethodGet, kind: blobs, id: b.Digest.String()})
	if err != nil {
		return fmt.Errorf("%s: config: %w", b.owner.label(), err)
	}
	got, err := digestOf(b.Digest.Algorithm, r.body)
	if err != nil {
		return wrongf("%s: config %s: %w", b.owner.label(), b.Digest, err)
	}
	if got != b.Digest || int64(len(r.body)) != b.Size {
		return wrongf("%s: config %s came as %s with %d bytes, the manifest says %d", b.owner.label(), b.Digest, got, len(r.body), b.Size)
	}
	b.raw = r.body
	return nil
}

// checkPlatform holds the config's platform against the index's, or takes it
// where there is no index.
func (im *image) checkPlatform() error {
	if im.attestation {
		return nil
	}
	var own v1.Platform
	if err := json.Unmarshal(im.config.raw, &own); err != nil {
		return wrongf("%s: config %s: %w", im.label(), im.config.Digest, err)
	}
	if im.platform == nil {
		im.platform = &v1.Platform{OS: own.OS, Architecture: own.Architecture, Variant: own.Variant, OSVersion: own.OSVersion}
		return nil
	}
	listed, built := normalize(*im.platform), normalize(own)
	if listed.OS != built.OS || listed.Architecture != built.Architecture {
		return wrongf("%s: config %s is of an image for %s", im.label(), im.config.Digest, format(own))
	}
	return nil
}

func (im *image) row() Platform {
	p := Platform{
		Platform:    "unknown/unknown",
		Digest:      im.digest.String(),
		Config:      im.config.Digest.String(),
		Size:        im.size + im.config.Size,
		Attestation: im.attestation,
		Of:          im.of,
	}
	if !im.attestation {
		p.Platform = format(*im.platform)
	}
	for _, layer := range im.manifest.Layers {
		p.Size += layer.Size
	}
	return p
}

// compare holds the platforms that are there against those that must be.
func compare(images []*image, want []v1.Platform) error {
	have := map[string]v1.Hash{}
	for _, im := range images {
		if im.attestation {
			continue
		}
		p := platforms.FormatAll(normalize(*im.platform))
		if other, ok := have[p]; ok {
			return wrongf("%s is there twice: %s and %s", p, other, im.digest)
		}
		have[p] = im.digest
	}
	var missing, more []string
	for _, w := range want {
		if !slices.ContainsFunc(images, func(im *image) bool { return im.is(w) }) {
			missing = append(missing, format(w))
		}
	}
	for _, im := range images {
		if len(want) > 0 && !im.attestation && !slices.ContainsFunc(want, im.is) {
			more = append(more, im.label())
		}
	}
	if len(missing)+len(more) == 0 {
		return nil
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "missing "+strings.Join(missing, ", "))
	}
	if len(more) > 0 {
		parts = append(parts, "not asked for "+strings.Join(more, ", "))
	}
	return wrongf("platforms: %s", strings.Join(parts, "; "))
}

// is whether the image is what want asks for; an OS version only where asked.
func (im *image) is(want v1.Platform) bool {
	return !im.attestation && format(*im.platform) == format(want) &&
		(want.OSVersion == "" || want.OSVersion == im.platform.OSVersion)
}

func normalize(p v1.Platform) specs.Platform {
	return platforms.Normalize(specs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion})
}

// format is a platform as people write it: linux/arm64, linux/arm/v7.
func format(p v1.Platform) string { return platforms.Format(normalize(p)) }
