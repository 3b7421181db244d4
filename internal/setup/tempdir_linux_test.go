package setup

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTempDirOfKilled has a process make a directory and be killed.
func TestTempDirOfKilled(t *testing.T) {
	if base := os.Getenv("HULLWRIGHT_TEST_TEMPDIR"); base != "" {
		dir, err := TempDir(base, "input")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, "context.tar"), []byte("x"), 0o600))
		fmt.Println("made", dir)
		time.Sleep(time.Minute)
		return
	}
	m, base := emptyHost(t)
	cmd := exec.CommandContext(limited(t), os.Args[0], "-test.run", "^TestTempDirOfKilled$")
	cmd.Env = append(os.Environ(), "HULLWRIGHT_TEST_TEMPDIR="+base)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	defer cmd.Process.Kill()
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		_, dir, _ = strings.Cut(lines.Text(), "made ")
	}
	if dir == "" {
		t.Fatal("no directory was made")
	}
	// While it runs its directory is its own, however old.
	if left := sweepDir(t, m, dir, OrphanOptions{OlderThan: time.Nanosecond}); len(left) > 0 {
		t.Errorf("taken from a process that runs: %v", left)
	}
	check(t, cmd.Process.Kill())
	cmd.Wait()
	found := sweepDir(t, m, dir, OrphanOptions{DryRun: true})
	if len(found) != 1 || found[0].Kind != "directory" || !strings.Contains(found[0].Why, fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Errorf("found %v", found)
	}
	if !exists(dir) {
		t.Fatal("a dry run removed it")
	}
	sweepDir(t, m, dir, OrphanOptions{})
	if exists(dir) {
		t.Error("it is left")
	}
}

// sweepDir looks at one directory alone: /tmp is everybody's.
func sweepDir(t *testing.T, m *Manager, dir string, o OrphanOptions) []Orphan {
	t.Helper()
	s := &sweep{m: m, options: o, states: map[string]*State{}, stores: map[string]bool{}}
	s.directory(dir)
	s.sweepStrays(limited(t))
	for _, f := range s.found {
		check(t, f.Err)
	}
	return s.found
}

// TestTempDirJudged has directories of which no process of this machine is known
// to have ended.
func TestTempDirJudged(t *testing.T) {
	m, base := emptyHost(t)
	mark := func(change func(*owner)) []byte {
		o := *self()
		change(&o)
		raw, err := json.Marshal(o)
		check(t, err)
		return raw
	}
	for _, tt := range []struct {
		name        string
		file        string // empty is none
		content     []byte
		age         time.Duration
		stays, kept bool // of a search, and of one for what is older than an hour
	}{
		{name: "hullwright-check-1", age: time.Hour, stays: false},
		{name: "hullwright-check-2", age: 0, stays: true, kept: true},
		{name: "hullwright-input-3", file: ".tmp-" + ownerFile + "123", age: time.Hour, stays: false},
		{name: "hullwright-input-4", file: "precious", age: 2 * time.Hour, stays: true, kept: true},
		{name: "hullwright-input-5", file: ownerFile, content: []byte("{"), age: 2 * time.Hour, stays: true, kept: true},
		{name: "hullwright-input-6", file: ownerFile, content: mark(func(o *owner) {}), age: 2 * time.Hour, stays: true, kept: true},
		{name: "hullwright-input-7", file: ownerFile, content: mark(func(o *owner) { o.Host = "another" }), age: 2 * time.Hour, stays: true},
		{name: "hullwright-input-8", file: ownerFile, content: mark(func(o *owner) { o.Host = "another" }), age: time.Minute, stays: true, kept: true},
		{name: "hullwright-input-9", file: ownerFile, content: mark(func(o *owner) { o.Boot = "another" }), stays: false},
		{name: "hullwright-mine-1", file: ownerFile, content: mark(func(o *owner) { o.Boot = "another" }), age: 2 * time.Hour, stays: true, kept: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(base, tt.name)
			check(t, os.Mkdir(dir, 0o700))
			at := time.Now().Add(-tt.age)
			if tt.file != "" {
				check(t, os.WriteFile(filepath.Join(dir, tt.file), tt.content, 0o600))
				check(t, os.Chtimes(filepath.Join(dir, tt.file), at, at))
			}
			check(t, os.Chtimes(dir, at, at))
			sweepDir(t, m, dir, OrphanOptions{})
			if exists(dir) != tt.stays {
				t.Errorf("it stays is %t, want %t", exists(dir), tt.stays)
			}
			sweepDir(t, m, dir, OrphanOptions{OlderThan: time.Hour})
			if exists(dir) != tt.kept {
				t.Errorf("of what is older it stays is %t, want %t", exists(dir), tt.kept)
			}
		})
	}
}
