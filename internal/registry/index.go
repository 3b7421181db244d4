package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Put writes an index or a manifest to repo by its digest, and no tag. What it
// names must be in repo already.
func (c *Client) Put(ctx context.Context, repo name.Repository, m Manifest) error {
	if err := c.session(repo, push).put(ctx, m); err != nil {
		return fmt.Errorf("write %s@%s: %w", repo, m.Digest, err)
	}
	return nil
}

// Join makes one index of several, and loses nothing of them: every descriptor
// stands in it as it stood there, with platform and annotations, and so do the
// annotations of the indexes. Images are in the order of the platforms in order,
// others after them as they come, and then the attestations of each, as BuildKit
// writes an index. It is pure; the same parts give the same bytes.
//
// A platform that two parts have, and an annotation of an index that two parts
// have with different values, are errors.
func Join(parts []Manifest, order []v1.Platform) (Manifest, error) {
	whole := index{SchemaVersion: 2, MediaType: types.DockerManifestList, Annotations: map[string]string{}}
	var entries []entry
	for _, p := range parts {
		piece, err := parseIndex(p)
		if err != nil {
			return Manifest{}, fmt.Errorf("join %s: %w", p.Digest, err)
		}
		if err := whole.annotate(piece.Annotations); err != nil {
			return Manifest{}, fmt.Errorf("join %s: %w", p.Digest, err)
		}
		if p.MediaType != types.DockerManifestList {
			whole.MediaType = types.OCIImageIndex
		}
		for _, raw := range piece.Manifests {
			e := entry{raw: raw}
			if err := json.Unmarshal(raw, &e.Descriptor); err != nil {
				return Manifest{}, wrongf("join %s: %w", p.Digest, err)
			}
			entries = append(entries, e)
		}
	}
	if err := unique(entries); err != nil {
		return Manifest{}, err
	}
	arrange(entries, order)
	for _, e := range entries {
		whole.Manifests = append(whole.Manifests, e.raw)
	}
	return whole.manifest()
}

// index is an image index whose descriptors are kept as they came, so that what
// this program does not know of stays in them.
type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Manifests     []json.RawMessage `json:"manifests"`
	Subject       json.RawMessage   `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// entry is one descriptor of an index.
type entry struct {
	v1.Descriptor
	raw json.RawMessage
}

func parseIndex(m Manifest) (index, error) {
	if !m.MediaType.IsIndex() {
		return index{}, wrongf("no index: media type %q", m.MediaType)
	}
	var x index
	if err := json.Unmarshal(m.Raw, &x); err != nil {
		return index{}, wrongf("index: %w", err)
	}
	switch {
	case len(x.Manifests) > indexLimit:
		return index{}, wrongf("index has %d manifests, more than %d", len(x.Manifests), indexLimit)
	case x.ArtifactType != "" || len(x.Subject) > 0:
		return index{}, wrongf("index has an artifact type or a subject, which no whole can have of its parts")
	}
	return x, nil
}

func (x *index) annotate(more map[string]string) error {
	for k, v := range more {
		if has, ok := x.Annotations[k]; ok && has != v {
			return wrongf("annotation %s of the index is %q, and %q in another part", k, v, has)
		}
		x.Annotations[k] = v
	}
	return nil
}

// manifest is the index as BuildKit would have written it.
func (x *index) manifest() (Manifest, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it would rewrite what the parts have
	enc.SetIndent("", "  ")
	if err := enc.Encode(x); err != nil {
		return Manifest{}, err
	}
	raw := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	digest, err := digestOf("sha256", raw)
	return Manifest{MediaType: x.MediaType, Raw: raw, Digest: digest}, err
}

// unique is an error where two images are for one platform.
func unique(entries []entry) error {
	seen := map[string]v1.Hash{}
	for _, e := range entries {
		if e.attests() || e.Platform == nil {
			continue
		}
		p := platforms.FormatAll(normalize(*e.Platform))
		if other, ok := seen[p]; ok {
			return wrongf("two parts of the index have %s: %s and %s", p, other, e.Digest)
		}
		seen[p] = e.Digest
	}
	return nil
}

func (e entry) attests() bool { return e.Annotations[referenceType] == attestationManifest }

// arrange sorts images as order has them, and then attestations as their images.
func arrange(entries []entry, order []v1.Platform) {
	wanted := func(e entry) int {
		if e.Platform == nil {
			return len(order)
		}
		own := platforms.FormatAll(normalize(*e.Platform))
		i := slices.IndexFunc(order, func(p v1.Platform) bool { return platforms.FormatAll(normalize(p)) == own })
		if i < 0 {
			return len(order)
		}
		return i
	}
	place := map[string]int{} // of images, by digest
	for _, e := range entries {
		if !e.attests() {
			place[e.Digest.String()] = wanted(e)
		}
	}
	key := func(e entry) int {
		if !e.attests() {
			return wanted(e)
		}
		after := len(order) + 1 // all images
		if i, ok := place[e.Annotations[referenceDigest]]; ok {
			return after + i
		}
		return after + len(order) + 1
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return key(a) - key(b) })
}
