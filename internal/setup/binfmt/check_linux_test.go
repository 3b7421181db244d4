package binfmt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hanging is a program that waits for its child, as the check does, which here
// never ends. It writes the child's number to a file.
const hanging = "#!/bin/sh\nsleep 1000 &\necho $! >\"$0.new\"\nmv \"$0.new\" \"$0.child\"\nwait\n"

// TestRunHangs has a check whose child hangs: both end when it is given up.
func TestRunHangs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "check")
	if err := os.WriteFile(path, []byte(hanging), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runIn(ctx, dir, path, false) }()
	var child string
	for start := time.Now(); child == ""; time.Sleep(10 * time.Millisecond) {
		raw, err := os.ReadFile(path + ".child")
		if child = strings.TrimSpace(string(raw)); child == "" && time.Since(start) > runLimit {
			t.Fatalf("no child began: %v", err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for start := time.Now(); lives(child); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("its child %s runs still", child)
		}
	}
}

// lives is whether a process has not ended; nobody need have taken its status.
func lives(pid string) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}
