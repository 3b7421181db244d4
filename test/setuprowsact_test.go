package test

import "testing"

// TestActReplaced runs a workflow that has every input of the actions that it used
// before: none fails it, what has no effect is told, and later steps read what
// they did.
func TestActReplaced(t *testing.T) {
	needEnvironment(t)
	address, stop, err := authRegistry(t.TempDir(), "htpasswd")
	check(t, err)
	defer stop()
	payload, origin := recorded(t, "push-branch")
	w := newWorkspace(t, "testdata/act", origin)
	name := "replaced-" + unique()
	got := w.run(t, w.act(t, "push", payload, "workflows/replaced.yml",
		"--var", "NAME="+name, "--var", "AUTH="+address, "--secret", "PASSWORD="+adaPassword)).ok(t)
	got.says(t,
		"setup: making builder hullwright-", `setup: skipped version "v0.12.0"`,
		"| "+name+" is running at ", " by docker-container for linux/amd64",
		"| flags --debug --allow-insecure-entitlement=network.host", "| version v0.", "| current Name:",
		"login: logged in to "+address+" as ada",
		"BuildKit's log, buildx_buildkit_"+name+"0", // as --debug asks for
		"Success - Post hullwright/hullwright/login@v1", "Success - Post hullwright/hullwright/setup@v1",
	)
	gone(t, buildersIn(t, got.out, 2)...)
}
