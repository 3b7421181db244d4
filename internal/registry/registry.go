// Package registry does hullwright's own work at registries: it reads and
// writes manifests, moves tags in a safe order and reads back what it wrote.
//
// Begin with [New] and [Client.Release]. All requests go through one transport
// that retries by status (docs/decisions), so callers never loop.
package registry

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Client speaks to registries.
type Client struct{}

// Option changes a client.
type Option func(*Client)

// WithKeychain takes credentials from k. The default is authn.DefaultKeychain.
func WithKeychain(k authn.Keychain) Option { panic("not yet") }

// WithTransport sends requests through t. The default is a clone of
// http.DefaultTransport.
func WithTransport(t http.RoundTripper) Option { panic("not yet") }

// WithRetryLog is told of every retry before the wait: "PUT host/repo: 503, again in 2s".
func WithRetryLog(log func(line string)) Option { panic("not yet") }

// New is a client.
func New(options ...Option) *Client { panic("not yet") }

// Manifest is a manifest's or index's bytes as a registry keeps them.
type Manifest struct {
	MediaType types.MediaType
	Raw       []byte
	Digest    v1.Hash // of Raw
}

// Get reads the manifest or index at ref and holds its bytes against the digest
// in ref, where it has one.
func (c *Client) Get(ctx context.Context, ref name.Reference) (Manifest, error) { panic("not yet") }

// Resolve is the digest that ref points to.
func (c *Client) Resolve(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	panic("not yet")
}

// Tag is a tag to write.
type Tag struct {
	Reference name.Tag
	// Rank orders writes: all tags of a lower rank stand, in every repository,
	// before the first of a higher one is written. See [Rank].
	Rank int
}

// Rank is a tag's place in the order of writes, from its text: what never moves
// (a commit, a full version) is 0, a minor version 1, a major version 2, and
// what always moves (latest, edge, a branch) 3.
func Rank(tag string) int { panic("not yet") }

// Release is a set of tags that shall all point to one digest, which is already
// in every repository.
type Release struct {
	Digest v1.Hash
	Tags   []Tag
}

// Written is what became of one tag.
type Written struct {
	Tag    string `json:"tag"`    // full reference
	Before string `json:"before"` // digest that the tag had; empty is none
	After  string `json:"after"`  // digest that the tag has; empty is not written
	Status string `json:"status"` // "written", "unchanged", "pending", "failed" or "unknown"
}

// Release writes the tags, those of one rank in parallel, and gives a row a tag
// in every case, also with an error. journal is called with all rows before the
// first write and after each rank; its error stops the release. When ctx ends
// no further tag is written; a write under way is awaited for at most 3 s.
func (c *Client) Release(ctx context.Context, r Release, journal func([]Written) error) ([]Written, error) {
	panic("not yet")
}

// Platform is one image of an index, as it was read back.
type Platform struct {
	Platform    string `json:"platform"` // linux/arm64; unknown/unknown is an attestation
	Digest      string `json:"digest"`
	Config      string `json:"config"` // digest
	Size        int64  `json:"size"`   // manifest, config and layers, bytes
	Attestation bool   `json:"attestation,omitempty"`
}

// Verify reads repo@digest back: the index or manifest itself, then every
// platform's manifest and config, whole and held against their digests, and
// every layer's presence. want are the platforms that must be there; more than
// them, attestations aside, is a fault too. Errors name the platform and the
// digest.
func (c *Client) Verify(ctx context.Context, repo name.Repository, digest v1.Hash, want []v1.Platform) ([]Platform, error) {
	panic("not yet")
}
