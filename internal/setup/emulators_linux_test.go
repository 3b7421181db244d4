package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
