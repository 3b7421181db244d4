package binfmt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// aloneVariable is set in the test's process that has a table of its own.
const aloneVariable = "HULLWRIGHT_TEST_ALONE"

// alone runs the rest of a test in a process of its own with a table of
// registrations of its own, which goes with it: since Linux 6.7 each user
// namespace may have one.
func alone(t *testing.T) (inside bool) {
	t.Helper()
	if os.Getenv(aloneVariable) == t.Name() {
		if err := syscall.Mount("binfmt_misc", Dir, "binfmt_misc", 0, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), aloneVariable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "--- FAIL") || err == nil:
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
	case os.Getenv("HULLWRIGHT_TEST_ENV") != "":
		t.Fatalf("%v\n%s", err, out)
	default:
		t.Skipf("needs a user namespace with a table of its own, as Linux 6.7 has: %v", err)
	}
	return false
}

// TestKernel registers what this machine has for every architecture, proves it,
// and then breaks it in every way that there is a word for.
func TestKernel(t *testing.T) {
	if !alone(t) {
		return
	}
	if err := Run(t.Context(), t.TempDir(), runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, arch := range Architectures() {
		lines := Emulators("/", arch)
		if len(lines) == 0 || Run(t.Context(), t.TempDir(), arch) == nil {
			t.Logf("%s: not tried, since it is native, or nothing here emulates it", arch)
			continue
		}
		tried++
		t.Run(arch, func(t *testing.T) { breakAll(t, arch, lines) })
	}
	if tried == 0 && os.Getenv("HULLWRIGHT_TEST_ENV") != "" {
		t.Error("this machine has no emulators")
	}
}

func breakAll(t *testing.T, arch string, lines []Line) {
	r := Registry{}
	good := registerGood(t, arch, lines)
	for handler, want := range map[byte]int{1: 24, 0: 23} {
		cmd := exec.Command(write(t, withHandler(t, arch, handler)), Args...)
		checkCase{name: fmt.Sprintf("handler %d", handler)}.run(t, cmd, want)
	}
	if err := r.Disable(good.Name); err != nil {
		t.Fatal(err)
	}
	runs(t, arch, "exec format error")
	if err := r.Remove(good); err != nil {
		t.Fatal(err)
	}
	if _, found, err := r.Handler(arch); found || err != nil {
		t.Fatalf("there still: %v", err)
	}

	flags := func(change string) Line {
		l := good
		l.Flags = change
		return l
	}
	other := good
	other.Interpreter = "/usr/bin/" + Name("arm") + "-static"
	if arch == "arm" {
		other.Interpreter = "/usr/bin/" + Name("s390x") + "-static"
	}
	for _, tt := range []struct {
		line Line
		want string
	}{
		{flags(flip(good.Flags, "P")), "other arguments"},
		{flags(strings.ReplaceAll(good.Flags, "F", "")), "no such file"},
		{other, "nothing runs such programs"},
	} {
		if os.Geteuid() != 0 && tt.want == "no such file" {
			continue // only root has it contained
		}
		if err := r.Register(tt.line); err != nil {
			t.Fatal(err)
		}
		runs(t, arch, tt.want)
		if err := r.Remove(tt.line); err != nil {
			t.Fatal(err)
		}
	}
}

// registerGood registers the first line that works.
func registerGood(t *testing.T, arch string, lines []Line) Line {
	t.Helper()
	r := Registry{}
	for _, l := range lines {
		if err := r.Register(l); err != nil {
			t.Fatal(err)
		}
		if err := r.Register(l); !errors.Is(err, fs.ErrExist) {
			t.Errorf("registered twice: %v", err)
		}
		err := Run(t.Context(), t.TempDir(), arch)
		if err == nil {
			e, found, err := r.Handler(arch)
			if err != nil || !found || !e.Same(l) || !e.Emulates() {
				t.Errorf("entry %+v, %t, %v", e, found, err)
			}
			if again, err := ParseLine(e.Line.String()); err != nil || !e.Same(again) {
				t.Errorf("what the kernel shows is no line: %+v, %v", again, err)
			}
			return l
		}
		t.Logf("%s with flags %s: %v", l.Interpreter, l.Flags, err)
		if err := r.Remove(l); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("nothing works")
	return Line{}
}

// flip adds a flag, or takes it away.
func flip(flags, flag string) string {
	if strings.Contains(flags, flag) {
		return strings.ReplaceAll(flags, flag, "")
	}
	return flags + flag
}

func runs(t *testing.T, arch, want string) {
	t.Helper()
	dir := t.TempDir()
	if err := Run(t.Context(), dir, arch); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %s", arch, err, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
