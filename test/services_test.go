package test

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
)

// TestActCache runs a workflow beside act's own cache server, which speaks the
// first version of GitHub's protocol: what a step with uses: is told of the
// cache is enough for type=gha.
func TestActCache(t *testing.T) {
	payload, origin := recorded(t, "push-branch")
	w := newWorkspace(t, "testdata/act", origin)
	c := w.act(t, "push", payload, "workflows/cache.yml",
		"--cache-server-addr", "127.0.0.1", "--cache-server-path", filepath.Join(w.home, "cache"),
		// act makes a runner's token where it has artifacts, too
		"--artifact-server-path", filepath.Join(w.home, "artifacts"),
		"--artifact-server-addr", "127.0.0.1", "--artifact-server-port", freePort(t),
	)
	c.argv = slices.DeleteFunc(c.argv, func(a string) bool { return a == "--no-cache-server" })
	got := w.run(t, c).ok(t)
	got.says(t, "cache exported is true", "2 of 2 steps cached")
	gone(t, buildersIn(t, got.out, 1)...)
}

// freePort is a port that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeAddress()
	check(t, err)
	_, port, err := net.SplitHostPort(address)
	check(t, err)
	return port
}
