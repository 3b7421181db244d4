package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every file and image made here, so that the same
// content has the same digest.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is a file of a layer.
type entry struct {
	name string      // without a leading slash
	mode os.FileMode // with os.ModeDir for a directory
	link string      // the target of a symbolic link
	data []byte
}

// layerOf makes a layer of files, in their order.
func layerOf(entries []entry) (v1.Layer, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), ModTime: epoch, Typeflag: tar.TypeReg, Size: int64(len(e.data))}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		case e.mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		}
		if e.mode&os.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", e.name, err)
		}
		if _, err := tw.Write(e.data); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", e.name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// layerFile is a layer that is a .tar.gz on disk.
func layerFile(path string) (v1.Layer, error) {
	l, err := tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", path, err)
	}
	return l, nil
}

// imageOf makes an OCI image for a platform.
func imageOf(p v1.Platform, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = p.OS, p.Architecture, p.Variant
	file.Created = v1.Time{Time: epoch}
	file.Config = config
	return mutate.ConfigFile(img, file)
}

// platformImage is an image and the platform that it is for.
type platformImage struct {
	platform v1.Platform
	image    v1.Image
}

// indexOf makes an OCI index of images.
func indexOf(images ...platformImage) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        i.image,
			Descriptor: v1.Descriptor{Platform: &i.platform},
		})
	}
	return idx
}

// pushIndex pushes an index to the local registry under tags of one repository.
func pushIndex(ctx context.Context, registry, repository string, tags []string, idx v1.ImageIndex) error {
	for _, tag := range tags {
		ref, err := name.NewTag(registry+"/"+repository+":"+tag, name.Insecure)
		if err != nil {
			return err
		}
		if err := remote.WriteIndex(ref, idx, remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return nil
}

// inRegistry is whether the local registry has a tag.
func inRegistry(ctx context.Context, registry, repository, tag string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+registry+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		return false
	}
	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// recipeOf is a short name of everything that something is made of.
func recipeOf(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintln(h, len(p))
		h.Write(p)
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16]
}
