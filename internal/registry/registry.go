// Package registry does hullwright's own work at registries: it reads and
// writes manifests, moves tags in a safe order and reads back what it wrote.
//
// Begin with [New] and [Client.Release]. All requests go through one transport
// that retries by status (docs/decisions), so callers never loop. Errors are
// errdefs.Error: Denied where a registry answered 401 or 403, Environment where
// it did not answer or not usably; what is not there is [ErrNotFound].
package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Client speaks to registries. It may be used by several goroutines; it asks
// each registry how it wants to be spoken to, and gets a token for each
// repository, once.
type Client struct {
	keychain authn.Keychain
	base     http.RoundTripper
	retry    Retry
	log      func(string)
	logMu    sync.Mutex
	insecure map[string]bool
	trusted  map[string]bool

	certificates Certificates
	authorities  authorities

	wire *retryTransport

	mu        sync.Mutex
	endpoints map[string]*endpoint
	sessions  map[sessionKey]*session
}

// Option changes a client.
type Option func(*Client)

// WithKeychain takes credentials from k. The default is authn.DefaultKeychain,
// which reads the process's own environment; [Keychain] does not.
func WithKeychain(k authn.Keychain) Option { return func(c *Client) { c.keychain = k } }

// WithTransport sends requests through t, whose time-outs are its own. The
// default is a clone of http.DefaultTransport with [Transport]'s time-outs. With a
// dialer that is not [Transport]'s, hosts that a registry leads to are judged by
// their names alone, and not by their addresses.
func WithTransport(t http.RoundTripper) Option { return func(c *Client) { c.base = t } }

// WithRetry changes how requests are sent again. The default is the zero Retry.
func WithRetry(r Retry) Option { return func(c *Client) { c.retry = r } }

// WithRetryLog is told of every retry before the wait: "PUT host/repo: 503, again in 2s".
// It is called by one goroutine at a time. The default is silence.
func WithRetryLog(log func(line string)) Option { return func(c *Client) { c.log = log } }

// WithCertificates trusts registries by the authorities in dirs, and shows them
// the certificates there. It needs a transport of net/http's. The default is the
// system's authorities, and none of ours.
func WithCertificates(dirs Certificates) Option { return func(c *Client) { c.certificates = dirs } }

// WithAuthorities trusts each of hosts ("registry.lan:5000") by the certificates in
// PEM that it has there too, beside the system's and those of [WithCertificates].
// They count for that host alone: a token server elsewhere needs its own. Such a host
// is spoken to by https only, also at loopback, unless it is one of [WithInsecure].
// It needs a transport of net/http's. The default is none.
func WithAuthorities(hosts map[string][]byte) Option {
	return func(c *Client) {
		for host, pem := range hosts {
			c.authorities[dockerName(strings.ToLower(host))] = pem
		}
	}
}

// WithInsecure lets hosts ("registry.lan:5000") be spoken to with a certificate
// that nobody vouches for, which needs a transport of net/http's, and over plain
// http where they do not answer https. The default is that only loopback may.
func WithInsecure(hosts ...string) Option {
	return func(c *Client) { addHosts(c.insecure, hosts) }
}

// WithTrustedRealm lets registries send credentials to token servers on hosts
// ("auth.example.com") that are neither the registry's host nor of its domain.
// The default is none.
func WithTrustedRealm(hosts ...string) Option {
	return func(c *Client) { addHosts(c.trusted, hosts) }
}

func addHosts(set map[string]bool, hosts []string) {
	for _, h := range hosts {
		set[strings.ToLower(h)] = true
	}
}

// New is a client.
func New(options ...Option) *Client {
	c := &Client{
		keychain:    authn.DefaultKeychain,
		insecure:    map[string]bool{},
		trusted:     map[string]bool{},
		authorities: authorities{},
		endpoints:   map[string]*endpoint{},
		sessions:    map[sessionKey]*session{},
	}
	for _, o := range options {
		o(c)
	}
	if c.base == nil {
		c.base = newTransport(http.ProxyFromEnvironment)
	}
	if t, ok := c.base.(*http.Transport); ok {
		c.base = newFence(t, c.certified)
	}
	c.wire = &retryTransport{base: c.base, retry: c.retry.withDefaults(), log: c.logLine}
	return c
}

// certified is a transport with the certificates that were asked for.
func (c *Client) certified(t *http.Transport) http.RoundTripper {
	if len(c.insecure)+len(c.certificates)+len(c.authorities) == 0 {
		return t
	}
	return &hostTLS{
		base: t, certificates: c.certificates, authorities: c.authorities, made: map[string]http.RoundTripper{},
		unverified: func(host string) bool { return c.insecure[host] },
	}
}

func (c *Client) logLine(line string) {
	if c.log == nil {
		return
	}
	c.logMu.Lock()
	defer c.logMu.Unlock()
	c.log(line)
}

// mayBePlain is whether host ("name" or "name:port") may be spoken to over http.
func (c *Client) mayBePlain(host string) bool {
	if c.insecure[strings.ToLower(host)] {
		return true
	}
	return isLoopback(hostname(host)) && len(c.authorities.of(host)) == 0
}

func isLoopback(name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	name = strings.ToLower(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hostname is host without its port and brackets.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// Manifest is a manifest's or index's bytes as a registry keeps them.
type Manifest struct {
	MediaType types.MediaType
	Raw       []byte
	Digest    v1.Hash // of Raw
}

// Get reads the manifest or index at ref and holds its bytes against the digest
// in ref, where it has one.
func (c *Client) Get(ctx context.Context, ref name.Reference) (Manifest, error) {
	return c.session(ref.Context(), pull).manifest(ctx, ref)
}

// Resolve is the digest that ref points to.
func (c *Client) Resolve(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	return c.session(ref.Context(), pull).resolve(ctx, ref)
}

// The media types that a manifest may have, for Accept.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex),
	string(types.OCIManifestSchema1),
	string(types.DockerManifestList),
	string(types.DockerManifestSchema2),
}, ", ")

func (s *session) manifest(ctx context.Context, ref name.Reference) (Manifest, error) {
	r, err := s.do(ctx, call{method: http.MethodGet, kind: manifests, id: ref.Identifier(), accept: manifestTypes})
	if err != nil {
		return Manifest{}, err
	}
	algorithm := "sha256"
	want, pinned, err := pinnedDigest(ref)
	if err != nil {
		return Manifest{}, err
	}
	if pinned {
		algorithm = want.Algorithm
	}
	got, err := digestOf(algorithm, r.body)
	if err != nil {
		return Manifest{}, wrongf("%s: %w", ref, err)
	}
	if pinned && got != want {
		return Manifest{}, wrongf("%s: registry sent a manifest with digest %s", ref, got)
	}
	return Manifest{MediaType: mediaType(r.header.Get("Content-Type"), r.body), Raw: r.body, Digest: got}, nil
}

// mediaType is what a registry says that a manifest is, without parameters
// (proxies add "; charset=utf-8"), or what the manifest says of itself where
// the registry says nothing of use ("application/json").
func mediaType(header string, raw []byte) types.MediaType {
	text, _, _ := strings.Cut(header, ";")
	m := types.MediaType(strings.TrimSpace(text))
	if m.IsIndex() || m.IsImage() {
		return m
	}
	var self struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if json.Unmarshal(raw, &self) == nil && self.MediaType != "" {
		return self.MediaType
	}
	return m
}

// look is what a reference points to at one time.
type look struct {
	digest v1.Hash
	etag   string // strong, quotes included; empty where the registry gives none
}

// resolve is the digest that ref points to.
func (s *session) resolve(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	l, err := s.look(ctx, ref)
	return l.digest, err
}

// look asks with HEAD, which counts against no pull limit, and with GET where
// a registry has no HEAD or leaves the digest out of its answer.
func (s *session) look(ctx context.Context, ref name.Reference) (look, error) {
	want, pinned, err := pinnedDigest(ref)
	if err != nil {
		return look{}, err
	}
	r, err := s.do(ctx, call{method: http.MethodHead, kind: manifests, id: ref.Identifier(), accept: manifestTypes})
	if err != nil && statusOf(err) != http.StatusMethodNotAllowed {
		return look{}, err
	}
	if err == nil {
		got, err := v1.NewHash(r.header.Get("Docker-Content-Digest"))
		if err == nil && pinned && got != want {
			return look{}, wrongf("%s: registry says that its digest is %s", ref, got)
		}
		if err == nil {
			return look{digest: got, etag: strongETag(r.header)}, nil
		}
	}
	m, err := s.manifest(ctx, ref)
	return look{digest: m.Digest}, err
}

// strongETag is the ETag of an answer where it names its bytes exactly.
func strongETag(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// pinnedDigest is the digest in ref, and whether it has one.
func pinnedDigest(ref name.Reference) (v1.Hash, bool, error) {
	d, ok := ref.(name.Digest)
	if !ok {
		return v1.Hash{}, false, nil
	}
	h, err := v1.NewHash(d.DigestStr())
	if err != nil {
		return v1.Hash{}, false, fmt.Errorf("%s: %w", ref, err)
	}
	return h, true, nil
}

func digestOf(algorithm string, raw []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(raw)
	return v1.Hash{Algorithm: algorithm, Hex: fmt.Sprintf("%x", h.Sum(nil))}, nil
}
