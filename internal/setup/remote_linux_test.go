package setup

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// freeAddress is an address of this machine at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// startBuildkitd runs a daemon at a tcp address, with processes and mounts of
// its own, which end with it. tls is its certificate; where it has a CA
// clients need a certificate of that.
func startBuildkitd(t *testing.T, m *Manager, tls NodeTLS, flags ...string) (endpoint string) {
	t.Helper()
	dir := t.TempDir()
	address := freeAddress(t)
	args := append([]string{
		"--mount", "--pid", "--mount-proc", "--fork", "--kill-child", m.lookPath("buildkitd"),
		"--addr", "tcp://" + address, "--root", filepath.Join(dir, "root"), "--oci-worker-net", "host",
	}, flags...)
	for _, part := range tls.parts() {
		if *part.pem != nil {
			path := filepath.Join(dir, part.option)
			check(t, os.WriteFile(path, *part.pem, 0o600))
			args = append(args, "--tls"+part.option, path)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	check(t, err)
	cmd := exec.Command("unshare", args...)
	cmd.Env = []string{"PATH=" + strings.Join(m.path(), ":"), "HOME=" + dir}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // by the kill
		log.Close()
		if t.Failed() {
			t.Logf("%s:\n%s", address, readFile(t, log.Name()))
		}
	})
	return "tcp://" + address
}

// opts writes a node's certificates, and gives driver remote's options for them.
func (tls NodeTLS) opts(t *testing.T) map[string]string {
	t.Helper()
	dir, opts := t.TempDir(), map[string]string{}
	for _, part := range tls.parts() {
		if *part.pem != nil {
			opts[part.option] = filepath.Join(dir, part.option)
			check(t, os.WriteFile(opts[part.option], *part.pem, 0o600))
		}
	}
	return opts
}

// TestRealRemote has a daemon that asks for a client certificate.
func TestRealRemote(t *testing.T) {
	m, ctx := real(t), limited(t)
	ca := newCA(t)
	endpoint := startBuildkitd(t, m, ca.issue(t, "builder.example"))
	state := newState(t, m)
	spec := Spec{
		Name: "r" + newNonce(3), Driver: Remote, Endpoint: endpoint, Use: true,
		DriverOpts: map[string]string{"servername": "builder.example"}, TLS: ca.issue(t, "client"),
	}
	b, err := m.Ensure(ctx, spec, state)
	check(t, err)
	if !b.Made || b.Driver != Remote || b.Nodes[0].Version == "" || b.Nodes[0].Endpoint != endpoint {
		t.Errorf("builder %+v", b)
	}
	solve(ctx, t, b)
	check(t, b.Close())

	// The files are named as docker/setup-buildx-action names them, and private.
	certs := m.store().path("certs", "")
	key := filepath.Join(certs, "key_"+strings.ReplaceAll(strings.TrimPrefix(endpoint, "tcp://"), ":", "-")+".pem")
	info, err := os.Stat(key)
	check(t, err)
	if info.Mode().Perm() != 0o600 || b.Nodes[0].DriverOpts["key"] != key {
		t.Errorf("%s: %s, options %v", key, info.Mode(), b.Nodes[0].DriverOpts)
	}

	// buildx refuses a remote builder where a default configuration is.
	check(t, os.Remove(filepath.Join(m.store().dir, "buildkitd.default.toml")))
	if ls := buildx(ctx, t, m, "ls"); !strings.Contains(ls, b.Name+"*") || !strings.Contains(ls, "running") {
		t.Errorf("buildx ls:\n%s", ls)
	}
	buildWithBuildx(ctx, t, m, b.Name)

	found, err := m.Find(ctx, "")
	check(t, err)
	solve(ctx, t, found)
	check(t, found.Close())
	check(t, m.Teardown(ctx, state.Path()))
	missing(t, certs)
	missing(t, m.store().path("instances", b.Name))
	missing(t, filepath.Dir(state.Path()))

	// And the other way round.
	name := "x" + newNonce(3)
	args := []string{"create", "--name", name, "--driver", Remote}
	opts := ca.issue(t, "client").opts(t)
	opts["servername"] = "builder.example"
	for k, v := range opts {
		args = append(args, "--driver-opt", k+"="+v)
	}
	buildx(ctx, t, m, append(args, endpoint)...)
	theirs, err := m.Find(ctx, name)
	check(t, err)
	solve(ctx, t, theirs)
	check(t, theirs.Close())
	again, err := m.Ensure(ctx, Spec{Name: name, Driver: Remote}, newState(t, m))
	check(t, err)
	if again.Made {
		t.Error("buildx's builder was made again")
	}
	check(t, again.Close())
}

// TestRealRemoteFaults tells why a daemon can't be spoken to, at once where
// waiting does not mend it, and leaves nothing.
func TestRealRemoteFaults(t *testing.T) {
	m := real(t)
	ca, other := newCA(t), newCA(t)
	endpoint := startBuildkitd(t, m, ca.issue(t, "127.0.0.1"))
	started := m.spec(endpoint, ca.issue(t, "client").opts(t))
	state := newState(t, m)
	b, err := m.Ensure(limited(t), started, state)
	check(t, err)
	check(t, b.Close())
	plain := httptest.NewServer(nil)
	defer plain.Close()
	trusting := NodeTLS{CA: ca.pem}.opts(t)
	for name, tt := range map[string]struct {
		endpoint string
		opts     map[string]string
		want     string
		hint     string
	}{
		"wrong CA":            {endpoint, other.issue(t, "client").opts(t), "the daemon's certificate is not trusted", "cacert=FILE"},
		"wrong name":          {endpoint, with(ca.issue(t, "client").opts(t), "servername", "other.example"), "the daemon's certificate is for another name", "servername=NAME"},
		"no certificate":      {endpoint, trusting, "the daemon asks for a client certificate", "cert=FILE,key=FILE"},
		"certificate unknown": {endpoint, mixed(ca.pem, other.issue(t, "client")).opts(t), "the daemon refuses the client certificate", "the daemon's CA"},
		"no TLS here":         {endpoint, nil, "the daemon speaks TLS, and no certificate was given", "cacert=FILE"},
		"no TLS there":        {"tcp://" + plain.Listener.Addr().String(), trusting, "the daemon does not speak TLS", "leave"},
	} {
		t.Run(name, func(t *testing.T) {
			state := newState(t, m)
			start := time.Now()
			_, err := m.Ensure(limited(t), m.spec(tt.endpoint, tt.opts), state)
			if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s", err, tt.want)
			}
			if hints := strings.Join(errdefs.Hints(err), "\n"); !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q lack %q", hints, tt.hint)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			if !state.Empty() {
				t.Errorf("left %v", state.made(0))
			}
		})
	}
}

func (m *Manager) spec(endpoint string, opts map[string]string) Spec {
	return Spec{Name: "f" + newNonce(3), Driver: Remote, Endpoint: endpoint, DriverOpts: opts}
}

func with(opts map[string]string, key, value string) map[string]string {
	opts = maps.Clone(opts)
	opts[key] = value
	return opts
}

func mixed(ca []byte, t NodeTLS) NodeTLS { return NodeTLS{CA: ca, Cert: t.Cert, Key: t.Key} }

// TestRealRemoteDead waits for as long as a daemon may take to come up.
func TestRealRemoteDead(t *testing.T) {
	t.Parallel()
	m := real(t)
	state := newState(t, m)
	endpoint := "tcp://" + freeAddress(t)
	start := time.Now()
	_, err := m.Ensure(limited(t), m.spec(endpoint, nil), state)
	want := "at " + endpoint + ": no answer within 20s: nothing listens there: dial tcp"
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), want) || len(errdefs.Hints(err)) == 0 {
		t.Errorf("got %v; want %s", err, want)
	}
	if took := time.Since(start); took < bootLimit || took > bootLimit+5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !state.Empty() {
		t.Errorf("left %v", state.made(0))
	}
}

// TestRealRemoteLate has a daemon that comes up while it is waited for.
func TestRealRemoteLate(t *testing.T) {
	m := real(t)
	socket := filepath.Join(m.host.Dir, "late.sock")
	endpoint := startBuildkitd(t, m, NodeTLS{}, "--addr", "unix://"+socket)
	b, err := m.Ensure(limited(t), m.spec(socket, nil), newState(t, m))
	check(t, err)
	if want := "unix://" + socket; b.Nodes[0].Endpoint != want {
		t.Errorf("endpoint %s, want %s", b.Nodes[0].Endpoint, want)
	}
	check(t, b.Close())
	tcp, err := m.Ensure(limited(t), m.spec(endpoint, nil), newState(t, m))
	check(t, err)
	check(t, tcp.Close())
}

// TestRealAppend has a container and a daemon that asks for a client
// certificate as the nodes of one builder, for us and for buildx.
func TestRealAppend(t *testing.T) {
	m, ctx := real(t), limited(t)
	ca := newCA(t)
	endpoint := startBuildkitd(t, m, ca.issue(t, "127.0.0.1"))
	client := ca.issue(t, "client")
	environ := map[string]string{
		"BUILDER_NODE_1_AUTH_TLS_CACERT": string(client.CA),
		"BUILDER_NODE_1_AUTH_TLS_CERT":   string(client.Cert),
		"BUILDER_NODE_1_AUTH_TLS_KEY":    string(client.Key),
	}
	nodes, err := ParseAppend("- endpoint: "+endpoint+"\n  driver: remote\n  platforms: linux/arm64\n", environ)
	check(t, err)
	platforms, err := ParsePlatforms([]string{"linux/amd64", "linux/arm64"})
	check(t, err)
	state := newState(t, m)
	spec := Spec{
		Name: "a" + newNonce(3), Driver: DockerContainer, DriverOpts: map[string]string{"network": "host"},
		Platforms: platforms, Nodes: nodes, Use: true,
	}
	b, err := m.Ensure(ctx, spec, state)
	check(t, err)
	if b.Driver != DockerContainer || len(b.Nodes) != 2 || b.Nodes[0].DriverOpts["network"] != "host" || len(b.Nodes[0].Flags) == 0 {
		t.Errorf("builder %+v", b)
	}
	if at := fmt.Sprint(Place(b.Nodes, platforms)); at != "[0 1]" {
		t.Errorf("placed %s", at)
	}
	solveAll(ctx, t, b)
	check(t, b.Close())

	// A second time it is there, with its nodes; one that it lacks is told.
	guest := newState(t, m)
	again, err := m.Ensure(ctx, spec, guest)
	check(t, err)
	if again.Made {
		t.Error("it was made again")
	}
	check(t, again.Close())
	lacks := spec
	lacks.Nodes = append(nodes, NodeSpec{Endpoint: "tcp://127.0.0.1:1", Driver: Remote, line: 7})
	if _, err := m.Ensure(ctx, lacks, newState(t, m)); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "append" line 7: builder`) {
		t.Errorf("got %v", err)
	}

	// buildx reaches both, by our container's name.
	api, err := m.engine(b.Nodes[0].Endpoint)
	check(t, err)
	defer api.Close()
	name := containerOf(b.Nodes[0].Name)
	check(t, os.Remove(filepath.Join(m.store().dir, "buildkitd.default.toml")))
	if ls := buildx(ctx, t, m, "inspect", b.Name); strings.Count(ls, "running") != 2 {
		t.Errorf("buildx inspect:\n%s", ls)
	}
	buildWithBuildx(ctx, t, m, b.Name)

	check(t, m.Teardown(ctx, state.Path())) // the second one's use keeps it whole
	found, err := m.Find(ctx, b.Name)
	check(t, err)
	solveAll(ctx, t, found)
	check(t, found.Close())
	check(t, m.Teardown(ctx, guest.Path()))
	missing(t, m.store().path("certs", ""))
	missing(t, m.store().path("instances", b.Name))
	if _, err := api.ContainerInspect(ctx, name, engine.ContainerInspectOptions{}); err == nil {
		t.Error("the container is there still")
	}
}

// TestRealRemoteContainer reaches into a container, with no docker program.
func TestRealRemoteContainer(t *testing.T) {
	m, ctx := real(t), limited(t)
	contained, err := m.Ensure(ctx, Spec{Name: "c" + newNonce(3), Driver: DockerContainer, DriverOpts: map[string]string{"network": "host"}}, newState(t, m))
	check(t, err)
	check(t, contained.Close())
	b, err := m.Ensure(ctx, m.spec(inContainer+"://"+containerOf(contained.Nodes[0].Name), nil), newState(t, m))
	check(t, err)
	solve(ctx, t, b)
	check(t, b.Close())
}

// TestRealTunnels reaches a daemon through the programs of pods and of engines
// without an API of their own. What stands in their place runs what they are told
// to run in there, and notes where.
func TestRealTunnels(t *testing.T) {
	m, ctx := real(t), limited(t)
	socket := filepath.Join(m.host.Dir, "t.sock")
	startBuildkitd(t, m, NodeTLS{}, "--addr", "unix://"+socket)
	b, err := m.Ensure(ctx, m.spec(socket, nil), newState(t, m)) // now it is up
	check(t, err)
	check(t, b.Close())
	bin, noted := t.TempDir(), filepath.Join(m.host.Dir, "noted")
	script := fmt.Sprintf("#!/bin/sh\necho \"${0##*/} $*\" >> %s\nwhile [ \"$1\" != buildctl ]; do shift; done\nexec env BUILDKIT_HOST=unix://%s \"$@\"\n", noted, socket)
	for _, program := range []string{"kubectl", "podman", "nerdctl"} {
		check(t, os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for endpoint, want := range map[string]string{
		"kube-pod://b-0?namespace=ci": "kubectl --context= --namespace=ci exec --container= -i b-0 -- buildctl dial-stdio",
		"podman-container://b":        "podman exec -i b buildctl dial-stdio",
		"nerdctl-container://b":       "nerdctl exec -i b buildctl dial-stdio",
	} {
		b, err := m.Ensure(ctx, m.spec(endpoint, nil), newState(t, m))
		check(t, err)
		solve(ctx, t, b)
		check(t, b.Close())
		if got := readFile(t, noted); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", endpoint, got, want)
		}
	}
}

// solveAll builds a file on every node.
func solveAll(ctx context.Context, t *testing.T, b *Builder) {
	t.Helper()
	for _, n := range b.Nodes {
		def, err := llb.Scratch().File(llb.Mkfile("/hello", 0o644, []byte(newNonce(8)))).Marshal(ctx)
		check(t, err)
		_, err = b.Client(n).Solve(ctx, def, client.SolveOpt{}, nil)
		check(t, err)
	}
}

// TestRealAppendDefaults has a further node that says nothing but its engine: a
// context for the one that the first node has by its address.
func TestRealAppendDefaults(t *testing.T) {
	m, ctx := real(t), limited(t)
	var log strings.Builder
	m.host.Stderr = &log
	here, err := m.endpoint("")
	check(t, err)
	m.host.Environ["DOCKER_CONFIG"] = t.TempDir()
	withContext(t, m.dockerDir(), "second", here)
	nodes, err := ParseAppend("- endpoint: second", map[string]string{
		"BUILDER_NODE_1_AUTH_TLS_CACERT": string(newCA(t).pem),
	})
	check(t, err)
	spec := Spec{Name: "d", Driver: DockerContainer, Config: []byte("debug = true\n"), Nodes: nodes}
	g, err := m.newGroup(ctx, spec, newState(t, m))
	check(t, err)
	if g.Driver != DockerContainer || g.Made.Nodes != nil || len(g.Nodes) != 2 || len(g.certs) > 0 {
		t.Fatalf("group %+v", g)
	}
	for i, n := range g.Nodes {
		if want := []string{here, "second"}[i]; n.Endpoint != want || n.Name != fmt.Sprint("d", i) {
			t.Errorf("node %s at %s, want %s", n.Name, n.Endpoint, want)
		}
		if fmt.Sprint(n.Flags) != fmt.Sprint(defaultFlags) || !strings.Contains(string(n.Files[configFile]), "debug = true") {
			t.Errorf("node %s has flags %v and configuration %q", n.Name, n.Flags, n.Files[configFile])
		}
	}
	if !strings.Contains(log.String(), "skipping the certificates of a node") {
		t.Errorf("certificates without a use are not told:\n%s", log.String())
	}
	spec.Nodes = []NodeSpec{{Endpoint: here, line: 3}}
	if _, err := m.newGroup(ctx, spec, newState(t, m)); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "append" line 3: node: `+here+" is node d0 already") {
		t.Errorf("got %v", err)
	}
}
