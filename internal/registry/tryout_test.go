package registry

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestTry(t *testing.T) {
	t.Parallel()
	good := authn.AuthConfig{Username: "ci", Password: password}
	bad := authn.AuthConfig{Username: "ci", Password: password + "x"}
	redirect := func(to string) action {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	}
	for _, tt := range []struct {
		name   string
		door   *door // nil lets everybody in
		rules  []*rule
		login  authn.AuthConfig
		asked  bool
		err    string
		kind   errdefs.Kind
		hint   string
		issued int
	}{
		{name: "token", door: &door{}, login: good, asked: true, issued: 1},
		{name: "password", door: &door{basic: true}, login: good, asked: true},
		{name: "an open door", login: bad},
		{name: "wrong password at the token server", door: &door{}, login: bad, asked: true, err: "401 Unauthorized: UNAUTHORIZED: wrong password", kind: errdefs.Denied, hint: "check the username and the password"},
		{name: "wrong password at the registry", door: &door{basic: true}, login: bad, asked: true, err: "/v2/: 401 Unauthorized", kind: errdefs.Denied, hint: "check the username and the password"},
		{name: "a token that opens nothing", door: &door{closed: true}, login: good, asked: true, err: "/v2/: 401 Unauthorized", kind: errdefs.Denied, issued: 1},
		{name: "a realm at another host", door: &door{realm: "https://evil.test/token"}, login: good, asked: true, err: "wants credentials sent to another host, evil.test", kind: errdefs.Denied, hint: "trust-realms"},
		{name: "a realm by plain http", door: &door{realm: "http://evil.test/token"}, login: good, asked: true, err: "sent over plain http, to evil.test", kind: errdefs.Denied},
		{name: "a realm at the cloud's metadata", door: &door{realm: "https://169.254.169.254/token"}, login: good, asked: true, err: "another host, 169.254.169.254", kind: errdefs.Denied},
		{name: "a realm at this machine by name", door: &door{realm: "https://localhost:1/token"}, login: good, asked: true, err: "another host, localhost:1", kind: errdefs.Denied},
		{name: "a realm with a user", door: &door{realm: "https://u:p@127.0.0.1/token"}, login: good, asked: true, err: "names no usable token server", kind: errdefs.Denied},
		{name: "a realm that is a file", door: &door{realm: "file:///etc/passwd"}, login: good, asked: true, err: "names no usable token server", kind: errdefs.Denied},
		{name: "an answer that leads elsewhere", door: &door{basic: true}, rules: []*rule{{path: "/v2/", skip: 1, action: redirect("https://evil.test/v2/")}}, login: good, asked: true, err: "/v2/: 307 Temporary Redirect", kind: errdefs.Environment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rules := tt.rules
			if tt.door != nil {
				rules = append(rules, &rule{action: tt.door.serve})
			}
			p := newPeer(t, rules...)
			reg, err := name.NewRegistry(p.host())
			if err != nil {
				t.Fatal(err)
			}
			asked, err := newClient(t).Try(deadline(t), reg, authn.FromConfig(tt.login))
			checkError(t, err, tt.err)
			if asked != tt.asked {
				t.Errorf("asked %t, want %t", asked, tt.asked)
			}
			if err != nil && errdefs.KindOf(err) != tt.kind {
				t.Errorf("kind %v, want %v", errdefs.KindOf(err), tt.kind)
			}
			if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q do not say %q", hints, tt.hint)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Errorf("the error shows the password: %v", err)
			}
			if tt.door != nil && len(tt.door.issued) != tt.issued {
				t.Errorf("%d tokens were issued, want %d", len(tt.door.issued), tt.issued)
			}
		})
	}
}

// TestTryNobody is a registry that is not there.
func TestTryNobody(t *testing.T) {
	t.Parallel()
	reg, err := name.NewRegistry("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(WithRetry(Retry{Tries: 1, Base: time.Millisecond})).Try(deadline(t), reg, authn.FromConfig(authn.AuthConfig{Username: "ci", Password: password}))
	checkError(t, err, "does not answer")
	if errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("kind %v", errdefs.KindOf(err))
	}
}
