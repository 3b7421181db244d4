package login

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// userOf is who a keychain says asks for a repository.
func userOf(t *testing.T, k authn.Keychain, repository string, scopes ...string) (string, error) {
	t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	found, err := authn.Resolve(deadline(t), k, registry.WithScopes(repo, scopes...))
	if err != nil {
		return "", err
	}
	got, err := authn.Authorization(deadline(t), found)
	if err != nil {
		t.Fatal(err)
	}
	return got.Username, nil
}

// TestMemory finds the login of a registry, or of a part of one; all others are
// the inner keychain's.
func TestMemory(t *testing.T) {
	inner, _ := newSource(nil)
	below := inner.Memory(authn.NewMultiKeychain())
	below.Remember(account(t, "ghcr.io"), []Credentials{{Registry: account(t, "ghcr.io").Registry, Username: "below"}})
	below.Remember(account(t, "other.test"), []Credentials{{Registry: account(t, "other.test").Registry, Username: "below"}})
	s, _ := newSource(nil)
	m := s.Memory(below)
	for _, scope := range []string{"@push", "", "team/app", "team/app@push"} {
		a := account(t, "ghcr.io")
		a.Scope = scope
		m.Remember(a, []Credentials{{Registry: a.Registry, Username: "of " + scope}})
	}
	for _, tt := range []struct{ repo, scope, want string }{
		{"ghcr.io/team/app", "repository:team/app:pull,push", "of team/app@push"},
		{"ghcr.io/team/app", "repository:team/app:pull", "of team/app"},
		{"ghcr.io/team/other", "repository:team/other:pull,push", "of @push"},
		{"ghcr.io/team/other", "repository:team/other:pull", "of "},
		{"ghcr.io/team/app", "repository:team/app:pull repository:team/base:pull", "of "},
		{"ghcr.io/team/app", "", "of "},
		{"other.test/app", "repository:app:pull", "below"},
		{"ghcr.io.evil.test/team/app", "repository:team/app:pull", ""},
	} {
		got, err := userOf(t, m, tt.repo, tt.scope)
		if err != nil || got != tt.want {
			t.Errorf("%s %q: user %q, %v, want %q", tt.repo, tt.scope, got, err, tt.want)
		}
	}
}

// TestMemoryRenews gets Amazon's credentials again before they end, with keys
// that are in memory alone; while they last a fault is none.
func TestMemoryRenews(t *testing.T) {
	const host = "012345678910.dkr.ecr.us-east-1.amazonaws.com"
	server := &amazon{answer: "one"}
	listener := httptest.NewServer(server)
	defer listener.Close()
	s, _ := newSource(map[string]string{"AWS_ENDPOINT_URL_ECR": listener.URL})
	now := noon
	s.Now = func() time.Time { return now }
	a := account(t, host)
	a.Username, a.Password = "AKIDEXAMPLE", "wJalrXUtnFEMI"
	list, err := s.Credentials(deadline(t), a)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Memory(authn.NewMultiKeychain())
	m.Remember(a, list)
	for _, tt := range []struct {
		after  time.Duration // noon; the token ends at midnight
		status int           // Amazon's answer
		asked  int           // so far
		err    string
	}{
		{after: 0, asked: 1},
		{after: 11 * time.Hour, asked: 1},
		{after: 12*time.Hour - 5*time.Minute, asked: 2},
		{after: 12*time.Hour - 30*time.Second, status: 403, asked: 3},
		{after: 12*time.Hour + time.Minute, status: 403, asked: 4, err: "credentials of " + host},
	} {
		now = noon.Add(tt.after)
		server.mu.Lock()
		server.status = tt.status
		server.mu.Unlock()
		got, err := userOf(t, m, host+"/app")
		checkFault(t, err, tt.err, errdefs.Denied)
		if err == nil && got != "AWS" {
			t.Errorf("after %s the user is %q", tt.after, got)
		}
		if len(server.requests) != tt.asked {
			t.Errorf("after %s Amazon was asked %d times, want %d", tt.after, len(server.requests), tt.asked)
		}
	}
}
