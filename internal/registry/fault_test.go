package registry

import (
	"context"
	"crypto/tls"

	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// rule makes requests that match go wrong.
type rule struct {
	method string // empty is any
	path   string // regular expression
	skip   int    // of those that match, so many go well first
	count  int    // then so many go wrong; 0 is all
	action action

	seen int
}

// action answers a request in the place of next, the good registry.
type action func(w http.ResponseWriter, r *http.Request, next http.Handler)

func status(code int, body string, header ...string) action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// retryDate asks to come back at a date, in from now.
func retryDate(code int, in time.Duration) action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After", time.Now().Add(in).UTC().Format(http.TimeFormat))
		w.WriteHeader(code)
	}
}

// reset closes the connection with a RST.
func reset(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// lostAnswer does what was asked and resets in the place of an answer.
func lostAnswer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	reset(w, r, next)
}

// then does what was asked, and something more before the answer leaves.
func then(more func()) action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		more()
	}
}

// hold does what was asked, after d.
func hold(d time.Duration) action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		time.Sleep(d)
		next.ServeHTTP(w, r)
	}
}

// hang answers nothing for as long as anybody waits for it.
func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// edit changes an answer on its way.
func edit(change func(h http.Header, body []byte) []byte) action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := change(rec.Header(), rec.Body.Bytes())
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(body)
	}
}

func corrupt(_ http.Header, body []byte) []byte {
	body[len(body)/2] ^= 1
	return body
}

// truncate announces more than it sends; net/http then closes the connection.
func truncate(_ http.Header, body []byte) []byte { return body[:len(body)/2] }

func without(header string) action {
	return edit(func(h http.Header, body []byte) []byte { h.Del(header); return body })
}

func with(header, value string) action {
	return edit(func(h http.Header, body []byte) []byte { h.Set(header, value); return body })
}

// peer is a real registry, in process, with faults before it.
type peer struct {
	t      *testing.T
	good   *httptest.Server // the registry without faults, to seed and to look at
	server *httptest.Server
	mu     sync.Mutex
	rules  []*rule
	log    []string // "PUT /v2/app/manifests/1.2"
}

func newPeer(t *testing.T, rules ...*rule) *peer {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	p := &peer{t: t, rules: rules, good: httptest.NewServer(handler)}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, handler) }))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.Start()
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
		p.good.Close()
	})
	return p
}

func (p *peer) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p.mu.Lock()
	p.log = append(p.log, r.Method+" "+r.URL.Path)
	var act action
	for _, rule := range p.rules {
		if (rule.method != "" && rule.method != r.Method) || !regexp.MustCompile(rule.path).MatchString(r.URL.Path) {
			continue
		}
		rule.seen++
		if n := rule.seen - rule.skip; n > 0 && (rule.count == 0 || n <= rule.count) {
			act = rule.action
			break
		}
	}
	p.mu.Unlock()
	if act != nil {
		act(w, r, next)
		return
	}
	next.ServeHTTP(w, r)
}

// requests are those that match, in order.
func (p *peer) requests(pattern string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, l := range p.log {
		if regexp.MustCompile(pattern).MatchString(l) {
			out = append(out, l)
		}
	}
	return out
}

func (p *peer) host() string { return p.server.Listener.Addr().String() }

func (p *peer) repo(path string) name.Repository {
	return mustRepo(p.t, p.host()+"/"+path)
}

func (p *peer) tag(path string) name.Tag {
	p.t.Helper()
	tag, err := name.NewTag(p.host() + "/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	return tag
}

func mustRepo(t *testing.T, s string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// seed puts an index in a repository, behind the faults, by digest alone.
func (p *peer) seed(path string, index v1.ImageIndex) v1.Hash {
	p.t.Helper()
	digest, err := index.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	repo := mustRepo(p.t, p.good.Listener.Addr().String()+"/"+path)
	if err := remote.WriteIndex(repo.Digest(digest.String()), index); err != nil {
		p.t.Fatal(err)
	}
	return digest
}

// point lets a tag point to a digest of its repository, behind the faults.
func (p *peer) point(tag name.Tag, digest v1.Hash) {
	p.t.Helper()
	repo := mustRepo(p.t, p.good.Listener.Addr().String()+"/"+tag.RepositoryStr())
	d, err := remote.Get(repo.Digest(digest.String()))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := remote.Tag(repo.Tag(tag.TagStr()), d); err != nil {
		p.t.Fatal(err)
	}
}

// has is the digest that a tag really has; empty is none.
func (p *peer) has(tag name.Tag) string {
	p.t.Helper()
	repo := mustRepo(p.t, p.good.Listener.Addr().String()+"/"+tag.RepositoryStr())
	d, err := remote.Head(repo.Tag(tag.TagStr()))
	if err != nil {
		return ""
	}
	return d.Digest.String()
}

// testIndex is an index of small images for platforms, with an attestation
// each, as BuildKit makes them.
func testIndex(t *testing.T, platforms ...string) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		image := testImage(t, *platform)
		digest, _ := image.Digest()
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}},
			mutate.IndexAddendum{Add: testImage(t, v1.Platform{OS: "unknown", Architecture: "unknown"}), Descriptor: v1.Descriptor{
				Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{referenceType: attestationManifest, "vnd.docker.reference.digest": digest.String()},
			}})
	}
	return mutate.IndexMediaType(index, types.OCIImageIndex)
}

func testImage(t *testing.T, p v1.Platform) v1.Image {
	t.Helper()
	image, err := random.Image(512, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// quick is a policy whose waits a test can afford.
var quick = Retry{Base: time.Millisecond, Max: 8 * time.Millisecond}

// retries collects the lines of a retry log.
type retries struct {
	mu    sync.Mutex
	lines []string
}

func (r *retries) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *retries) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytesClone(r.lines)
}

func bytesClone(s []string) []string { return append([]string(nil), s...) }

// newClient is a client without credentials, with waits that a test can afford.
func newClient(t *testing.T, options ...Option) *Client {
	t.Helper()
	transport := Transport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	return New(append([]Option{WithTransport(transport), WithRetry(quick), WithKeychain(loginAs(authn.AuthConfig{}))}, options...)...)
}

// loginAs is a keychain with one login for everything; the zero one is none.
func loginAs(login authn.AuthConfig) authn.Keychain { return oneLogin(login) }

type oneLogin authn.AuthConfig

func (l oneLogin) Resolve(authn.Resource) (authn.Authenticator, error) {
	if authn.AuthConfig(l) == (authn.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig(l)), nil
}

// tags makes a release's tags, ranked by their text.
func tags(digest v1.Hash, list ...name.Tag) Release {
	r := Release{Digest: digest}
	for _, t := range list {
		r.Tags = append(r.Tags, Tag{Reference: t, Rank: Rank(t.TagStr())})
	}
	return r
}

// statuses are rows in short: "1.2:written".
func statuses(rows []Written) string {
	var out []string
	for _, r := range rows {
		out = append(out, r.Tag[strings.LastIndex(r.Tag, ":")+1:]+":"+r.Status)
	}
	return strings.Join(out, " ")
}

// deadline bounds a test's work.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// checkError holds an error's text against what it must say; empty is no error.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error: %v", err)
	case want != "" && err == nil:
		t.Errorf("no error, want one with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error %q does not say %q", err, want)
	}
}

func newTLSConfig() *tls.Config { return &tls.Config{} }

// newRecorded is the header of another request for what r asks for.
func newRecorded(next http.Handler, r *http.Request, method string) http.Header {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, httptest.NewRequest(method, r.URL.Path, nil))
	return rec.Header()
}

// contextWhen is a context that ends when something is the case.
func contextWhen(t *testing.T, is func() bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(deadline(t))
	go func() {
		for !is() && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	return ctx, cancel
}
