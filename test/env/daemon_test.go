package main

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func missingOf(things []string) func(context.Context, *world) []string {
	return func(context.Context, *world) []string { return things }
}

func testWorld(t *testing.T) *world {
	t.Helper()
	w := &world{layout: layout{dir: t.TempDir()}, environ: map[string]string{"PATH": "/usr/bin:/bin"}, out: io.Discard}
	if err := w.make(); err != nil {
		t.Fatal(err)
	}
	return w
}

func readTestDaemon(t *testing.T, w *world) daemon {
	t.Helper()
	d, err := readDaemon(w.state("sleeper.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDaemonStartsAndStops(t *testing.T) {
	w := testWorld(t)
	c := exec.Command("sleep", "60")
	err := w.start(t.Context(), "sleeper", c, daemon{Address: "here"}, 5*time.Second, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() }) // where stop failed
	d := readTestDaemon(t, w)
	if !d.alive() || d.PID != c.Process.Pid || d.Address != "here" {
		t.Errorf("state %+v of a process %d that runs", d, c.Process.Pid)
	}
	if err := w.stop(t.Context(), "sleeper", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if d.alive() {
		t.Error("alive after stop")
	}
	if d := readTestDaemon(t, w); d != (daemon{}) {
		t.Errorf("state %+v after stop", d)
	}
	if err := w.stop(t.Context(), "sleeper", time.Second); err != nil {
		t.Errorf("stop of what is gone: %v", err)
	}
}

// A process that ignores SIGTERM ends all the same.
func TestDaemonIsKilled(t *testing.T) {
	w := testWorld(t)
	c := exec.Command("sh", "-c", `trap "" TERM; echo ready; while :; do sleep 1; done`)
	ready := func(context.Context) error {
		if tailOf(t, w) == "" {
			return errors.New("not ready")
		}
		return nil
	}
	if err := w.start(t.Context(), "sleeper", c, daemon{}, 5*time.Second, ready); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	d := readTestDaemon(t, w)
	if !d.alive() {
		t.Fatal("not alive before stop")
	}
	if err := w.stop(t.Context(), "sleeper", time.Second); err != nil {
		t.Fatal(err)
	}
	if d.alive() {
		t.Error("alive after stop")
	}
}

// A number that another process has by now is not ours.
func TestDaemonOfAnotherTime(t *testing.T) {
	w := testWorld(t)
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	stale := daemon{PID: c.Process.Pid, Start: "1"}
	if stale.alive() {
		t.Error("a process that started at another time is taken for ours")
	}
	if err := stale.write(w.state("sleeper.json")); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(t.Context(), "sleeper", time.Second); err != nil {
		t.Fatal(err)
	}
	if start, state, err := processStart(c.Process.Pid); err != nil || state == "Z" {
		t.Errorf("the other process was stopped: %s %s %v", start, state, err)
	}
}

func TestDaemonThatFails(t *testing.T) {
	never := func(context.Context) error { return errors.New("nobody answers") }
	tests := []struct {
		name, script string
		deadline     time.Duration
		want         []string
	}{
		{"ends", "echo no such port >&2; exit 3", 10 * time.Second, []string{"ended: exit status 3", "no such port"}},
		{"hangs", "echo still starting; exec sleep 60", 2 * time.Second, []string{"no answer in 2s: nobody answers", "still starting"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := testWorld(t)
			err := w.start(t.Context(), "sleeper", exec.Command("sh", "-c", tt.script), daemon{}, tt.deadline, never)
			if errdefs.KindOf(err) != errdefs.Environment {
				t.Fatalf("error %v, want one of the environment", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if d := readTestDaemon(t, w); d.alive() {
				t.Error("still alive")
			}
		})
	}
}

func tailOf(t *testing.T, w *world) string {
	t.Helper()
	log, err := exec.Command("cat", w.log("sleeper")).Output()
	if err != nil {
		t.Fatal(err)
	}
	return tail(log, 5)
}
