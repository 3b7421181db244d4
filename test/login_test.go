package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestActLogin runs the login action before a push to a registry that asks who
// comes. The end of the job takes the credentials away, and nothing of the
// password is in the log.
func TestActLogin(t *testing.T) {
	needEnvironment(t)
	address, stop, err := authRegistry(t.TempDir(), "tokens")
	check(t, err)
	defer stop()
	payload, origin := recorded(t, "push-branch")
	w := newWorkspace(t, "testdata/act", origin)
	got := w.run(t, w.act(t, "push", payload, "workflows/login.yml", "--job", "push", "--var", "AUTH="+address, "--secret", "PASSWORD="+adaPassword)).ok(t)
	got.says(t, "login: logged in to "+address+" as ada", "Success - Post hullwright/hullwright/login@v1")
	if strings.Contains(got.out, adaPassword) {
		t.Errorf("the password is in the log:\n%s", got.out)
	}
	m := regexp.MustCompile(`credentials are in (/\S+)`).FindStringSubmatch(got.out)
	if m == nil || !strings.Contains(m[1], "hullwright-docker-") {
		t.Fatalf("later steps did not get a directory: %v\n%s", m, got.out)
	}
	if _, err := os.Stat(m[1]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", m[1], err)
	}
	refused := w.run(t, w.act(t, "push", payload, "workflows/login.yml", "--job", "refused", "--var", "AUTH="+address))
	if refused.code == 0 {
		t.Error("a wrong password is no failure")
	}
	refused.says(t, "401 Unauthorized", "Success - Post hullwright/hullwright/login@v1")
}
