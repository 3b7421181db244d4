package login

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
)

// bouncer is a registry that one account may enter.
func bouncer(t *testing.T, user, password string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// result is what a run of the command did.
type result struct {
	code        int
	out, err    string
	temp        string
	left        []string // files below temp
	environment string   // that later steps get
}

func runLogin(t *testing.T, environ map[string]string, stdin string, args ...string) result {
	t.Helper()
	home, temp := t.TempDir(), t.TempDir()
	all := map[string]string{
		"HOME": home, "TMPDIR": temp, "GITHUB_ENV": filepath.Join(home, "env"),
		"GITHUB_OUTPUT": filepath.Join(home, "output"), "GITHUB_STATE": filepath.Join(home, "state"),
	}
	maps.Copy(all, environ)
	secrets := &ci.Secrets{}
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: secrets.Writer(&out), Raw: &out, Stderr: secrets.Writer(&errs),
		Environ: all, Dir: home, Now: time.Now, Secrets: secrets,
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := result{code: cli.Run(ctx, env, "hullwright", []cli.Verb{Verb()}, append([]string{"login"}, args...)), temp: temp}
	r.out, r.err = out.String(), errs.String()
	files, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	r.left = files
	raw, err := os.ReadFile(all["GITHUB_ENV"])
	if err == nil {
		r.environment = string(raw)
	}
	return r
}

func TestPasswords(t *testing.T) {
	const secret = `"hun,ter2`
	host := bouncer(t, "ada", secret)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		environ map[string]string
		stdin   string
		args    []string
		code    int
		err     string
	}{
		{name: "environment of an action", environ: map[string]string{"INPUT_PASSWORD": secret + "\n"}, args: []string{"--username", "ada"}},
		{name: "environment of a shell", environ: map[string]string{"HULLWRIGHT_PASSWORD": secret}, args: []string{"--username", "ada"}},
		{name: "standard input", stdin: secret + "\n", args: []string{"--username", "ada", "--password-stdin"}},
		{name: "file", args: []string{"--username", "ada", "--password-file", file}},
		{name: "command line", args: []string{"--username", "ada", "--password", secret}, code: 2, err: "login: hint: a command line is not private: set HULLWRIGHT_PASSWORD, or give it on standard input with --password-stdin"},
		{name: "command line, in one", args: []string{"--username", "ada", "--password=" + secret}, code: 2, err: "unknown flag --password\n"},
		{name: "twice", stdin: secret, environ: map[string]string{"INPUT_PASSWORD": secret}, args: []string{"--username", "ada", "--password-stdin"}, code: 2, err: `input "password": it is given twice`},
		{name: "none", args: []string{"--username", "ada"}, code: 2, err: "the password is missing"},
		{name: "nobody", stdin: secret, args: []string{"--password-stdin"}, code: 2, err: "the username is missing"},
		{name: "empty", args: []string{"--username", "ada", "--password-stdin"}, code: 2, err: `input "password-stdin": it is empty`},
		{name: "no end", stdin: strings.Repeat("x", 100<<10), args: []string{"--username", "ada", "--password-stdin"}, code: 2, err: "longer than 64 KiB"},
		{name: "no file", args: []string{"--username", "ada", "--password-file", "none"}, code: 2, err: `input "password-file"`},
		{name: "wrong", stdin: secret + "!", args: []string{"--username", "ada", "--password-stdin"}, code: 4, err: "log in to " + host + " as ada: "},
		{name: "a user with a colon", stdin: secret, args: []string{"--username", "a:b", "--password-stdin"}, code: 2, err: "the username has a colon"},
		{name: "plain http", stdin: secret, args: []string{"--username", "ada", "--password-stdin", "--registry", "http://registry.test"}, code: 2, err: "no credentials are sent over plain http"},
		{name: "a look-alike", stdin: secret, args: []string{"--username", "ada", "--password-stdin", "--registry", "ghcr.io@evil.com"}, code: 2, err: `"ghcr.io@evil.com" is no registry`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if !strings.Contains(strings.Join(args, " "), "--registry") {
				args = append([]string{host}, args...)
			}
			got := runLogin(t, tt.environ, tt.stdin, append(args, "--provider", "github")...)
			if got.code != tt.code || !strings.Contains(got.err, tt.err) {
				t.Errorf("code %d, want %d, error %q:\n%s", got.code, tt.code, tt.err, got.err)
			}
			if strings.Contains(withoutMasks(got.out+got.err), "ter2") {
				t.Errorf("the password is shown:\n%s%s", got.out, got.err)
			}
			switch {
			case tt.code != 0 && (len(got.left) > 0 || got.environment != ""):
				t.Errorf("left behind: %v %s", got.left, got.environment)
			case tt.code == 0 && !regexp.MustCompile(`(?s)BUILDX_CONFIG<<.*/\.docker/buildx\n.*DOCKER_CONFIG<<.*/hullwright-docker-`).MatchString(got.environment):
				t.Errorf("later steps get %q", got.environment)
			}
		})
	}
}

// withoutMasks is a log without the commands that tell GitHub's runner of secrets,
// which it does not show.
func withoutMasks(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "::add-mask::") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestRegistryAuth(t *testing.T) {
	host := bouncer(t, "ada", "hunter2")
	list := func(format string, args ...any) map[string]string {
		return map[string]string{"INPUT_REGISTRY-AUTH": fmt.Sprintf(format, args...)}
	}
	for _, tt := range []struct {
		name    string
		environ map[string]string
		args    []string
		code    int
		err     []string
	}{
		{name: "one", environ: list("- registry: %s\n  username: ada\n  password: hunter2\n  ecr: false\n", host)},
		{name: "two scopes", environ: list("- {registry: %[1]s, username: ada, password: hunter2}\n- {registry: %[1]s, username: ada, password: hunter2, scope: team/app@push}\n", host)},
		{name: "every fault at once", environ: list("- {registry: 'a b', username: ada, password: hunter2}\n- {registry: %s, usernme: ada, password: hunter2}\n- hunter2\n- {ecr: maybe, scope: ../x}\n- {registry: x.test, password: [hunter2]}\n", host), code: 2,
			err: []string{`input "registry-auth" line 1: "a b" is no registry`, `line 2: unknown key "usernme"`, "did you mean username?", "line 3: no login", `line 4: unknown value "maybe"`, `line 4: "../x" is no scope`, "line 5: password is no text"}},
		{name: "twice", environ: list("- {registry: %[1]s, username: ada, password: hunter2}\n- {registry: %[1]s, username: bob, password: hunter2}\n", host), code: 2, err: []string{"line 2: " + host + " is there twice"}},
		{name: "no YAML", environ: list("- {registry: hunter2\n  : [\n"), code: 2, err: []string{"no YAML"}},
		{name: "no list", environ: list("registry: hunter2"), code: 2, err: []string{"no list of logins"}},
		{name: "an alias bomb", environ: list("- &a {registry: x}\n- *a\n"), code: 2, err: []string{"line 2: no login"}},
		{name: "besides another", environ: list("- {registry: %s, username: ada, password: hunter2}\n", host), args: []string{"--username", "ada", "--ecr", "true"}, code: 2,
			err: []string{`input "username": registry-auth is given too`, `input "ecr": registry-auth is given too`}},
		{name: "one of two is refused", environ: list("- {registry: %s, username: ada, password: hunter2}\n- {registry: %s, username: ada, password: hunter2}\n", host, bouncer(t, "ada", "other")), code: 4, err: []string{"401"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runLogin(t, tt.environ, "", append(tt.args, "--provider", "github")...)
			if got.code != tt.code {
				t.Errorf("code %d, want %d:\n%s", got.code, tt.code, got.err)
			}
			for _, text := range tt.err {
				if !strings.Contains(got.err, text) {
					t.Errorf("no %q in\n%s", text, got.err)
				}
			}
			if strings.Contains(withoutMasks(got.out+got.err), "hunter2") {
				t.Errorf("the password is shown:\n%s%s", got.out, got.err)
			}
			if tt.code != 0 && len(got.left) > 0 {
				t.Errorf("left behind: %v", got.left)
			}
		})
	}
}

// TestOpenDoor is a registry that asks nobody: the login is kept, and that it was
// not tried is told.
func TestOpenDoor(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	host := server.Listener.Addr().String()
	got := runLogin(t, nil, "x", host, "--username", "ada", "--password-stdin", "--provider", "github")
	if got.code != 0 || !strings.Contains(got.err, host+" asks nobody who they are") {
		t.Errorf("code %d:\n%s", got.code, got.err)
	}
}

// TestShadowed is a runner whose settings have credentials that come first.
func TestShadowed(t *testing.T) {
	host := bouncer(t, "ada", "hunter2")
	environ := map[string]string{"DOCKER_AUTH_CONFIG": `{"auths":{"` + host + `":{"auth":"YTpi"}}}`}
	got := runLogin(t, environ, "hunter2", host, "--username", "ada", "--password-stdin", "--provider", "github")
	if got.code != 0 || !strings.Contains(got.err, "DOCKER_AUTH_CONFIG has credentials of "+host) {
		t.Errorf("code %d:\n%s", got.code, got.err)
	}
}

// FuzzRegistryAuth gives any text for a list of logins: it is one, or a fault that
// shows none of it that may be a secret.
func FuzzRegistryAuth(f *testing.F) {
	f.Add("- {registry: ghcr.io, username: ada, password: hunter2}")
	f.Add("- registry: x\n  password: |\n    hunter2\n- hunter2: hunter2")
	f.Add("{a: &a [hunter2], b: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{RegistryAuth: input.Secret(text)}
		if text == "" {
			return
		}
		provider, err := ci.Detect(ci.Host{Environ: map[string]string{}, Stdout: io.Discard, Stderr: io.Discard}, "git")
		if err != nil {
			t.Fatal(err)
		}
		accounts, err := o.accounts(&cli.Env{CI: provider, Dir: "/"})
		if err == nil && len(accounts) == 0 {
			t.Error("neither a login nor a fault")
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(text, "registry") && !strings.Contains(text, "ecr") && !strings.Contains(text, "scope") {
			t.Errorf("the error shows the password: %v", err)
		}
	})
}

// TestTLS is a registry by a certificate that nobody vouches for.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	host := server.Listener.Addr().String()
	got := runLogin(t, nil, "hunter2", "https://"+host, "--username", "ada", "--password-stdin", "--provider", "github")
	if got.code != 3 || !strings.Contains(got.err, "certificate") || len(got.left) > 0 {
		t.Errorf("code %d, left %v:\n%s", got.code, got.left, got.err)
	}
}
