package setup

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// TestRealProve has platforms that run, that don't, and that can't be tried.
func TestRealProve(t *testing.T) {
	m, ctx := real(t), limited(t)
	const name = "qemu-mips64el"
	if os.Geteuid() != 0 || registered(t, name) {
		t.Fatalf("needs root, and no registration of %s", name)
	}
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	defer b.Close()
	want, err := ParsePlatforms([]string{"linux/amd64", "linux/mips64le", "windows/amd64"})
	check(t, err)
	made := state.length()
	rows := m.Prove(ctx, b, want)
	if !rows[0].Native || rows[0].Err != nil {
		t.Errorf("row %+v", rows[0])
	}
	if rows[1].Emulator != "" || errdefs.KindOf(rows[1].Err) != errdefs.Environment || errors.Is(rows[1].Err, binfmt.ErrUnproved) {
		t.Errorf("row %+v", rows[1])
	}
	if rows[2].Emulator != "" || !errors.Is(rows[2].Err, binfmt.ErrUnproved) {
		t.Errorf("row %+v", rows[2])
	}
	if registered(t, name) || state.length() != made {
		t.Error("something was registered")
	}

	// The builder's list is old by now.
	other := newState(t, m)
	_, err = m.Register(ctx, Spec{Driver: None, Emulators: Emulators{Install: want[1:2]}}, other)
	check(t, err)
	rows = m.Prove(ctx, b, want[1:2])
	if !strings.Contains(rows[0].Emulator, "mips64el") || rows[0].Err != nil || rows[0].Added {
		t.Errorf("row %+v", rows[0])
	}
	check(t, m.Teardown(ctx, other.Path()))
	check(t, m.Teardown(ctx, state.Path()))
	if registered(t, name) {
		t.Errorf("%s is registered still", name)
	}
}

// TestRealBundled has a BuildKit that brings an emulator of its own, of a kind that
// can't start programs: it takes a registration all the same.
func TestRealBundled(t *testing.T) {
	m, ctx := real(t), limited(t)
	const name, emulator = "qemu-ppc64", "/usr/bin/qemu-ppc64-static"
	raw, err := os.ReadFile(emulator)
	if err != nil || os.Geteuid() != 0 || registered(t, name) {
		t.Fatalf("needs root, %s, and no registration of %s: %v", emulator, name, err)
	}
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "buildkit-qemu-ppc64"), raw, 0o755))
	m.host.Environ["PATH"] = dir + ":" + m.host.Environ["PATH"]
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	defer b.Close()
	want, err := ParsePlatforms([]string{"linux/ppc64"})
	check(t, err)
	if err := m.Prove(ctx, b, want)[0].Err; err == nil || !strings.Contains(err.Error(), "could not start itself again") {
		t.Errorf("got %v", err)
	}
	rows, err := m.Emulate(ctx, b, want, "", state)
	check(t, err)
	if !rows[0].Added || !registered(t, name) {
		t.Errorf("row %+v", rows[0])
	}
	check(t, m.Teardown(ctx, state.Path()))
	if registered(t, name) {
		t.Errorf("%s is registered still", name)
	}
}

// hangs are instructions that wait for a signal, for ever.
var hangs = map[string]string{
	"amd64": "b822000000" + "0f05" + "ebf7", // pause: mov eax, 34; syscall; jmp
	"arm64": "00000014",                     // b .
}

// TestRealEmulatorHangs has an emulator that never ends: each kind of proof gives
// it up, says so, and leaves nothing of it.
func TestRealEmulatorHangs(t *testing.T) {
	m, ctx := real(t), limited(t)
	const arch, limit = "mips64le", 500 * time.Millisecond
	code, err := hex.DecodeString(hangs[runtime.GOARCH])
	check(t, err)
	program, _ := binfmt.Check(runtime.GOARCH)
	lines := binfmt.Emulators("/", arch)
	if os.Geteuid() != 0 || len(code) == 0 || len(lines) == 0 || registered(t, lines[0].Name) {
		t.Fatalf("needs root, amd64 or arm64, and an emulator of %s that is not registered", arch)
	}
	const entry = 64 + 56 // after the two headers
	line := lines[0]
	line.Interpreter, line.Flags = filepath.Join(m.host.Dir, "hangs"), "PF"
	check(t, os.WriteFile(line.Interpreter, append(program[:entry:entry], code...), 0o755))
	// The segment is as long as the headers say.
	check(t, os.Truncate(line.Interpreter, int64(len(program))))
	check(t, binfmt.Registry{}.Register(line))
	t.Cleanup(func() { check(t, binfmt.Registry{}.Remove(line)) })

	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	n := &b.Nodes[0]
	check(t, n.openSession(ctx))
	want := v1.Platform{OS: "linux", Architecture: arch}
	r := &imageRunner{m: m, endpoint: here(t, m), image: DefaultBinfmtImage, state: state, limit: limit}
	for title, prove := range map[string]func() error{
		"in a build":     func() error { return proveOne(ctx, n, want, limit) },
		"in a container": func() error { return r.check(ctx, arch) },
	} {
		start := time.Now()
		if err := prove(); err == nil || err.Error() != "the program did not end within 500ms" {
			t.Errorf("%s: got %v", title, err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: took %s", title, took)
		}
	}
	if processes, err := findProcesses(func(pid int) bool { return strings.Contains(commandOf(pid), line.Interpreter) }); err != nil || len(processes) > 0 {
		t.Errorf("left %v, %v", processes, err)
	}
	check(t, b.Close())
	check(t, m.Teardown(ctx, state.Path()))
}
