package builder

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestForwardAgents(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	listener, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dead := filepath.Join(dir, "dead")
	gone, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	gone.(*net.UnixListener).SetUnlinkOnClose(false)
	gone.Close()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		title   string
		agents  []Agent
		environ map[string]string
		fault   string
	}{
		{title: "none"},
		{title: "of the environment", agents: []Agent{{ID: "default"}}, environ: map[string]string{"SSH_AUTH_SOCK": live}},
		{title: "by its socket", agents: []Agent{{ID: "x", Paths: []string{live}}}},
		{title: "no variable", agents: []Agent{{ID: "default"}}, fault: "SSH_AUTH_SOCK is not set"},
		{title: "nobody listens", agents: []Agent{{ID: "default"}}, environ: map[string]string{"SSH_AUTH_SOCK": dead}, fault: "refused"},
		{title: "no socket", agents: []Agent{{ID: "default"}}, environ: map[string]string{"SSH_AUTH_SOCK": dir + "/none"}, fault: "no such file"},
		{title: "no key", agents: []Agent{{ID: "x", Paths: []string{junk}}}, fault: "no key"},
		{title: "twice", agents: []Agent{{ID: "x", Paths: []string{live}}, {ID: "x", Paths: []string{live}}}, fault: "duplicate"},
	}
	for _, c := range cases {
		r := &request{}
		err := (&inputs{session: Session{Environ: c.environ}}).forwardAgents(t.Context(), r, Solve{SSH: c.agents})
		if c.fault == "" {
			if err != nil || len(r.opt.Session) != min(len(c.agents), 1) {
				t.Errorf("%s: %v, %d attachables", c.title, err, len(r.opt.Session))
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.fault) || !strings.Contains(err.Error(), `input "ssh"`) || errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%s: %v, want bad input ssh with %q", c.title, err, c.fault)
		}
	}
}
