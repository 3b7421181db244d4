package setup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// notes are what root's runc has written down of the steps of a builder, and the
// cgroups that it made for them.
func notes(t *testing.T, places ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(runcDir, "*", "state.json"))
	check(t, err)
	var list []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		var s runcState
		if err != nil || json.Unmarshal(raw, &s) != nil || !below(s.Config.Rootfs, places) {
			continue
		}
		list = append(list, filepath.Dir(file))
		for _, group := range s.CgroupPaths {
			if exists(group) {
				list = append(list, group)
			}
		}
	}
	return list
}

// build runs a Dockerfile with a builder, by buildx, and gives what it printed.
func build(ctx context.Context, t *testing.T, m *Manager, name, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600))
	return buildx(ctx, t, m, "build", "--progress", "plain", "--builder", name, dir)
}

const cachedStep = "FROM alpine:3\nRUN echo once\n"

// TestRealProcessKept has a root directory that outlives its builder, and serves
// the next one of its name.
func TestRealProcessKept(t *testing.T) {
	for name, spec := range map[string]func(m *Manager) (Spec, string){
		"by name": func(m *Manager) (Spec, string) {
			return Spec{Driver: Process, KeepState: true}, filepath.Join(m.host.Environ["XDG_CACHE_HOME"], "hullwright", "builders")
		},
		"by path": func(m *Manager) (Spec, string) {
			dir := filepath.Join(m.host.Dir, "my root")
			return Spec{Driver: Process, RootDir: dir}, dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			m.host.Environ["XDG_CACHE_HOME"] = filepath.Join(m.host.Dir, "cache")
			want, root := spec(m)
			want.Name = "k" + newNonce(3)
			if want.KeepState {
				root = filepath.Join(root, want.Name)
			}
			for i, cached := range []bool{false, true} {
				state := newState(t, m)
				b, err := m.Ensure(ctx, want, state)
				check(t, err)
				out := build(ctx, t, m, b.Name, cachedStep)
				if got := strings.Contains(out, "CACHED"); got != cached {
					t.Errorf("build %d: cached is %v\n%s", i, got, out)
				}
				heldByAnother(ctx, t, m, want, root)
				check(t, b.Close())
				check(t, m.Teardown(ctx, state.Path()))
				missing(t, filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://")))
				missing(t, filepath.Join(root, "buildkitd.lock"))
			}
		})
	}
}

// heldByAnother has a second store want the root directory, as another user of
// the name would.
func heldByAnother(ctx context.Context, t *testing.T, m *Manager, want Spec, root string) {
	t.Helper()
	environ := map[string]string{}
	for k, v := range m.host.Environ {
		environ[k] = v
	}
	environ["BUILDX_CONFIG"] = t.TempDir()
	host := m.host
	host.Environ = environ
	other := New(host)
	state := newState(t, other)
	_, err := other.Ensure(ctx, want, state)
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "root directory "+root+" is in use by builder "+want.Name) {
		t.Errorf("got %v", err)
	}
	if hints := strings.Join(errdefs.Hints(err), "\n"); !strings.Contains(hints, "hullwright teardown --name "+want.Name) {
		t.Errorf("hints %q", hints)
	}
}

// TestRealProcessKeptKilled has a daemon that was killed in a step with its
// directory gone too: only the root directory leads to what is left.
func TestRealProcessKeptKilled(t *testing.T) {
	m, ctx := real(t), limited(t)
	root := filepath.Join(m.host.Dir, "root")
	spec := Spec{Name: "k" + newNonce(3), Driver: Process, RootDir: root}
	state := newState(t, m)
	b, err := m.Ensure(ctx, spec, state)
	check(t, err)
	check(t, b.Close())
	dir := filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://"))
	sleepers := startStep(ctx, t, m, b.Name, []string{dir, root})
	found, err := findDaemon(state.nonce())
	check(t, err)
	signalAll(found, state.nonce(), syscall.SIGKILL)
	check(t, awaitEnd(ctx, found, state.nonce(), stopLimit))
	noted := notes(t, root)
	if os.Geteuid() == 0 && len(noted) == 0 {
		t.Error("runc has noted nothing of the step")
	}
	check(t, os.RemoveAll(dir))
	check(t, m.store().remove(spec.Name))

	next := newState(t, m)
	again, err := m.Ensure(ctx, spec, next)
	check(t, err)
	check(t, again.Close())
	for _, p := range sleepers {
		if _, err := startOf(p.pid); err == nil {
			t.Errorf("step %d runs still", p.pid)
		}
	}
	for _, path := range noted {
		missing(t, path)
	}
	check(t, m.Teardown(ctx, next.Path()))
	raw, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	if points := mountsBelow(string(raw), root); len(points) > 0 {
		t.Errorf("mounts left: %v", points)
	}
}

// startStep begins a build whose step does not end, and gives its processes.
func startStep(ctx context.Context, t *testing.T, m *Manager, name string, places []string) []daemonProcess {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM alpine:3\nRUN sleep 1000\n"), 0o600))
	cmd := exec.CommandContext(ctx, m.lookPath("buildx"), "build", "--builder", name, dir)
	for k, v := range m.host.Environ {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() }) // it fails with its daemon
	for {
		steps, err := stepsIn(places)
		check(t, err)
		if sleeps(steps) {
			return steps
		}
		if ctx.Err() != nil {
			t.Fatalf("no step began:\n%s", out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sleeps is whether the program of a step runs: until then it is runc, which has
// noted nothing yet.
func sleeps(steps []daemonProcess) bool {
	return slices.ContainsFunc(steps, func(p daemonProcess) bool { return strings.Contains(commandOf(p.pid), "sleep 1000") })
}

func commandOf(pid int) string {
	raw, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")) // it may have ended
	return strings.ReplaceAll(string(raw), "\x00", " ")
}

// TestRealProcessBusyRoot has a root directory that a buildkitd uses which is
// not ours: it is told sooner than that one's lock would.
func TestRealProcessBusyRoot(t *testing.T) {
	m, ctx := real(t), limited(t)
	root := t.TempDir()
	lock, err := os.Create(filepath.Join(root, "buildkitd.lock"))
	check(t, err)
	defer lock.Close()
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	state := newState(t, m)
	_, err = m.Ensure(ctx, Spec{Driver: Process, RootDir: root}, state)
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "in use by a buildkitd that hullwright did not start (process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("got %v", err)
	}
}

// TestRealProcessDies has daemons that end at once, and say why.
func TestRealProcessDies(t *testing.T) {
	m, ctx := real(t), limited(t)
	bad := filepath.Join(t.TempDir(), "buildkitd")
	check(t, os.WriteFile(bad, []byte("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'buildkitd: could not lock /x/buildkitd.lock, another instance running?' >&2\nexit 1\n"), 0o755))
	state := newState(t, m)
	_, err := m.Ensure(ctx, Spec{Driver: Process, Buildkitd: bad}, state)
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "could not lock /x/buildkitd.lock") {
		t.Errorf("got %v", err)
	}
	if hints := strings.Join(errdefs.Hints(err), "\n"); !strings.Contains(hints, "another buildkitd uses this root directory") {
		t.Errorf("hints %q", hints)
	}
}

// TestRealProcessFaults finds none: builders of this driver work here.
func TestRealProcessFaults(t *testing.T) {
	m, ctx := real(t), limited(t)
	if faults := m.ProcessFaults(ctx); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}

// TestRealProcessHangs has a daemon that hears no signal but SIGKILL.
func TestRealProcessHangs(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	check(t, b.Close())
	found, err := findDaemon(state.nonce())
	check(t, err)
	signalAll(found, state.nonce(), syscall.SIGSTOP)
	start := time.Now()
	check(t, m.Teardown(ctx, state.Path()))
	if took := time.Since(start); took < stopLimit || took > 7*time.Second {
		t.Errorf("teardown took %s", took)
	}
	missing(t, filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://")))
	if left, err := findDaemon(state.nonce()); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v %v", left, err)
	}
}

// TestKeptRootOfAnother has a cache directory that others may write to: what is
// there could be anybody's.
func TestKeptRootOfAnother(t *testing.T) {
	m := New(Host{Environ: map[string]string{"XDG_CACHE_HOME": t.TempDir()}, Dir: t.TempDir()})
	kept, err := m.keptRoot(Spec{Name: "ci", KeepState: true})
	check(t, err)
	check(t, os.MkdirAll(kept, 0o700))
	check(t, os.Chmod(kept, 0o777))
	p := &processNode{m: m, dir: t.TempDir(), kept: kept}
	if _, err := p.lockRoot(t.Context()); errdefs.KindOf(err) != errdefs.Denied {
		t.Errorf("got %v", err)
	}
	p.kept = t.TempDir() // one that was named is as it is
	check(t, os.Chmod(p.kept, 0o777))
	unlock, err := p.lockRoot(t.Context())
	check(t, err)
	check(t, p.takeRoot())
	check(t, unlock())
}

// TestRealRelease has a release that brings an emulator, of a kind that can't
// start programs: so far the build comes with it alone.
func TestRealRelease(t *testing.T) {
	m, ctx := real(t), limited(t)
	const emulator = "/usr/bin/qemu-mips64-static"
	if registered(t, "qemu-mips64") || !executable(emulator) {
		t.Fatalf("needs %s, and no registration of qemu-mips64", emulator)
	}
	archive := archiveOfFiles(t, map[string]string{
		"bin/buildkitd": m.lookPath("buildkitd"), "bin/buildkit-runc": m.lookPath("runc"), "bin/buildkit-qemu-mips64": emulator,
	})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(archive) }))
	defer server.Close()
	m.host.Environ["XDG_CACHE_HOME"] = m.host.Dir
	m.host.Transport = server.Client().Transport
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Release: Release{URL: server.URL, SHA256: sumOf(archive)}}, state)
	check(t, err)
	defer b.Close()
	if b.Driver != Process {
		t.Errorf("driver %s", b.Driver)
	}
	solve(ctx, t, b)
	want, err := ParsePlatforms([]string{"linux/mips64"})
	check(t, err)
	if err := m.Prove(ctx, b, want)[0].Err; err == nil || !strings.Contains(err.Error(), "could not start itself again") {
		t.Errorf("the emulator of the release was not used: %v", err)
	}
	check(t, m.Teardown(ctx, state.Path()))
}

// archiveOfFiles is a .tar.gz of programs of this machine.
func archiveOfFiles(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	zip, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	check(t, err)
	w := tar.NewWriter(zip)
	for name, path := range files {
		raw, err := os.ReadFile(path)
		check(t, err)
		check(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(raw))}))
		_, err = w.Write(raw)
		check(t, err)
	}
	check(t, w.Close())
	check(t, zip.Close())
	return b.Bytes()
}
