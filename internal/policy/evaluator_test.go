//go:build linux

package policy

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// inForce are rules of one policy that denies all, evaluated by what is beside
// executable.
func inForce(t *testing.T, executable string, environ map[string]string) *Rules {
	t.Helper()
	dir := files(t, map[string]string{"Dockerfile.rego": denyAll})
	rules, err := Load(t.Context(), nil, nil, Options{
		Build: Build{Filename: "Dockerfile"}, DockerfileDir: dir, Executable: executable, Environ: environ,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rules.Close)
	return rules
}

func TestNoProgram(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "hullwright")
	_, err := inForce(t, elsewhere, map[string]string{"PATH": ".:/nowhere"}).Enforce(t.Context(), nil)
	var fault *errdefs.Error
	if !errors.As(err, &fault) || fault.Kind != errdefs.Environment || fault.Input != "policy" || fault.Hint == "" {
		t.Fatalf("%#v, want an environment's fault of the input policy with a hint", err)
	}
	for _, want := range []string{"Dockerfile.rego is in force", programName, elsewhere, "PATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}

func TestProgramInPath(t *testing.T) {
	rules := inForce(t, "/nowhere/hullwright", map[string]string{"PATH": ".:/nowhere:" + filepath.Dir(evaluatorFor)})
	if _, err := rules.Enforce(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestProgramFetched has the program got by the command that an action gives, once
// a policy is in force.
func TestProgramFetched(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, command, fault string
	}{
		{"no command", "cp x y", fetchVariable + " holds no command"},
		{"one of a checkout", `["./cp"]`, fetchVariable + " holds no command"},
		{"refused", `["/bin/sh", "-c", "echo 'hullwright: error: download x: 404' >&2; exit 3"]`, "Dockerfile.rego is in force, and hullwright-policy, the program that evaluates it, is not to be had: download x: 404"},
		{"to no avail", `["/bin/true"]`, "neither beside " + dir},
		{"got", fmt.Sprintf(`["/bin/cp", %q, %q]`, evaluatorFor+"-policy", dir), ""},
		{"there already", `["/bin/true"]`, ""},
	} {
		environ := map[string]string{"PATH": "/nowhere", fetchVariable: tt.command}
		_, err := inForce(t, filepath.Join(dir, "hullwright"), environ).Enforce(t.Context(), nil)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.fault)
		}
		if err != nil && errdefs.KindOf(err) != errdefs.Environment {
			t.Errorf("%s: kind %v", tt.name, errdefs.KindOf(err))
		}
	}
}

// program writes a program that stands in the evaluator's place.
func program(t *testing.T, script string) (executable string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, programName), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "hullwright")
}

func TestProgramFails(t *testing.T) {
	for script, want := range map[string]string{
		"#!/bin/sh\necho broken >&2\nexit 3\n": "ended: exit status 3\n  broken",
		"no program":                           "start ",
	} {
		rules := inForce(t, program(t, script), nil)
		var said []string
		rules.opt.Log = func(line string) { said = append(said, line) }
		_, err := rules.Enforce(t.Context(), nil)
		if err == nil || errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an environment's fault with %q", script, err, want)
		}
		rules.Close()
		if strings.Contains(want, "broken") && (len(said) != 1 || said[0] != "broken") {
			t.Errorf("said %q", said)
		}
	}
}

func TestProgramKilled(t *testing.T) {
	rules := inForce(t, evaluatorFor, nil)
	if _, err := rules.Enforce(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := rules.Fault(); err != nil {
		t.Errorf("%v of a program that works", err)
	}
	if err := rules.evaluator.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-rules.evaluator.ended
	if err := rules.Fault(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("%v, want how it ended", err)
	}
}

// stop stops a process, and waits until each of its threads has: a signal is sent
// before it is heard.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("threads of %d: %v", p.Pid, err)
		}
		return slices.ContainsFunc(tasks, func(file string) bool {
			raw, err := os.ReadFile(file)
			_, state, _ := strings.Cut(string(raw), ") ")
			return err == nil && !strings.HasPrefix(state, "T")
		})
	}
	for deadline := time.Now().Add(10 * time.Second); running(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not stop")
		}
	}
}

// TestCloseEnds sees the program end, by force where it does not by itself.
func TestCloseEnds(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		rules := inForce(t, evaluatorFor, nil)
		if _, err := rules.Enforce(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if stopped {
			stop(t, rules.evaluator.cmd.Process)
		}
		begun := time.Now()
		rules.Close()
		if took := time.Since(begun); stopped != (took >= endLimit) {
			t.Errorf("stopped %v: it took %s", stopped, took)
		}
		if err := rules.evaluator.err; stopped != (err != nil) {
			t.Errorf("stopped %v: it ended with %v", stopped, err)
		}
	}
}

// TestCloseAfterFault sees that a program which never called back is waited for
// no longer.
func TestCloseAfterFault(t *testing.T) {
	dir := files(t, map[string]string{"Dockerfile.rego": "package docker\n"})
	rules, err := Load(t.Context(), nil, nil, Options{Build: Build{Filename: "Dockerfile"}, DockerfileDir: dir, Executable: evaluatorFor})
	if err != nil {
		t.Fatal(err)
	}
	_, err = rules.Enforce(t.Context(), nil)
	if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), "policy returned zero result") {
		t.Errorf("%v, want a fault of the policy", err)
	}
	begun := time.Now()
	rules.Close()
	if took := time.Since(begun); took >= endLimit {
		t.Errorf("it took %s", took)
	}
}

// TestOwnerKilled sees the program end with a process that is killed.
func TestOwnerKilled(t *testing.T) {
	owner := exec.Command(filepath.Join(filepath.Dir(evaluatorFor), ownerName), evaluatorFor, files(t, map[string]string{"Dockerfile.rego": denyAll}))
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	owner.Process.Kill()
	owner.Wait() // it was killed
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); !ended(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d is left", pid)
		}
	}
}

// ended is whether a process is no more, or has but to be asked for its status.
func ended(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) && syscall.Kill(pid, 0) != nil {
		return true
	}
	_, state, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(state, "Z")
}
