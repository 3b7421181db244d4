package buildpush

import (
	"strings"
	"testing"
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
