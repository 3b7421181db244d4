package binfmt

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Mount mounts the file system where it is missing.
func (r Registry) Mount() error {
	if err := unix.Mount("binfmt_misc", r.dir(), "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mount binfmt_misc on %s: %w", r.dir(), err)
	}
	return nil
}

// Unmount undoes Mount. What others registered meanwhile would be out of their
// sight, so it must be empty.
func (r Registry) Unmount() error {
	entries, err := r.Entries()
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("unmount %s: %w: it has %s", r.dir(), ErrOther, entries[0].Name)
	}
	if err := unix.Unmount(r.dir(), 0); err != nil {
		return fmt.Errorf("unmount %s: %w", r.dir(), err)
	}
	return nil
}
