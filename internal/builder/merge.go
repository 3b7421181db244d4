package builder

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// descriptorKey is where BuildKit's response has an image's descriptor, in
// base64 of JSON.
const descriptorKey = "containerimage.descriptor"

// Merge makes one index of those that the parts of result pushed, and writes it
// by its digest to the request's first repository. It gives result with the
// index's digest and descriptor; the parts stay as they are. No annotation and
// no attestation is lost: see [registry.Join].
func Merge(ctx context.Context, reg *registry.Client, req Request, result Result) (Result, error) {
	repo := req.Destinations()[0]
	pieces, err := readParts(ctx, reg, repo, result.Parts)
	if err != nil {
		return result, err
	}
	whole, err := registry.Join(pieces, req.Platforms)
	if err != nil {
		return result, err
	}
	annotations, err := descriptorAnnotations(result.Parts)
	if err != nil {
		return result, err
	}
	if err := reg.Put(ctx, repo, whole); err != nil {
		return result, err
	}
	result.Digest = whole.Digest
	result.Descriptor = &ocispecs.Descriptor{
		MediaType:   string(whole.MediaType),
		Digest:      digest.Digest(whole.Digest.String()),
		Size:        int64(len(whole.Raw)),
		Annotations: annotations,
	}
	return result, nil
}

func readParts(ctx context.Context, reg *registry.Client, repo name.Repository, parts []Part) ([]registry.Manifest, error) {
	pieces := make([]registry.Manifest, len(parts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxRepositories)
	for i, p := range parts {
		if p.Digest.Hex == "" {
			return nil, errdefs.New(errdefs.Environment, "%s gave no digest of what it pushed", nodeName(p.Node, p.Platforms))
		}
		group.Go(func() error {
			var err error
			pieces[i], err = reg.Get(ctx, repo.Digest(p.Digest.String()))
			return err
		})
	}
	return pieces, group.Wait()
}

// descriptorAnnotations are those that BuildKit put on the descriptors of the
// parts: those of index-descriptor, the same in each, and its own.
func descriptorAnnotations(parts []Part) (map[string]string, error) {
	annotations := map[string]string{}
	for _, p := range slices.Backward(parts) { // the first part has the last word
		raw, err := base64.StdEncoding.DecodeString(p.Response[descriptorKey])
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "%s: %s: %w", nodeName(p.Node, p.Platforms), descriptorKey, err)
		}
		var d ocispecs.Descriptor
		if len(raw) > 0 {
			err = json.Unmarshal(raw, &d)
		}
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "%s: %s: %w", nodeName(p.Node, p.Platforms), descriptorKey, err)
		}
		maps.Copy(annotations, d.Annotations)
	}
	return annotations, nil
}
