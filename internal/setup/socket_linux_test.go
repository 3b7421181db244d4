package setup

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	engine "github.com/moby/moby/client"
)

// TestRealSocket reaches a buildkitd in a container at its socket, and nothing else
// than that.
func TestRealSocket(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Name: "s" + newNonce(3), Driver: DockerContainer, DriverOpts: map[string]string{"network": "host"}}, state)
	check(t, err)
	node := b.Nodes[0].conn.(*containerNode)
	api, err := m.engine(b.Nodes[0].Endpoint)
	check(t, err)
	defer api.Close()
	found, err := api.ContainerInspect(ctx, node.name(), engine.ContainerInspectOptions{})
	check(t, err)
	here := running{found.Container.ID, found.Container.State.Pid}
	conn, err := here.dial(ctx)
	check(t, err)
	conn.Close()

	for _, tt := range []struct {
		running
		err string
	}{
		{running{id: here.id}, "does not run"},
		{running{strings.Repeat("0", 64), here.pid}, "is not of container 0000"},
		{running{"", here.pid}, "is not of container"},
		{running{here.id, os.Getpid()}, "is not of container " + here.id},
		{running{here.id, 1 << 30}, "no such file"},
	} {
		if conn, err := tt.dial(ctx); err == nil {
			conn.Close()
			t.Errorf("%+v: connected", tt.running)
		} else if !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %v, want %q", tt.running, err, tt.err)
		}
	}

	// A link in the container that leads to a socket of the machine leads nowhere.
	dir := filepath.Join(m.host.Dir, "out")
	check(t, os.Mkdir(dir, 0o700))
	l, err := net.Listen("unix", filepath.Join(dir, "buildkitd.sock"))
	check(t, err)
	defer l.Close()
	inside := func(script string) {
		out, err := exec.CommandContext(ctx, "docker", "exec", node.name(), "sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	inside("mv /run/buildkit /run/moved && ln -s " + dir + " /run/buildkit")
	if conn, err := here.dial(ctx); err == nil {
		conn.Close()
		t.Error("connected to a socket outside of the container")
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	inside("rm /run/buildkit && mv /run/moved /run/buildkit")
	solve(ctx, t, b)
	check(t, m.Teardown(ctx, state.Path()))
}

// TestRealSocketElsewhere has a buildkitd that listens where only the container's
// own environment says.
func TestRealSocketElsewhere(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	const address = "unix:///run/elsewhere.sock"
	b, err := m.Ensure(ctx, Spec{
		Name: "s" + newNonce(3), Driver: DockerContainer, Flags: []string{"--addr", address},
		DriverOpts: map[string]string{"network": "host", "env.BUILDKIT_HOST": address},
	}, state)
	check(t, err)
	solve(ctx, t, b)
	check(t, m.Teardown(ctx, state.Path()))
}
