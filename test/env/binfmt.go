package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// binfmtMisc is where the kernel's table of interpreters is mounted.
const binfmtMisc = "/proc/sys/fs/binfmt_misc"

// binfmtMounted is in the state directory while env's own mount is there.
const binfmtMounted = "binfmt.mounted"

func binfmtReady(context.Context, *world) (string, bool) {
	if _, err := os.Stat(filepath.Join(binfmtMisc, "register")); err != nil {
		return binfmtMisc + " is not mounted", false
	}
	return binfmtMisc, true
}

func binfmtMissing(ctx context.Context, w *world) []string {
	if _, ok := binfmtReady(ctx, w); ok || w.host.root {
		return nil
	}
	return []string{binfmtMisc + ", which only root can mount"}
}

// binfmtUp mounts the table, as systemd does on most machines, and registers
// nothing in it. Since Linux 6.7 the entries go with the last mount
// (fs/binfmt_misc.c), so what a container registers in a mount of its own is
// gone when the container is.
func binfmtUp(_ context.Context, w *world) error {
	if err := writeFile(w.state(binfmtMounted), nil, 0o644); err != nil {
		return err
	}
	return os.NewSyscallError("mount "+binfmtMisc, syscall.Mount("binfmt_misc", binfmtMisc, "binfmt_misc", 0, ""))
}

// binfmtDown undoes env's own mount, and with it whatever is still registered.
func binfmtDown(_ context.Context, w *world) error {
	mark := w.state(binfmtMounted)
	if _, err := os.Stat(mark); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// EINVAL: it is no mount any more.
	if err := syscall.Unmount(binfmtMisc, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
		return os.NewSyscallError("unmount "+binfmtMisc, err)
	}
	return os.Remove(mark)
}
