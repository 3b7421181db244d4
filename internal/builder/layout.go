package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// What a layout may have at most. It may come from a stranger, and is read
// before the daemon sees any of it.
const (
	maxManifest  = 8 << 20 // bytes; registries take 4 MiB
	maxManifests = 1000    // of the image that is used, and names in index.json
	maxDepth     = 4       // of indexes within indexes
)

// imageNameAnnotation is where containerd and BuildKit write an image's name.
const imageNameAnnotation = "io.containerd.image.name"

// mountLayouts lets the daemon read the layouts, and says which of their images
// is meant.
func (in *inputs) mountLayouts(_ context.Context, r *request, solve Solve) error {
	for id, dir := range solve.Layouts {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return errdefs.BadInputf("build-contexts", 0, "OCI layout: %w", err)
		}
		r.finish = append(r.finish, func(error) { root.Close() }) // nothing was written
		l := layout{root}
		if r.opt.OCIStores == nil {
			r.opt.OCIStores = map[string]content.Store{}
		}
		r.opt.OCIStores[id] = l
		for k, v := range r.opt.FrontendAttrs {
			ref, ok := strings.CutPrefix(v, layoutScheme+id)
			if !ok || !strings.HasPrefix(k, "context:") {
				continue
			}
			whole, err := l.pin(ref)
			if err != nil {
				return errdefs.BadInputf("build-contexts", 0, "context %s: OCI layout %s: %w", strings.TrimPrefix(k, "context:"), dir, err)
			}
			r.opt.FrontendAttrs[k] = layoutScheme + id + whole
		}
	}
	return nil
}

// layout is an OCI image layout as a store that can only be read, and only
// within its directory: the daemon is given the store, and may be a stranger's.
type layout struct{ root *os.Root }

// pin completes ":tag", "@digest" or nothing to what names one image.
func (l layout) pin(ref string) (string, error) {
	named, dgst, pinned := strings.Cut(ref, "@")
	desc := ocispecs.Descriptor{Digest: digest.Digest(dgst), MediaType: ocispecs.MediaTypeImageIndex}
	if pinned {
		info, err := l.stat(desc.Digest)
		if err != nil {
			return "", err
		}
		desc.Size = info.Size()
	} else {
		found, err := l.resolve(strings.TrimPrefix(named, ":"))
		if err != nil {
			return "", err
		}
		desc = found
	}
	seen := map[digest.Digest]bool{}
	if err := l.check(desc, 0, seen); err != nil {
		return "", err
	}
	return named + "@" + desc.Digest.String(), nil
}

// resolve finds an image by its tag or name. Where latest is meant, it is also
// the only one; an only one that has no name is meant by any.
func (l layout) resolve(tag string) (ocispecs.Descriptor, error) {
	raw, err := l.read("index.json", maxManifest)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	var index ocispecs.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return ocispecs.Descriptor{}, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) > maxManifests {
		return ocispecs.Descriptor{}, fmt.Errorf("index.json has %d images; at most %d are read", len(index.Manifests), maxManifests)
	}
	for _, annotation := range []string{imageNameAnnotation, ocispecs.AnnotationRefName} {
		for _, m := range index.Manifests {
			if m.Annotations[annotation] == tag {
				return m, nil
			}
		}
	}
	names := namesOf(index)
	if len(index.Manifests) == 1 && (tag == "latest" || len(names) == 0) {
		return index.Manifests[0], nil
	}
	if len(names) == 0 {
		return ocispecs.Descriptor{}, fmt.Errorf("it has %d images without a name: say which by @digest", len(index.Manifests))
	}
	return ocispecs.Descriptor{}, fmt.Errorf("no image %q: it has %s", tag, strings.Join(names, ", "))
}

func namesOf(index ocispecs.Index) []string {
	var names []string
	for _, m := range index.Manifests {
		if name := m.Annotations[ocispecs.AnnotationRefName]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// check reads the manifests of an image, each once, and holds them against
// their digests and sizes. A manifest that is not there is left to the daemon:
// a layout may hold some of an index's platforms only.
func (l layout) check(desc ocispecs.Descriptor, depth int, seen map[digest.Digest]bool) error {
	if seen[desc.Digest] {
		return nil
	}
	seen[desc.Digest] = true
	switch {
	case depth > maxDepth:
		return fmt.Errorf("%s: indexes within indexes, more than %d deep", desc.Digest, maxDepth)
	case len(seen) > maxManifests:
		return fmt.Errorf("it has more than %d manifests", maxManifests)
	}
	raw, err := l.manifest(desc)
	if err != nil {
		if depth > 0 && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	var node struct {
		MediaType string                `json:"mediaType"`
		Manifests []ocispecs.Descriptor `json:"manifests"`
		Config    *ocispecs.Descriptor  `json:"config"`
	}
	if err := json.Unmarshal(raw, &node); err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	if node.Manifests == nil && node.Config == nil {
		return fmt.Errorf("%s is neither an index nor a manifest but %q", desc.Digest, node.MediaType)
	}
	for _, m := range node.Manifests {
		if err := l.check(m, depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

func (l layout) manifest(desc ocispecs.Descriptor) ([]byte, error) {
	name, err := blobPath(desc.Digest)
	if err != nil {
		return nil, err
	}
	raw, err := l.read(name, maxManifest)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != desc.Size {
		return nil, fmt.Errorf("%s has %d bytes; its descriptor says %d", desc.Digest, len(raw), desc.Size)
	}
	if got := desc.Digest.Algorithm().FromBytes(raw); got != desc.Digest {
		return nil, fmt.Errorf("%s holds %s", desc.Digest, got)
	}
	return raw, nil
}

func (l layout) read(name string, limit int64) ([]byte, error) {
	f, err := l.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return raw, nil
}

func (l layout) stat(dgst digest.Digest) (os.FileInfo, error) {
	name, err := blobPath(dgst)
	if err != nil {
		return nil, err
	}
	info, err := l.root.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", name)
	}
	return info, nil
}

func blobPath(dgst digest.Digest) (string, error) {
	if err := dgst.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", dgst, err)
	}
	return path.Join(ocispecs.ImageBlobsDir, dgst.Algorithm().String(), dgst.Encoded()), nil
}

// ReaderAt gives a blob to the daemon.
func (l layout) ReaderAt(_ context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	info, err := l.stat(desc.Digest)
	if err != nil {
		return nil, daemonError(desc.Digest, err)
	}
	name, err := blobPath(desc.Digest)
	if err != nil {
		return nil, daemonError(desc.Digest, err)
	}
	f, err := l.root.Open(name)
	if err != nil {
		return nil, daemonError(desc.Digest, err)
	}
	return blob{f, info.Size()}, nil
}

// blob is an open blob of a known size.
type blob struct {
	*os.File
	size int64
}

func (b blob) Size() int64 { return b.size }

// Info says how large a blob is.
func (l layout) Info(_ context.Context, dgst digest.Digest) (content.Info, error) {
	info, err := l.stat(dgst)
	if err != nil {
		return content.Info{}, daemonError(dgst, err)
	}
	return content.Info{Digest: dgst, Size: info.Size(), CreatedAt: info.ModTime(), UpdatedAt: info.ModTime()}, nil
}

// daemonError is an error in the terms that cross the session.
func daemonError(dgst digest.Digest, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", dgst, cerrdefs.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", dgst, err)
}

// Update is not possible.
func (layout) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, cerrdefs.ErrNotImplemented
}

// Walk is not possible: the daemon asks for what the image names.
func (layout) Walk(context.Context, content.WalkFunc, ...string) error {
	return cerrdefs.ErrNotImplemented
}

// Delete is not possible.
func (layout) Delete(context.Context, digest.Digest) error { return cerrdefs.ErrNotImplemented }

// Status is that nothing is written.
func (layout) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, cerrdefs.ErrNotFound
}

// ListStatuses is that nothing is written.
func (layout) ListStatuses(context.Context, ...string) ([]content.Status, error) { return nil, nil }

// Abort is not possible.
func (layout) Abort(context.Context, string) error { return cerrdefs.ErrNotImplemented }

// Writer is not possible.
func (layout) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, cerrdefs.ErrNotImplemented
}
