package setup

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// TestRootOfLiving has a root directory whose daemon runs, and has no lock on it
// that could be seen; and then one of which only a program is left.
func TestRootOfLiving(t *testing.T) {
	m, dir := emptyHost(t)
	root := filepath.Join(dir, "root")
	check(t, os.Mkdir(root, 0o700))
	living := origin{Nonce: newNonce(16), Builder: "ci", Run: "job 1"}
	raw, err := json.Marshal(living)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(root, runFile), raw, 0o600))
	t.Cleanup(func() {
		found, err := findDaemon(living.Nonce)
		check(t, err)
		signalAll(found, living.Nonce, syscall.SIGKILL)
		check(t, awaitEnd(context.Background(), found, living.Nonce, stopLimit))
	})
	check(t, startDaemon([]string{"/bin/sh", "-c", "sleep 1000 & wait"}, []string{nonceVariable + "=" + living.Nonce}, dir, filepath.Join(dir, "log")))
	var found []daemonProcess
	for start := time.Now(); len(found) < 2; time.Sleep(10 * time.Millisecond) {
		found, err = findDaemon(living.Nonce)
		check(t, err)
		if time.Since(start) > tryLimit {
			t.Fatalf("started are %v", found)
		}
	}

	p := &processNode{m: m, dir: t.TempDir(), kept: root, mark: origin{Nonce: newNonce(16)}}
	leader := leaders(found)
	if err := p.takeRoot(); errdefs.KindOf(err) != errdefs.Environment ||
		!strings.Contains(err.Error(), "in use by builder ci of job 1 (process "+strconv.Itoa(leader[0].pid)+")") {
		t.Errorf("got %v", err)
	}
	if got := readFile(t, filepath.Join(root, runFile)); got != string(raw) {
		t.Errorf("the directory is marked %s", got)
	}

	signalAll(leader, living.Nonce, syscall.SIGKILL)
	for start := time.Now(); leaderOf(living.Nonce) != 0 && time.Since(start) < tryLimit; time.Sleep(10 * time.Millisecond) {
		ended(leader[0].pid)
	}
	if left, err := findDaemon(living.Nonce); err != nil || len(left) == 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	check(t, p.takeRoot())
	if k, _ := holderOf(root); k.Nonce != p.mark.Nonce {
		t.Errorf("the directory is %s's", k.Nonce)
	}
}

// TestRealProcessRootTogether has two that want one root directory at the same
// time: one has it, and the other is told so before it changes anything.
func TestRealProcessRootTogether(t *testing.T) {
	m, ctx := real(t), limited(t)
	root := filepath.Join(m.host.Dir, "root")
	type outcome struct {
		m     *Manager
		state *State
		err   error
	}
	done := make(chan outcome)
	for range 2 {
		host := m.host
		host.Environ = maps.Clone(m.host.Environ)
		host.Environ["BUILDX_CONFIG"] = t.TempDir()
		one := New(host)
		state := newState(t, one)
		go func() {
			b, err := one.Ensure(ctx, Spec{Name: "r" + newNonce(3), Driver: Process, RootDir: root}, state)
			if err == nil {
				err = b.Close()
			}
			done <- outcome{one, state, err}
		}()
	}
	first, second := <-done, <-done
	if first.err != nil {
		first, second = second, first
	}
	check(t, first.err)
	if errdefs.KindOf(second.err) != errdefs.Environment || !strings.Contains(second.err.Error(), "root directory "+root+" is in use by builder r") {
		t.Errorf("got %v", second.err)
	}
	if k, pid := holderOf(root); k.Nonce != first.state.nonce() || pid == 0 {
		t.Errorf("the directory is %s's (process %d), and not %s's", k.Nonce, pid, first.state.nonce())
	}
	check(t, first.m.Teardown(ctx, first.state.Path()))
}
