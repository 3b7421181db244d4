package setup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLeases(t *testing.T) {
	run := t.TempDir()
	l := leases{dir: filepath.Join(run, "own", "leases")}
	do := func(f func() error) error {
		return l.locked(t.Context(), f)
	}
	release := func(nonce string) error {
		return do(func() error {
			return l.release("qemu-x", nonce, func(k leaseMark) bool { return k.Run == "gone" })
		})
	}
	hold := func(nonce string) {
		check(t, do(func() error { return l.hold("qemu-x", origin{Nonce: nonce}, "") }))
	}
	if err := release("a"); !errors.Is(err, errGone) {
		t.Errorf("released what was not held: %v", err)
	}
	hold("a")
	hold("a") // twice is once
	hold("b")
	if err := release("a"); !errors.Is(err, errInUse) {
		t.Errorf("b's was taken: %v", err)
	}
	if err := release("a"); !errors.Is(err, errGone) || !l.held("qemu-x") {
		t.Errorf("a gave back twice: %v", err)
	}
	check(t, release("b"))
	if l.held("qemu-x") {
		t.Error("held by nobody")
	}
	// A run that is gone is not waited for.
	hold("a")
	check(t, do(func() error { return l.hold("qemu-x", origin{Nonce: "d", Run: "gone"}, "") }))
	check(t, release("a"))
	if left, _ := os.ReadDir(run); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
