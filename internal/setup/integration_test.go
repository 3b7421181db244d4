package setup

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	engine "github.com/moby/moby/client"

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

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newState(t *testing.T, m *Manager) *State {
	t.Helper()
	s, err := OpenState(filepath.Join(m.host.Dir, "state", "state.json"))
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
	c, err := b.Dial(ctx, b.Nodes[0])
	check(t, err)
	defer c.Close()
	def, err := llb.Scratch().File(llb.Mkfile("/hello", 0o644, []byte(newNonce(8)))).Marshal(ctx)
	check(t, err)
	_, err = c.Solve(ctx, def, client.SolveOpt{}, nil)
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

func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there still (%v)", path, err)
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
	before := entries(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	start := time.Now()
	rows, err := m.Emulate(ctx, b, platforms3(t), "", state)
	t.Logf("%s: %+v", time.Since(start), rows)
	check(t, err)
	emulated(t, rows)
	start = time.Now()
	rows, err = m.Emulate(ctx, b, platforms3(t), "", state)
	check(t, err)
	t.Logf("again %s: %+v", time.Since(start), rows)
	check(t, m.Teardown(ctx, state.Path()))
	if after := entries(t); after != before {
		t.Errorf("registrations before %s, after %s", before, after)
	}
}

func entries(t *testing.T) string {
	t.Helper()
	list, err := binfmt.Registry{}.Entries()
	check(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

func TestRealEmulateByImage(t *testing.T) {
	m, ctx := real(t), limited(t)
	before := entries(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{DriverOpts: map[string]string{"network": "host"}}, state)
	check(t, err)
	want, err := ParsePlatforms([]string{"linux/riscv64", "linux/s390x"})
	check(t, err)
	p := []*proof{}
	rows := []Emulation{place(b, want[0]), place(b, want[1])}
	for i := range rows {
		p = append(p, &proof{row: &rows[i], node: b.node(rows[i].Node)})
	}
	if strings.Contains(before, "qemu-riscv64") || strings.Contains(before, "qemu-s390x") {
		t.Skip("this machine has the registrations already")
	}
	check(t, m.installImages(ctx, p, DefaultBinfmtImage, state))
	prove(ctx, p)
	for _, p := range p {
		if p.err != nil || !p.row.Added {
			t.Errorf("%s: %v (%s)", p.row.Platform, p.err, p.next)
		}
	}
	check(t, m.Teardown(ctx, state.Path()))
	if after := entries(t); after != before {
		t.Errorf("registrations before %s, after %s", before, after)
	}
}
