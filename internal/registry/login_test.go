package registry

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const password = "s3cret-pa55"

// door lets only tokens, or a password, through to a registry. It is an action;
// it is also the token server, at /token.
type door struct {
	basic    bool   // asks for a password, not for a token
	realm    string // empty is its own
	onlyName string // the field with the token: "token" or "access_token"; empty is both
	closed   bool   // no token is ever good enough
	openFor  int    // so many requests pass without a token
	revokeAt string // the first request of this method revokes all tokens

	mu      sync.Mutex
	issued  []string
	valid   map[string]bool
	scopes  [][]string
	revoked bool
}

func (d *door) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.URL.Path == "/token" {
		d.issue(w, r)
		return
	}
	if r.Method == d.revokeAt && !d.revoked {
		d.revoked = true
		d.valid = nil
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, pass, _ := r.BasicAuth()
	switch {
	case d.openFor > 0:
		d.openFor--
	case d.basic && user == "ci" && pass == password:
	case !d.basic && d.valid[token] && !d.closed:
	default:
		d.refuse(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

func (d *door) refuse(w http.ResponseWriter, r *http.Request) {
	realm := d.realm
	if realm == "" {
		realm = "http://" + r.Host + "/token"
	}
	challenge := fmt.Sprintf("Bearer realm=%q,service=%q", realm, "test")
	if d.basic {
		challenge = `Basic realm="test"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
}

func (d *door) issue(w http.ResponseWriter, r *http.Request) {
	if user, pass, _ := r.BasicAuth(); user != "ci" || pass != password {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}`)
		return
	}
	token := fmt.Sprintf("t%d", len(d.issued))
	d.issued = append(d.issued, token)
	d.scopes = append(d.scopes, r.URL.Query()["scope"])
	if d.valid == nil {
		d.valid = map[string]bool{}
	}
	d.valid[token] = true
	out := map[string]any{"token": token, "access_token": token, "expires_in": 300}
	if d.onlyName != "" {
		out = map[string]any{d.onlyName: token}
	}
	json.NewEncoder(w).Encode(out)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	ci := authn.AuthConfig{Username: "ci", Password: password}
	for _, tt := range []struct {
		name   string
		door   *door
		rules  []*rule // before the door
		login  authn.AuthConfig
		err    string
		hint   string
		issued int
	}{
		{name: "token", door: &door{}, login: ci, issued: 1},
		{name: "token under its one name", door: &door{onlyName: "token"}, login: ci, issued: 1},
		{name: "token under its other name", door: &door{onlyName: "access_token"}, login: ci, issued: 1},
		{name: "password", door: &door{basic: true}, login: ci},
		{name: "token runs out before the writes", door: &door{revokeAt: "PUT"}, login: ci, issued: 2},
		{name: "401 that first appears after the ping", door: &door{openFor: 1}, login: ci, issued: 1},
		{name: "401 that first appears at a write", door: &door{openFor: 22}, login: ci, issued: 1},
		{name: "token server 500", door: &door{}, rules: []*rule{{path: "/token", count: 2, action: status(500, "")}}, login: ci, issued: 1},
		{name: "token server 429", door: &door{}, rules: []*rule{{path: "/token", count: 1, action: status(429, "")}}, login: ci, issued: 1},
		{name: "401 for ever", door: &door{closed: true}, login: ci, issued: 2,
			err: "(asked for repository:app:pull,push)", hint: "docker login"},
		{name: "wrong password", door: &door{}, login: authn.AuthConfig{Username: "ci", Password: password + "x"},
			err: "401 Unauthorized: UNAUTHORIZED: wrong password (asked for repository:app:pull,push)", hint: "hullwright login"},
		{name: "wrong password, asked for as such", door: &door{basic: true}, login: authn.AuthConfig{Username: "ci", Password: password + "x"},
			err: "401 Unauthorized", hint: "hullwright login"},
		{name: "no login", door: &door{}, err: "401 Unauthorized", hint: "hullwright login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, append(tt.rules, &rule{action: tt.door.serve})...)
			digest := p.seed("app", testIndex(t, "linux/amd64"))
			var list []name.Tag
			for i := range 20 {
				list = append(list, p.tag(fmt.Sprintf("app:1.2.%d", i)))
			}
			var lines retries
			rows, err := newClient(t, WithKeychain(loginAs(tt.login)), WithRetryLog(lines.add)).Release(deadline(t), tags(digest, list...), nil)
			checkError(t, err, tt.err)
			if err != nil {
				if kind := errdefs.KindOf(err); kind != errdefs.Denied {
					t.Errorf("kind %v, want Denied", kind)
				}
				if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, tt.hint) {
					t.Errorf("hints %q do not say %q", hints, tt.hint)
				}
			} else if strings.Contains(statuses(rows), statusPending) {
				t.Errorf("rows %s", statuses(rows))
			}
			tt.door.mu.Lock() // a request that was given up may be with it still
			defer tt.door.mu.Unlock()
			// A request that begins when another has got a new token asks for one more.
			if len(tt.door.issued) < tt.issued || len(tt.door.issued) > tt.issued && !tt.door.closed {
				t.Errorf("%d tokens were asked for, want %d", len(tt.door.issued), tt.issued)
			}
			for _, scopes := range tt.door.scopes {
				if !slices.Equal(scopes, []string{"repository:app:pull,push"}) {
					t.Errorf("scopes %q", scopes)
				}
			}
			if text := fmt.Sprint(err, errdefs.Hints(err), lines.all()); strings.Contains(text, password) {
				t.Errorf("the password is shown: %s", text)
			}
		})
	}
}

// A reader asks for no more than it needs, and a token that was got to push
// serves to read.
func TestTokenScope(t *testing.T) {
	t.Parallel()
	d := &door{}
	p := newPeer(t, &rule{action: d.serve})
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	tag := p.tag("app:1.2.3")
	p.point(tag, digest)
	c := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password})))
	if got, err := c.Resolve(deadline(t), tag); err != nil || got != digest {
		t.Errorf("resolve: %s, %v", got, err)
	}
	if _, err := c.Release(deadline(t), tags(digest, p.tag("app:1.2.4")), nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(deadline(t), tag); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(d.scopes), "[[repository:app:pull] [repository:app:pull,push]]"; got != want {
		t.Errorf("scopes %s, want %s", got, want)
	}
}

// Token servers that a registry under an attacker's hand could name.
func TestForeignRealm(t *testing.T) {
	t.Parallel()
	thief := newPeer(t)
	_, port, _ := strings.Cut(thief.host(), ":")
	for _, tt := range []struct{ realm, err string }{
		{"http://localhost:" + port + "/token", "wants credentials sent over plain http, to localhost:" + port},
		{"http://" + thief.host() + "/token", "wants credentials sent over plain http, to " + thief.host()},
		{"https://localhost:" + port + "/token", "wants credentials sent to another host, localhost:" + port},
		{"https://127.0.0.1:" + port + "/token", "wants credentials sent to another host, 127.0.0.1:" + port},
		{"https://169.254.169.254/latest", "wants credentials sent to another host, 169.254.169.254"},
		{"https://ci:x@127.0.0.1/token", "names no usable token server"},
		{"file:///etc/passwd", "names no usable token server"},
		{"//evil/", "names no usable token server"},
		{"::", "names no usable token server"},
	} {
		t.Run(tt.realm, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, &rule{action: (&door{realm: tt.realm}).serve})
			_, err := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password}))).
				Resolve(deadline(t), p.tag("app:1"))
			checkError(t, err, tt.err)
			if errdefs.KindOf(err) != errdefs.Denied {
				t.Errorf("kind %v", errdefs.KindOf(err))
			}
		})
	}
	t.Cleanup(func() {
		if got := thief.requests(""); len(got) != 0 {
			t.Errorf("a foreign host was asked: %v", got)
		}
	})
}

func TestCheckRealm(t *testing.T) {
	t.Parallel()
	login := authn.FromConfig(authn.AuthConfig{Username: "ci", Password: password})
	for _, tt := range []struct {
		registry, realm string
		login           authn.Authenticator
		ok              bool
	}{
		{"index.docker.io", "https://auth.docker.io/token", login, true},
		{"ghcr.io", "https://ghcr.io/token", login, true},
		{"registry.gitlab.com", "https://gitlab.com/jwt/auth", login, true},
		{"git.example.co.uk:5050", "https://git.example.co.uk/jwt/auth", login, true},
		{"one.azurecr.io", "https://one.azurecr.io/oauth2/token", login, true},
		{"one.azurecr.io", "https://two.azurecr.io/oauth2/token", login, false},
		{"1.dkr.ecr.us-east-1.amazonaws.com", "https://2.dkr.ecr.us-east-1.amazonaws.com/token", login, false},
		{"docker.io.evil.com", "https://auth.docker.io/token", login, false},
		{"ghcr.io", "https://ghcr.io.evil.com/token", login, false},
		{"ghcr.io", "http://ghcr.io/token", login, false},
		{"a.co.uk", "https://b.co.uk/token", login, false},
		{"10.0.0.1:5000", "https://10.0.0.2/token", login, false},
		{"10.0.0.1:5000", "https://10.0.0.1/token", login, true},
		{"ghcr.io", "https://tokens.example.org/x", login, false},
		{"ghcr.io", "https://tokens.example.org/x", authn.Anonymous, true},
		{"ghcr.io", "https://10.0.0.2/x", authn.Anonymous, false},
		{"ghcr.io", "https://localhost/x", authn.Anonymous, false},
		{"ghcr.io", "https://trusted.example.net/x", login, true},
	} {
		reg, err := name.NewRegistry(tt.registry)
		if err != nil {
			t.Fatal(err)
		}
		s := newClient(t, WithTrustedRealm("trusted.example.net")).session(reg.Repo("app"), pull)
		s.login, s.scheme = tt.login, "https"
		if _, err := s.checkRealm(tt.realm); (err == nil) != tt.ok {
			t.Errorf("%s with realm %s: %v, want ok %v", tt.registry, tt.realm, err, tt.ok)
		}
	}
}

// A redirect takes a reader to another host, but not the token.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	storage := newPeer(t)
	storage.rules = []*rule{{action: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization"))
		mu.Unlock()
		next.ServeHTTP(w, r)
	}}}
	d := &door{}
	p := newPeer(t, &rule{path: "/blobs/", action: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "http://"+storage.host()+r.URL.Path, http.StatusTemporaryRedirect)
	}}, &rule{action: d.serve})
	index := testIndex(t, "linux/amd64")
	digest := p.seed("app", index)
	storage.seed("app", index)
	if _, err := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password}))).
		Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/amd64")); err != nil {
		t.Error(err)
	}
	if len(seen) == 0 || slices.ContainsFunc(seen, func(s string) bool { return s != "" }) {
		t.Errorf("Authorization at the storage: %q", seen)
	}
}

func TestRedirectRefused(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"":                          "stopped after 10 redirects", // to itself
		"http://registry.test/x":    "redirects to plain http at registry.test",
		"file:///etc/passwd":        "redirects to plain file",
		"https://169.254.169.254/x": "redirects to a link-local address, 169.254.169.254",
		"ftp://registry.test/thing": "redirects to plain ftp",
	} {
		p := newPeer(t, &rule{path: "/manifests/", action: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Location", target)
			if target == "" {
				w.Header().Set("Location", r.URL.Path)
			}
			w.WriteHeader(http.StatusTemporaryRedirect)
		}})
		_, err := newClient(t).Get(deadline(t), p.tag("app:1"))
		checkError(t, err, want)
	}
}

func TestScheme(t *testing.T) {
	t.Parallel()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())

	plain := newPeer(t)
	// registry.test is what a stranger's plain registry looks like: not loopback.
	for _, tt := range []struct {
		name, host, dial string
		trust            bool
		options          []Option
		err              string
	}{
		{name: "https at loopback", host: secure.Listener.Addr().String(), trust: true},
		{name: "https that nobody vouches for", host: secure.Listener.Addr().String(), err: "certificate"},
		{name: "http that was not allowed", host: "registry.test:5000", dial: plain.host(), err: "server gave HTTP response to HTTPS client"},
		{name: "http that was allowed", host: "registry.test:5000", dial: plain.host(), options: []Option{WithInsecure("registry.test:5000")}},
		{name: "nobody there", host: "127.0.0.1:1", err: "registry 127.0.0.1:1 does not answer: dial tcp 127.0.0.1:1: connect: connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			transport := dialing(t, tt.dial)
			if tt.trust {
				transport.TLSClientConfig.RootCAs = roots
			}
			repo := mustRepo(t, tt.host+"/app")
			_, err := newClient(t, append(tt.options, WithTransport(transport))...).Resolve(deadline(t), repo.Tag("none"))
			if tt.err == "" {
				if !errors.Is(err, ErrNotFound) { // it answered
					t.Errorf("error %v", err)
				}
				return
			}
			checkError(t, err, tt.err)
			if errdefs.KindOf(err) != errdefs.Environment || len(errdefs.Hints(err)) == 0 {
				t.Errorf("kind %v, hints %q", errdefs.KindOf(err), errdefs.Hints(err))
			}
		})
	}
}
