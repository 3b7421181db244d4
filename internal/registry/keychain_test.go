package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// auth is base64 of user:pass, as docker's configuration has it.
const auth1, auth2 = "dXNlcjE6cGFzczE=", "dXNlcjI6cGFzczI="

func TestKeychain(t *testing.T) {
	// Nothing of the process's own environment may count.
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("DOCKER_AUTH_CONFIG", `{"auths":{"ghcr.io":{"auth":"`+auth2+`"}}}`)
	dir := t.TempDir()
	write := func(path, content string, mode os.FileMode) string {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const file = `{"auths":{"ghcr.io":{"auth":"` + auth1 + `"},"ghcr.io/team/app":{"auth":"` + auth2 + `"},"https://index.docker.io/v1/":{"auth":"` + auth1 + `"}}}`
	write("home/.docker/config.json", file, 0o600)
	write("other/config.json", file, 0o600)
	write("helped/config.json", `{"credsStore":"fake","credHelpers":{"ghcr.io":"none","token.test":"token","slow.test":"../../evil"},"auths":{"store.test":{}}}`, 0o600)
	write("broken/config.json", `{"auths":`, 0o600)
	write("podman.json", `{"auths":{"quay.io":{"auth":"`+auth2+`"}}}`, 0o600)
	helper := func(name, script string) {
		write("bin/docker-credential-"+name, "#!/bin/sh\nread server\n"+script, 0o755)
	}
	helper("fake", `echo "{\"ServerURL\":\"$server\",\"Username\":\"$WHO\",\"Secret\":\"of $server\"}"`)
	helper("token", `echo "{\"ServerURL\":\"$server\",\"Username\":\"<token>\",\"Secret\":\"t\"}"`)
	helper("none", `echo "credentials not found in native keychain"; exit 1`)
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))

	helped := map[string]string{"DOCKER_CONFIG": filepath.Join(dir, "helped"), "WHO": "me"}
	for _, tt := range []struct {
		name, repo string
		environ    map[string]string
		want       authn.AuthConfig
		err        string
	}{
		{name: "nothing", repo: "ghcr.io/x/y"},
		{name: "home", repo: "ghcr.io/x/y", environ: map[string]string{"HOME": filepath.Join(dir, "home")}, want: authn.AuthConfig{Username: "user1", Password: "pass1"}},
		{name: "one repository", repo: "ghcr.io/team/app", environ: map[string]string{"HOME": filepath.Join(dir, "home")}, want: authn.AuthConfig{Username: "user2", Password: "pass2"}},
		{name: "Docker Hub", repo: "busybox", environ: map[string]string{"HOME": filepath.Join(dir, "home")}, want: authn.AuthConfig{Username: "user1", Password: "pass1"}},
		{name: "look-alike", repo: "ghcr.io.evil.com/x", environ: map[string]string{"HOME": filepath.Join(dir, "home")}},
		{name: "relative directory", repo: "ghcr.io/x/y", environ: map[string]string{"DOCKER_CONFIG": "other"}, want: authn.AuthConfig{Username: "user1", Password: "pass1"}},
		{name: "directory beats home", repo: "ghcr.io/x/y", environ: map[string]string{"DOCKER_CONFIG": "empty", "HOME": filepath.Join(dir, "home")}},
		{name: "in the environment itself", repo: "ghcr.io/x/y", want: authn.AuthConfig{Username: "user2", Password: "pass2"},
			environ: map[string]string{"DOCKER_AUTH_CONFIG": `{"auths":{"ghcr.io":{"auth":"` + auth2 + `"}}}`, "HOME": filepath.Join(dir, "home")}},
		{name: "in the environment, of another", repo: "ghcr.io/x/y", want: authn.AuthConfig{Username: "user1", Password: "pass1"},
			environ: map[string]string{"DOCKER_AUTH_CONFIG": `{"auths":{"quay.io":{"auth":"` + auth2 + `"}}}`, "HOME": filepath.Join(dir, "home")}},
		{name: "podman", repo: "quay.io/x/y", environ: map[string]string{"REGISTRY_AUTH_FILE": "podman.json"}, want: authn.AuthConfig{Username: "user2", Password: "pass2"}},
		{name: "store", repo: "quay.io/x", environ: helped, want: authn.AuthConfig{Username: "me", Password: "of quay.io"}},
		{name: "store and an empty entry", repo: "store.test", environ: helped, want: authn.AuthConfig{Username: "me", Password: "of store.test"}},
		{name: "helper without an answer", repo: "ghcr.io", environ: helped},
		{name: "helper with a token", repo: "token.test", environ: helped, want: authn.AuthConfig{IdentityToken: "t"}},
		{name: "helper of a strange name", repo: "slow.test", environ: helped, err: `credential helper "../../evil": no such name is allowed`},
		{name: "no JSON", repo: "ghcr.io", environ: map[string]string{"DOCKER_CONFIG": "broken"}, err: "broken/config.json: "},
		{name: "no JSON in the environment", repo: "ghcr.io", environ: map[string]string{"DOCKER_AUTH_CONFIG": auth1}, err: "DOCKER_AUTH_CONFIG: not a docker configuration: no JSON at byte 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Keychain(tt.environ, dir).Resolve(target(t, tt.repo))
			checkError(t, err, tt.err)
			if err != nil {
				if strings.Contains(err.Error(), auth1) {
					t.Errorf("the error shows a secret: %v", err)
				}
				return
			}
			got, err := found.Authorization()
			if err != nil {
				t.Fatal(err)
			}
			got.Auth = ""
			if *got != tt.want {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
		})
	}
}

// resource is a registry or a repository by its text alone.
type resource struct{ text, host string }

func (r resource) String() string      { return r.text }
func (r resource) RegistryStr() string { return r.host }

func target(t *testing.T, text string) authn.Resource {
	t.Helper()
	if !strings.Contains(text, "/") && strings.Contains(text, ".") {
		return resource{text, text}
	}
	return mustRepo(t, text)
}
