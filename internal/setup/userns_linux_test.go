package setup

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestHasCapability(t *testing.T) {
	for _, tt := range []struct {
		set  string
		want bool
	}{
		{"000001ffffffffff", true},
		{"00000000a80425fb", false}, // docker's
		{"0000000000200000", true},
		{"", false},
		{"x", false},
	} {
		if got := hasCapability(tt.set, 21); got != tt.want {
			t.Errorf("%q: %v", tt.set, got)
		}
	}
}

func TestInContainerByMounts(t *testing.T) {
	for name, tt := range map[string]struct {
		mountinfo string
		want      bool
	}{
		"machine":   {"26 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n27 26 0:20 / /proc rw - proc proc rw\n", false},
		"overlay":   {"512 400 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/l\n", true},
		"snapshots": {"512 400 254:0 /snapshots/1 / rw - ext4 /dev/vda rw\n530 513 0:65 /null /proc/kcore rw - tmpfs tmpfs rw\n", true},
		"nothing":   {"", false},
	} {
		if got := inContainerByMounts(tt.mountinfo); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestProcRefused(t *testing.T) {
	const out = `time="2026-11-22T05:34:27Z" level=warning msg="failed to mount procfs, falling back to read-only mount: operation not permitted"
time="2026-11-22T05:34:27Z" level=warning msg="failed to mount procfs: operation not permitted"
`
	if got := procRefused([]byte(out)); got != "mount proc: operation not permitted" {
		t.Errorf("got %q", got)
	}
	if got := procRefused([]byte("rootlesskit version 1.1.0\n")); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestPrivileged has programs with and without a setuid bit, which this user
// can give to its own files; whether root owns them decides.
func TestPrivileged(t *testing.T) {
	dir := t.TempDir()
	plain, setuid := filepath.Join(dir, "plain"), filepath.Join(dir, "setuid")
	for path, mode := range map[string]os.FileMode{plain: 0o755, setuid: 0o755 | os.ModeSetuid} {
		check(t, os.WriteFile(path, nil, 0o755))
		check(t, os.Chmod(path, mode))
	}
	if privileged(plain) || privileged(filepath.Join(dir, "none")) {
		t.Error("a program without a mark has rights")
	}
	if got, want := privileged(setuid), os.Geteuid() == 0 && !nosuid(t, dir); got != want {
		t.Errorf("with a setuid bit: %v, want %v", got, want)
	}
}

func nosuid(t *testing.T, dir string) bool {
	t.Helper()
	var fs syscall.Statfs_t
	check(t, syscall.Statfs(dir, &fs))
	return fs.Flags&2 != 0 // ST_NOSUID
}

// TestTryMounts tries for real, as root or in whatever state the test runs.
func TestTryMounts(t *testing.T) {
	m := New(Host{Environ: map[string]string{"PATH": os.Getenv("PATH")}, Dir: t.TempDir()})
	sh := filepath.Join(t.TempDir(), "buildkitd")
	check(t, os.WriteFile(sh, []byte("#!/bin/sh\nexit 0\n"), 0o755))
	p := &processNode{m: m, buildkitd: sh}
	if err := p.tryMounts(t.Context()); (err == nil) != mayMount() {
		t.Errorf("may mount: %v; got %v", mayMount(), err)
	}
	check(t, os.WriteFile(sh, []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755))
	if err := p.tryMounts(t.Context()); mayMount() && (errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "can't be run: broken")) {
		t.Errorf("got %v", err)
	}
}

func TestLockHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buildkitd.lock")
	if pid := lockHolder(path); pid != 0 {
		t.Errorf("no file is locked by %d", pid)
	}
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	if pid := lockHolder(path); pid != 0 {
		t.Errorf("a file is locked by %d", pid)
	}
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	if pid := lockHolder(path); pid != os.Getpid() {
		t.Errorf("locked by %d, not by us (%d)", pid, os.Getpid())
	}
}

// TestTrialHangs has a trial that waits for a child which never ends: both end
// when it is given up.
func TestTrialHangs(t *testing.T) {
	m, dir := emptyHost(t)
	p := &processNode{m: m}
	file := filepath.Join(dir, "child")
	ctx, cancel := context.WithTimeout(t.Context(), tryLimit)
	defer cancel()
	cmd := p.trial(ctx, "/bin/sh", "-c", `sleep 1000 & echo $! >"$0.new"; mv "$0.new" "$0"; wait`, file)
	check(t, cmd.Start())
	for !exists(file) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	child, err := strconv.Atoi(strings.TrimSpace(readFile(t, file)))
	check(t, err)
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("it was not ended")
	}
	for start := time.Now(); time.Since(start) < tryLimit; time.Sleep(10 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(child), "stat"))
		if err != nil || strings.Contains(string(raw), ") Z ") {
			return
		}
	}
	t.Errorf("its child %d runs still", child)
}
