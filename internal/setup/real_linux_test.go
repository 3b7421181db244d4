package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	engine "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// real gives a manager of the test environment with a builder store of its
// own; `go run ./test/env exec` sets the environment's variables.
func real(t *testing.T) *Manager {
	t.Helper()
	if os.Getenv("HULLWRIGHT_TEST_ENV") != "1" {
		if os.Getenv("CI") == "true" {
			t.Fatal("the real environment is missing: go run ./test/env up, then go run ./test/env exec -- go test ./...")
		}
		t.Skip("needs the real environment: go run ./test/env exec -- go test ./internal/setup/...")
	}
	environ := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		environ[k] = v
	}
	if toml := environ["HULLWRIGHT_TEST_BUILDKITD_TOML"]; toml != "" {
		raw, err := os.ReadFile(toml)
		check(t, err)
		environ["BUILDX_CONFIG"] = t.TempDir()
		check(t, os.WriteFile(filepath.Join(environ["BUILDX_CONFIG"], "buildkitd.default.toml"), raw, 0o600))
	}
	dir, err := os.MkdirTemp("/tmp", "hw") // a socket's path must be short
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	environ["TMPDIR"], environ["RUNNER_TEMP"] = dir, ""
	return New(Host{Environ: environ, Stderr: testLog{t}, Dir: dir, Now: time.Now})
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newState(t *testing.T, m *Manager) *State {
	t.Helper()
	s, err := OpenState(filepath.Join(m.host.Dir, "state-"+newNonce(4), "state.json"))
	check(t, err)
	t.Cleanup(func() { // after a failure; else it is gone
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := m.Teardown(ctx, s.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return s
}

// solve builds the smallest thing there is: a file.
func solve(ctx context.Context, t *testing.T, b *Builder) {
	t.Helper()
	def, err := llb.Scratch().File(llb.Mkfile("/hello", 0o644, []byte(newNonce(8)))).Marshal(ctx)
	check(t, err)
	_, err = b.Client(b.Nodes[0]).Solve(ctx, def, client.SolveOpt{}, nil)
	check(t, err)
}

// buildx runs docker buildx in the manager's environment.
func buildx(ctx context.Context, t *testing.T, m *Manager, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, m.lookPath("buildx"), args...)
	for k, v := range m.host.Environ {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("buildx %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// buildWithBuildx builds one file with the builder of a name.
func buildWithBuildx(ctx context.Context, t *testing.T, m *Manager, name string) {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o600))
	buildx(ctx, t, m, "build", "--builder", name, "--output", "type=local,dest="+filepath.Join(dir, "out"), dir)
	if _, err := os.Stat(filepath.Join(dir, "out", "Dockerfile")); err != nil {
		t.Error(err)
	}
}

func TestRealProcess(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	spec := Spec{Name: "p" + newNonce(3), Driver: Process, Use: true}
	b, err := m.Ensure(ctx, spec, state)
	check(t, err)
	if !b.Made || b.Driver != Process || b.Nodes[0].Version == "" || len(b.Nodes[0].Platforms) == 0 {
		t.Errorf("builder %+v", b)
	}
	solve(ctx, t, b)

	found, err := m.Find(ctx, "")
	check(t, err)
	if found.Name != b.Name || found.Driver != Process || found.Made {
		t.Errorf("Find gave %+v", found)
	}
	again, err := m.Ensure(ctx, spec, state)
	check(t, err)
	if again.Made {
		t.Error("a second builder of the same name was made")
	}
	if ls := buildx(ctx, t, m, "ls"); !strings.Contains(ls, b.Name+"*") || !strings.Contains(ls, "running") {
		t.Errorf("buildx ls:\n%s", ls)
	}
	buildWithBuildx(ctx, t, m, b.Name)

	dir := filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://"))
	nonce := state.nonce()
	check(t, m.Teardown(ctx, state.Path()))
	missing(t, dir)
	missing(t, filepath.Dir(state.Path()))
	missing(t, m.store().path("instances", b.Name))
	if left, err := findDaemon(nonce); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v %v", left, err)
	}
}

func TestRealContainer(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	spec := Spec{Name: "c" + newNonce(3), DriverOpts: map[string]string{"network": "host", "env.FOO": "a,b"}, Use: true}
	start := time.Now()
	b, err := m.Ensure(ctx, spec, state)
	check(t, err)
	t.Logf("made in %s", time.Since(start))
	if !b.Made || b.Driver != DockerContainer || b.Nodes[0].Version == "" || len(b.Nodes[0].Platforms) == 0 {
		t.Errorf("builder %+v", b)
	}
	solve(ctx, t, b)
	if ls := buildx(ctx, t, m, "ls"); !strings.Contains(ls, b.Name+"*") || !strings.Contains(ls, "running") {
		t.Errorf("buildx ls:\n%s", ls)
	}
	buildWithBuildx(ctx, t, m, b.Name)

	// One that was stopped is started.
	api, err := m.engine(b.Nodes[0].Endpoint)
	check(t, err)
	defer api.Close()
	name := "buildx_buildkit_" + b.Name + "0"
	_, err = api.ContainerStop(ctx, name, engine.ContainerStopOptions{})
	check(t, err)
	found, err := m.Find(ctx, b.Name)
	check(t, err)
	solve(ctx, t, found)

	check(t, m.Teardown(ctx, state.Path()))
	missing(t, filepath.Dir(state.Path()))
	missing(t, m.store().path("instances", b.Name))
	missing(t, filepath.Join(m.store().dir, "current"))
	if _, err := api.ContainerInspect(ctx, name, engine.ContainerInspectOptions{}); err == nil {
		t.Error("the container is there still")
	}
	if _, err := api.VolumeInspect(ctx, name+"_state", engine.VolumeInspectOptions{}); err == nil {
		t.Error("the volume is there still")
	}
}

func TestRealBuilderOfBuildx(t *testing.T) {
	m, ctx := real(t), limited(t)
	name := "x" + newNonce(3)
	buildx(ctx, t, m, "create", "--name", name, "--driver", DockerContainer, "--driver-opt", "network=host")
	t.Cleanup(func() { buildx(context.WithoutCancel(ctx), t, m, "rm", name) })

	// It was not booted yet: Find boots it, and leaves it to buildx.
	b, err := m.Find(ctx, name)
	check(t, err)
	solve(ctx, t, b)

	state := newState(t, m)
	b, err = m.Ensure(ctx, Spec{Name: name}, state)
	check(t, err)
	if b.Made || len(state.made(0)) > 0 {
		t.Errorf("a builder of buildx's was taken for ours: %+v", state.doc)
	}
	solve(ctx, t, b)
	check(t, m.Teardown(ctx, state.Path()))
	b, err = m.Find(ctx, name)
	check(t, err)
	solve(ctx, t, b)
}

func platforms3(t *testing.T) []v1.Platform {
	t.Helper()
	list, err := ParsePlatforms([]string{"linux/amd64", "linux/arm64", "linux/arm/v7"})
	check(t, err)
	return list
}

func emulated(t *testing.T, rows []Emulation) {
	t.Helper()
	for _, r := range rows {
		if !r.Native && r.Emulator == "" || r.Node == "" {
			t.Errorf("row %+v", r)
		}
	}
}

func TestRealEmulateProcess(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	rows, err := m.Emulate(ctx, b, platforms3(t), "", state)
	check(t, err)
	emulated(t, rows)

	// A second run takes part in what the first registered.
	other := newState(t, m)
	again, err := m.Emulate(ctx, b, platforms3(t), "", other)
	check(t, err)
	emulated(t, again)
	for i, r := range again {
		if r.Added {
			t.Errorf("registered twice: %+v", r)
		}
		if rows[i].Added && !other.has(kindBinfmt, binfmt.Name(r.Platform.Architecture)) {
			t.Errorf("%s: the second run takes no part in the registration", r.Platform)
		}
	}
	check(t, m.Teardown(ctx, state.Path()))
	for _, r := range rows {
		if name := binfmt.Name(r.Platform.Architecture); r.Added && !registered(t, name) {
			t.Errorf("%s was taken from the second run", name)
		}
	}
	check(t, m.Teardown(ctx, other.Path()))
	for _, r := range rows {
		// A third run, of another test, may hold it by now.
		if name := binfmt.Name(r.Platform.Architecture); r.Added && registered(t, name) && !hostLeases.held(name) {
			t.Errorf("%s is registered still", name)
		}
	}
}

func registered(t *testing.T, name string) bool {
	t.Helper()
	_, err := binfmt.Registry{}.Entry(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// TestRealEmulateByImage registers what no other test does, so that nothing of
// it can be there before.
func TestRealEmulateByImage(t *testing.T) {
	m, ctx := real(t), limited(t)
	names := []string{"qemu-s390x"}
	for _, n := range names {
		if registered(t, n) {
			t.Fatalf("%s is registered on this machine: echo -1 > %s/%s", n, binfmt.Dir, n)
		}
	}
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{DriverOpts: map[string]string{"network": "host"}}, state)
	check(t, err)
	want, err := ParsePlatforms([]string{"linux/s390x"})
	check(t, err)
	rows := b.rows(want)
	var proofs []*proof
	for i := range rows {
		proofs = append(proofs, &proof{row: &rows[i], node: b.node(rows[i].Node)})
	}
	check(t, m.installImages(ctx, proofs, DefaultBinfmtImage, state))
	prove(ctx, proofs)
	for _, p := range proofs {
		if p.err != nil || !p.row.Added {
			t.Errorf("%s: %v (%s)", p.row.Platform, p.err, p.next)
		}
	}
	check(t, m.Teardown(ctx, state.Path()))
	for _, n := range names {
		if registered(t, n) {
			t.Errorf("%s is registered still", n)
		}
	}
}

// TestRealEmulateBroken has an entry whose flags do not suit its emulator, as
// careless scripts make them: uname runs with it, and every argument shifts.
func TestRealEmulateBroken(t *testing.T) {
	m, ctx := real(t), limited(t)
	lines := binfmt.Emulators("/", "ppc64le")
	i := slices.IndexFunc(lines, func(l binfmt.Line) bool { return strings.HasSuffix(l.Interpreter, "-binfmt-P") })
	if i < 0 || os.Geteuid() != 0 || registered(t, "qemu-ppc64le") {
		t.Fatal("needs root, Debian's qemu-user-static, and no registration of qemu-ppc64le")
	}
	line := lines[i]
	line.Flags = "F"
	check(t, binfmt.Registry{}.Register(line))
	t.Cleanup(func() { check(t, binfmt.Registry{}.Remove(line)) })

	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	want, err := ParsePlatforms([]string{"linux/ppc64le"})
	check(t, err)
	rows, err := m.Emulate(ctx, b, want, "", state)
	if errdefs.KindOf(err) != errdefs.Environment {
		t.Fatalf("got %v", err)
	}
	t.Log(err, errdefs.Hints(err))
	for _, part := range []string{"emulation of linux/ppc64le", "is broken", line.Interpreter, "flags do not suit"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q", part)
		}
	}
	if rows[0].Emulator != "" || rows[0].Added {
		t.Errorf("row %+v", rows[0])
	}
	check(t, m.Teardown(ctx, state.Path()))
	if !registered(t, "qemu-ppc64le") {
		t.Error("the entry of somebody else was removed")
	}
}

// TestRealTeardownOthers has a state file that was edited between setup and
// teardown: it names another's builder and things.
func TestRealTeardownOthers(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{DriverOpts: map[string]string{"network": "host"}}, state)
	check(t, err)
	forged, err := OpenState(filepath.Join(m.host.Dir, "forged.json"))
	check(t, err)
	for _, e := range state.made(0) {
		check(t, forged.record(e))
	}
	precious := t.TempDir()
	check(t, os.WriteFile(filepath.Join(precious, "file"), nil, 0o600))
	check(t, forged.record(entry{Kind: kindDirectory, ID: precious}))
	check(t, forged.record(entry{Kind: kindProcess, ID: precious}))
	check(t, forged.record(entry{Kind: kindMount, ID: "/proc"}))
	check(t, forged.record(entry{Kind: kindBinfmtImage, ID: "qemu-*", Where: b.Nodes[0].Endpoint, Detail: DefaultBinfmtImage}))

	if err := m.Teardown(ctx, forged.Path()); errdefs.KindOf(err) != errdefs.Denied {
		t.Errorf("got %v", err)
	}
	again, err := m.Find(ctx, b.Name)
	check(t, err)
	solve(ctx, t, again)
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Error(err)
	}
	if left, err := OpenState(forged.Path()); err != nil || len(left.made(0)) == 0 {
		t.Errorf("the file does not keep what was not undone (%v)", err)
	}
}

// TestRealProcessKilled has a buildkitd that was killed in a RUN step, which
// then lives on without it.
func TestRealProcessKilled(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM alpine:3\nRUN sleep 1000\n"), 0o600))
	cmd := exec.CommandContext(ctx, m.lookPath("buildx"), "build", "--builder", b.Name, dir)
	for k, v := range m.host.Environ {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	home := filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://"))
	for {
		orphans, err := orphansOf(home, state.nonce())
		check(t, err)
		if sleeps(orphans) {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the build ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	found, err := findDaemon(state.nonce())
	check(t, err)
	signalAll(leaders(found), state.nonce(), syscall.SIGKILL)
	<-ended
	noted := notes(t, home)
	if len(noted) == 0 {
		t.Error("runc has noted nothing of the step")
	}

	start := time.Now()
	check(t, m.Teardown(ctx, state.Path()))
	if took := time.Since(start); took > 7*time.Second {
		t.Errorf("teardown took %s", took)
	}
	missing(t, home)
	for _, path := range noted {
		missing(t, path)
	}
	if orphans, err := findProcesses(func(pid int) bool {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		return err == nil && strings.Contains(string(mounts), home)
	}); err != nil || len(orphans) > 0 {
		t.Errorf("left: %v %v", orphans, err)
	}
}

// TestRealProcessDead has a builder whose daemon is gone, as after a restart of
// the machine.
func TestRealProcessDead(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	found, err := findDaemon(state.nonce())
	check(t, err)
	signalAll(found, state.nonce(), syscall.SIGKILL)
	start := time.Now()
	_, err = m.Find(ctx, b.Name)
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), b.Nodes[0].Endpoint) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > bootLimit+time.Second {
		t.Errorf("it took %s to find out", took)
	}
	check(t, m.Teardown(ctx, state.Path()))
}

// TestRealTwoAtOnce has two runs that want a builder of the same name.
func TestRealTwoAtOnce(t *testing.T) {
	m, ctx := real(t), limited(t)
	spec := Spec{Name: "t" + newNonce(3), DriverOpts: map[string]string{"network": "host"}}
	states := []*State{newState(t, m), newState(t, m)}
	builders := make([]*Builder, 2)
	var eg errgroup.Group
	for i := range builders {
		eg.Go(func() (err error) {
			builders[i], err = m.Ensure(ctx, spec, states[i])
			return err
		})
	}
	check(t, eg.Wait())
	if builders[0].Made == builders[1].Made {
		t.Errorf("made by both or neither: %v", builders[0].Made)
	}
	for _, b := range builders {
		solve(ctx, t, b)
	}
	for _, s := range states {
		check(t, m.Teardown(ctx, s.Path()))
	}
	if _, err := m.Find(ctx, spec.Name); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("got %v", err)
	}
}

// TestRealCanceled stops a run while it makes a builder.
func TestRealCanceled(t *testing.T) {
	m := real(t)
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		for _, driver := range []string{DockerContainer, Process} {
			state := newState(t, m)
			ctx, cancel := context.WithCancel(limited(t))
			stop := time.AfterFunc(after, cancel)
			name := "k" + newNonce(3)
			_, err := m.Ensure(ctx, Spec{Name: name, Driver: driver, DriverOpts: map[string]string{"network": "host"}}, state)
			stop.Stop()
			cancel()
			if err != nil && errdefs.KindOf(err) != errdefs.Canceled {
				t.Errorf("%s after %s: %v", driver, after, err)
			}
			if err == nil {
				t.Logf("%s was made within %s", driver, after)
			} else if len(state.made(0)) > 0 {
				t.Errorf("%s after %s: left %+v", driver, after, state.made(0))
			}
			check(t, m.Teardown(limited(t), state.Path()))
			missing(t, m.store().path("instances", name))
		}
	}
}

// TestRealBrokenDaemon has a buildkitd that ends at once; its own words are what
// a person needs.
func TestRealBrokenDaemon(t *testing.T) {
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			state := newState(t, m)
			start := time.Now()
			_, err := m.Ensure(ctx, Spec{Name: "b" + newNonce(3), Driver: driver, Flags: []string{"--frobnicate"}}, state)
			if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "frobnicate") {
				t.Errorf("got %v", err)
			}
			t.Logf("%s: %v", time.Since(start), err)
			if took := time.Since(start); took > bootLimit {
				t.Errorf("it took %s", took)
			}
			if made := state.made(0); len(made) > 0 {
				t.Errorf("left %+v", made)
			}
		})
	}
}

// TestRealMissingImage has an image that is neither here nor in its registry.
func TestRealMissingImage(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	image := os.Getenv("HULLWRIGHT_TEST_REGISTRY") + "/no/such/image:1"
	_, err := m.Ensure(ctx, Spec{DriverOpts: map[string]string{"image": image}}, state)
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "pull image "+image) || len(errdefs.Hints(err)) == 0 {
		t.Errorf("got %v", err)
	}
	if made := state.made(0); len(made) > 0 {
		t.Errorf("left %+v", made)
	}
}

// TestRealKeepState keeps the volume for the next builder of the name.
func TestRealKeepState(t *testing.T) {
	m, ctx := real(t), limited(t)
	spec := Spec{Name: "s" + newNonce(3), DriverOpts: map[string]string{"network": "host"}, KeepState: true}
	volume := "buildx_buildkit_" + spec.Name + "0_state"
	endpoint, err := m.currentEndpoint()
	check(t, err)
	api, err := m.engine(endpoint)
	check(t, err)
	defer api.Close()
	for range 2 {
		state := newState(t, m)
		_, err := m.Ensure(ctx, spec, state)
		check(t, err)
		check(t, m.Teardown(ctx, state.Path()))
		_, err = api.VolumeInspect(ctx, volume, engine.VolumeInspectOptions{})
		check(t, err)
		spec.KeepState = false // the volume is the first one's, and stays
	}
	_, err = api.VolumeRemove(ctx, volume, engine.VolumeRemoveOptions{})
	check(t, err)
}
