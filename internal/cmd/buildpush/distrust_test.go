package buildpush

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/ci"
)

// The request of a fork is built, and what it could write with is taken away.
func TestDistrust(t *testing.T) {
	dir := contextDir(t)
	args := []string{"--tags", "r.example/app:1", "--push", "--cache-to", "r.example/app:cache", "."}
	j, stderr, err := door(t, dir, fork(t), args...)
	if err != nil || j.request.Push || j.request.CacheTo != nil || !strings.Contains(stderr, "comes from a fork") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if j, _, err = door(t, dir, fork(t), append(args, "--allow-untrusted")...); err != nil || !j.request.Push || len(j.request.CacheTo) != 1 {
		t.Errorf("allow-untrusted: %v", err)
	}
	_, _, err = door(t, dir, fork(t), append(args, "--strict")...)
	wantFault(t, err, "comes from a fork")

	environ := fork(t)
	environ["SSH_AUTH_SOCK"] = "/run/agent"
	_, _, err = door(t, dir, environ, "--ssh", "default", ".")
	wantFault(t, err, `input "ssh": request 7 comes from a fork`)
	if _, _, err = door(t, dir, environ, "--ssh", "default", "--allow-untrusted", "."); err != nil {
		t.Error(err)
	}
}

// On pull_request_target a job has the repository's secrets, and may have
// checked out what a stranger wrote.
func TestDistrustOfHead(t *testing.T) {
	repo := repository(t)
	checkout, err := ci.ReadCheckout(t.Context(), ci.Host{Dir: repo, Environ: map[string]string{"PATH": os.Getenv("PATH")}})
	if err != nil {
		t.Fatal(err)
	}
	environ := fork(t)
	environ["GITHUB_EVENT_NAME"], environ["GITHUB_REF"] = "pull_request_target", "refs/heads/main"
	environ["INPUT_SECRETS"] = "npm=hunter2-npm"
	if _, _, err := door(t, repo, environ, "."); err != nil {
		t.Errorf("the base's checkout is refused: %v", err)
	}
	payload, err := os.ReadFile(environ["GITHUB_EVENT_PATH"])
	if err != nil {
		t.Fatal(err)
	}
	payload = bytes.Replace(payload, []byte("b60c1904a1ce19322e91ac35af1ab07466440c37"), []byte(checkout.SHA), 1)
	if err := os.WriteFile(environ["GITHUB_EVENT_PATH"], payload, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = door(t, repo, environ, ".")
	wantFault(t, err, `input "secrets": request 7 comes from a fork, and on pull_request_target`)
	if _, _, err := door(t, repo, environ, "--allow-untrusted", "."); err != nil {
		t.Error(err)
	}
	delete(environ, "INPUT_SECRETS")
	if _, _, err := door(t, repo, environ, "."); err != nil {
		t.Errorf("a build without secrets is refused: %v", err)
	}
}
