package registry

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// TestScopedKeychain finds the login that fits a scope best, in the order of
// buildx's own provider.
func TestScopedKeychain(t *testing.T) {
	dir := t.TempDir()
	login := func(path, auth string) {
		t.Helper()
		path = filepath.Join(dir, path, "config.json")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		const hub = `,"https://index.docker.io/v1/":{"auth":"`
		text := `{"auths":{"ghcr.io":{"auth":"` + auth + `"}` + hub + auth + `"}}}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// a:1 to e:5
	login("docker", "YToxCg==")
	login("buildx/config/ghcr.io@push", "YjoyCg==")
	login("buildx/config/ghcr.io/team/app", "YzozCg==")
	login("buildx/config/ghcr.io/team/app@push", "ZDo0Cg==")
	login("buildx/config/registry-1.docker.io/library/x", "ZTo1Cg==")
	environ := map[string]string{"DOCKER_CONFIG": filepath.Join(dir, "docker"), "BUILDX_CONFIG": filepath.Join(dir, "buildx")}
	kept := map[string]string{"a": "docker", "b": "buildx/config/ghcr.io@push", "c": "buildx/config/ghcr.io/team/app",
		"d": "buildx/config/ghcr.io/team/app@push", "e": "buildx/config/registry-1.docker.io/library/x"}
	for _, tt := range []struct {
		repo   string
		scopes []string
		want   string
	}{
		{"ghcr.io/team/app", nil, "a"},
		{"ghcr.io/team/other", []string{"repository:team/other:pull"}, "a"},
		{"ghcr.io/team/other", []string{"repository:team/other:pull,push"}, "b"},
		{"ghcr.io/team/app", []string{"repository:team/app:pull"}, "c"},
		{"ghcr.io/team/app", []string{"repository:team/app:pull,push"}, "d"},
		{"ghcr.io/team/app", []string{"repository:team/app:pull,push repository:team/base:pull"}, "a"},
		{"ghcr.io/team/app2", []string{"repository:team/app2:pull"}, "a"},
		{"x", []string{"repository:library/x:pull"}, "e"},
		{"y", []string{"repository:library/y:pull"}, "a"},
		{"ghcr.io.evil.com/team/app", []string{"repository:team/app:pull,push"}, ""},
	} {
		found, err := authn.Resolve(t.Context(), Keychain(environ, "/"), WithScopes(mustRepo(t, tt.repo), tt.scopes...))
		if err != nil {
			t.Fatal(err)
		}
		got, err := authn.Authorization(t.Context(), found)
		if err != nil {
			t.Fatal(err)
		}
		if got.Username != tt.want {
			t.Errorf("%s %v: user %q, want %q", tt.repo, tt.scopes, got.Username, tt.want)
		}
		if tt.want == "" {
			continue
		}
		where, ok := found.(*Kept)
		if !ok || where.File != filepath.Join(dir, kept[tt.want], "config.json") || where.Key != ConfigKey(mustRepo(t, tt.repo).RegistryStr()) {
			t.Errorf("%s %v: kept in %+v", tt.repo, tt.scopes, found)
		}
	}
	// What the environment itself holds comes before all files, as in docker.
	environ["DOCKER_AUTH_CONFIG"] = `{"auths":{"ghcr.io":{"auth":"ZTo1Cg=="}}}`
	found, err := authn.Resolve(t.Context(), Keychain(environ, "/"), WithScopes(mustRepo(t, "ghcr.io/team/app"), "repository:team/app:pull"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := authn.Authorization(t.Context(), found); err != nil || got.Username != "e" {
		t.Errorf("with DOCKER_AUTH_CONFIG the user is %+v, %v", got, err)
	}
	if where, ok := found.(*Kept); !ok || where.File != "" {
		t.Errorf("with DOCKER_AUTH_CONFIG they are kept in %+v", found)
	}
}
