package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// A token for somebody else is got by the same rules as for ourselves.
func TestToken(t *testing.T) {
	t.Parallel()
	ci := authn.AuthConfig{Username: "ci", Password: password}
	for _, tt := range []struct {
		name   string
		rules  []*rule
		login  authn.AuthConfig
		realm  string // the registry's own unless given
		scopes []string
		want   string
		err    string
		kind   errdefs.Kind
	}{
		{name: "push", login: ci, scopes: []string{"repository:app:pull,push"}, want: "t0"},
		{name: "mount", login: ci, scopes: []string{"repository:base:pull", "repository:app:pull,push"}, want: "t0"},
		{name: "token server 500", login: ci, rules: []*rule{{path: "/token", count: 2, action: status(500, "")}}, scopes: []string{"repository:app:pull"}, want: "t0"},
		{name: "token server 429", login: ci, rules: []*rule{{path: "/token", count: 1, action: status(429, "", "Retry-After", "1")}}, scopes: []string{"repository:app:pull"}, want: "t0"},
		{name: "a token of the user's own", login: authn.AuthConfig{RegistryToken: "own"}, scopes: []string{"repository:app:pull"}, want: "own"},
		{name: "wrong password", login: authn.AuthConfig{Username: "ci", Password: "x"}, scopes: []string{"repository:app:pull"}, err: "wrong password (asked for repository:app:pull)", kind: errdefs.Denied},
		{name: "credentials elsewhere", login: ci, realm: "https://tokens.test/token", scopes: []string{"repository:app:pull"}, err: "wants credentials sent to another host, tokens.test", kind: errdefs.Denied},
		{name: "the cloud's metadata", realm: "https://169.254.169.254/token", scopes: []string{"repository:app:pull"}, err: "169.254.169.254", kind: errdefs.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &door{}
			p := newPeer(t, append(tt.rules, &rule{action: d.serve})...)
			if tt.realm == "" {
				tt.realm = "http://" + p.host() + "/token"
			}
			got, err := newClient(t, WithKeychain(loginAs(tt.login))).
				Token(deadline(t), TokenRequest{Host: p.host(), Realm: tt.realm, Service: "test", Scopes: tt.scopes})
			checkError(t, err, tt.err)
			if err != nil && errdefs.KindOf(err) != tt.kind {
				t.Errorf("kind %v", errdefs.KindOf(err))
			}
			if got.Token != tt.want {
				t.Errorf("token %q, want %q", got.Token, tt.want)
			}
			if tt.want == "t0" && (got.ExpiresIn != 300 || fmt.Sprint(d.scopes) != fmt.Sprint([][]string{tt.scopes})) {
				t.Errorf("lives %d s; asked for %v", got.ExpiresIn, d.scopes)
			}
		})
	}
}

func TestScopedRepository(t *testing.T) {
	t.Parallel()
	for scopes, want := range map[string]string{
		"":                    "",
		"registry:catalog:*":  "",
		"repository:a/b:pull": "a/b",
		"repository:a:pull repository:b:pull,push": "b",
		"repository:host:5000/a:push":              "host:5000/a",
		"repository":                               "",
	} {
		if got := scopedRepository(strings.Fields(scopes)); got != want {
			t.Errorf("%q: %q, want %q", scopes, got, want)
		}
	}
}

// briefly is a door whose tokens run out in the middle of the work: when something
// is put to a path with the next of at in it. Time would do so too, but also while a
// request waits that has got a new token already, on a machine that has much to do.
type briefly struct {
	door
	at []string
}

func (b *briefly) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	b.mu.Lock()
	if r.Method == http.MethodPut && len(b.at) > 0 && strings.Contains(r.URL.Path, b.at[0]) {
		b.valid, b.at = nil, b.at[1:]
	}
	b.mu.Unlock()
	b.door.serve(w, r, next)
}

// A push that lasts longer than its tokens gets new ones.
func TestTokensRunOut(t *testing.T) {
	t.Parallel()
	b := &briefly{at: []string{"/blobs/uploads/", "/manifests/1.2.3"}}
	p := newPeer(t, &rule{action: b.serve})
	source := newPeer(t)
	digest := source.seed("app", testIndex(t, "linux/amd64", "linux/arm64"))
	c := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password})))
	if err := c.Copy(deadline(t), source.repo("app"), p.repo("app"), digest); err != nil {
		t.Fatal(err)
	}
	if rows, err := c.Release(deadline(t), tags(digest, p.tag("app:1.2.3"), p.tag("app:1.2"), p.tag("app:latest")), nil); err != nil {
		t.Fatal(statuses(rows), err)
	}
	if len(b.at) > 0 || len(b.issued) < 3 {
		t.Errorf("%d tokens, and still to come %q", len(b.issued), b.at)
	}
}

// helper gives a password that is good until the next one is asked for.
type helper struct {
	mu    sync.Mutex
	asked int
}

func (h *helper) Resolve(authn.Resource) (authn.Authenticator, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return authn.FromConfig(authn.AuthConfig{Username: "ci", Password: fmt.Sprintf("p%d", h.asked)}), nil
}

// What a credential helper gave may run out as well: it is asked again.
func TestCredentialsRunOut(t *testing.T) {
	t.Parallel()
	h := &helper{}
	var mu sync.Mutex
	expired := ""
	p := newPeer(t, &rule{action: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, pass, ok := r.BasicAuth()
		mu.Lock()
		if r.Method == http.MethodPut && expired == "" {
			expired = pass
		}
		good := ok && pass != expired
		mu.Unlock()
		if !good {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}})
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	rows, err := newClient(t, WithKeychain(h)).Release(deadline(t), tags(digest, p.tag("app:1.2.3"), p.tag("app:latest")), nil)
	if err != nil || h.asked != 2 {
		t.Errorf("rows %s, error %v, the helper was asked %d times", statuses(rows), err, h.asked)
	}
}

func TestScopesOf(t *testing.T) {
	scopes := []string{"repository:base:pull repository:team/app:pull,push", "repository:team/app2:pull"}
	for repository, want := range map[string]string{
		"team/app": "repository:team/app:pull,push",
		"base":     "repository:base:pull",
		"other":    "",
		"":         "repository:base:pull repository:team/app:pull,push repository:team/app2:pull",
	} {
		if got := strings.Join(scopesOf(scopes, repository), " "); got != want {
			t.Errorf("of %q: %q, want %q", repository, got, want)
		}
	}
}
