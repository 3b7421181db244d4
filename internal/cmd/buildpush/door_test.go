package buildpush

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

func records(t testing.TB, text string) input.Records {
	t.Helper()
	var o struct {
		Cache input.Records `env:"CACHE" help:"Caches."`
	}
	if err := input.Bind(&o, map[string]string{"INPUT_CACHE": text}, nil); err != nil {
		t.Fatal(err)
	}
	return o.Cache
}

// contextDir is a directory with a Dockerfile.
func contextDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// door passes a command line and an environment through the door, in dir.
func door(t testing.TB, dir string, environ map[string]string, args ...string) (*job, string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	all := map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir}
	maps.Copy(all, environ)
	env := &cli.Env{Stdout: &stdout, Stderr: &stderr, Dir: dir, Now: time.Now, Environ: all}
	provider, err := ci.Detect(ci.Host{Environ: all, Stdout: &stdout, Stderr: &stderr, Dir: dir}, "")
	if err != nil {
		t.Fatal(err)
	}
	env.CI = provider
	var o Options
	if err := input.Bind(&o, all, args); err != nil {
		return nil, stderr.String(), err
	}
	j, err := newJob(context.Background(), env, o)
	if err == nil {
		j.describeSource(context.Background())
	}
	return j, stderr.String(), err
}

// wantFault fails where err is no bad input that says want.
func wantFault(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want bad input with %q", err, want)
	}
}

// fork is the environment of a pull request that comes from a fork.
func fork(t testing.TB) map[string]string {
	t.Helper()
	payload := filepath.Join(t.TempDir(), "event.json")
	text := `{"pull_request":{"number":7,"head":{"ref":"x","sha":"b60c1904a1ce19322e91ac35af1ab07466440c37","repo":{"id":2,"full_name":"eve/app"}},
		"base":{"ref":"main","repo":{"id":1,"full_name":"acme/app"}}},"repository":{"id":1,"full_name":"acme/app","private":false}}`
	if err := os.WriteFile(payload, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	environ := github()
	environ["GITHUB_EVENT_NAME"], environ["GITHUB_REF"], environ["GITHUB_EVENT_PATH"] = "pull_request", "refs/pull/7/merge", payload
	return environ
}

// github is the environment of a push on GitHub.
func github() map[string]string {
	return map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_SERVER_URL": "https://github.com",
		"GITHUB_SHA": "860c1904a1ce19322e91ac35af1ab07466440c37", "GITHUB_REPOSITORY": "acme/app",
	}
}
