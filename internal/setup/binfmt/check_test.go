package binfmt

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestCheckIsProgram holds the table's hand-made files against Go's own reader.
func TestCheckIsProgram(t *testing.T) {
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		t.Run(arch, func(t *testing.T) {
			file, ok := Check(arch)
			if !ok {
				t.Fatal("no check")
			}
			f, err := elf.NewFile(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			p := programs[arch]
			if f.Class != p.class || f.ByteOrder != p.order || f.Machine != p.machine || f.Type != elf.ET_EXEC {
				t.Errorf("header %+v", f.FileHeader)
			}
			if len(f.Progs) != 1 || f.Progs[0].Type != elf.PT_LOAD || f.Progs[0].Filesz != uint64(len(file)) {
				t.Fatalf("segments %+v", f.Progs)
			}
			if entry := f.Entry - f.Progs[0].Vaddr; len(p.code)/2 != len(file)-int(entry) {
				t.Errorf("entry at %d of %d bytes, of which %d are code", entry, len(file), len(p.code)/2)
			}
		})
	}
}

func TestRunNative(t *testing.T) {
	if _, ok := Check(runtime.GOARCH); !ok || runtime.GOOS != "linux" {
		t.Skipf("no check for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if err := Run(t.Context(), t.TempDir(), runtime.GOARCH); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), t.TempDir(), "pdp11"); !errors.Is(err, ErrUnproved) {
		t.Errorf("got %v", err)
	}
	if err := Run(t.Context(), "/proc", runtime.GOARCH); !errors.Is(err, ErrUnproved) {
		t.Errorf("got %v", err)
	}
}

// TestCheckNative tries the native check with wrong arguments.
func TestCheckNative(t *testing.T) {
	file, ok := Check(runtime.GOARCH)
	if !ok || runtime.GOOS != "linux" {
		t.Skipf("no check for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	path := write(t, file)
	for _, tt := range checkCases {
		tt.run(t, exec.Command(path, tt.args...), tt.exit)
	}
}

var checkCases = []checkCase{
	{"right", Args, 0},
	{"none", nil, 21},
	{"shifted", []string{"b c", "d"}, 21},
	{"split", []string{"a", "b", "c", "d"}, 21},
	{"other", []string{"a", "b", "d"}, 21},
	{"longer", []string{"a", "b cd", "d"}, 21},
	{"second", []string{"d"}, 0},
	{"second other", []string{"x"}, 21},
}

type checkCase struct {
	name string
	args []string
	exit int
}

func (tt checkCase) run(t *testing.T, cmd *exec.Cmd, want int) {
	t.Run(tt.name, func(t *testing.T) {
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("exit code %d, want %d (%s)", got, want, cmd.ProcessState)
		}
	})
}

func write(t *testing.T, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(path, file, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// handlers say where, from its end, a check has the address of its handler, and
// how long that is.
var handlers = map[string][2]int{
	"amd64": {32, 8}, "386": {20, 4}, "arm64": {32, 8}, "arm": {20, 4}, "riscv64": {24, 8}, "ppc64le": {32, 8},
	"ppc64": {32, 8}, "s390x": {32, 8}, "mips64le": {24, 8}, "mips64": {24, 8}, "loong64": {24, 8},
}

// withHandler is the check with another handler: 0 is the default, which kills,
// and 1 ignores the signal.
func withHandler(t *testing.T, arch string, handler byte) []byte {
	t.Helper()
	file, ok := Check(arch)
	if !ok {
		t.Fatal("no check")
	}
	at, size := len(file)-handlers[arch][0], handlers[arch][1]
	clear(file[at : at+size])
	if programs[arch].order == binary.BigEndian {
		at += size - 1
	}
	file[at] = handler
	return file
}

// TestCheckSignal has checks whose signal is ignored, and whose signal kills.
func TestCheckSignal(t *testing.T) {
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		emulator := "/usr/bin/" + Name(arch) + "-static"
		if _, err := os.Stat(emulator); err != nil && arch != runtime.GOARCH {
			t.Logf("%s: not tried, since there is no %s", arch, emulator)
			continue
		}
		for handler, want := range map[byte]int{1: 24, 0: -1} {
			argv := []string{emulator, write(t, withHandler(t, arch, handler)), "d"}
			if arch == runtime.GOARCH {
				argv = argv[1:]
			}
			checkCase{name: fmt.Sprintf("%s %d", arch, handler)}.run(t, exec.Command(argv[0], argv[1:]...), want)
			if arch == runtime.GOARCH && handler == 0 { // else it takes a registration
				checkCase{name: "child"}.run(t, exec.Command(argv[0], Args...), 23)
			}
		}
	}
}

// TestCheckEmulated runs the foreign checks with the emulators themselves,
// without any registration. What they then can't do is start themselves again.
func TestCheckEmulated(t *testing.T) {
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		emulator := "/usr/bin/" + Name(arch) + "-static"
		if _, err := os.Stat(emulator); err != nil || arch == runtime.GOARCH {
			t.Logf("%s: not tried, since it is native or there is no %s", arch, emulator)
			continue
		}
		t.Run(arch, func(t *testing.T) {
			file, _ := Check(arch)
			path := write(t, file)
			for _, tt := range checkCases[1:] {
				tt.run(t, exec.Command(emulator, append([]string{path}, tt.args...)...), tt.exit)
			}
			cmd := exec.Command(emulator, append([]string{path}, Args...)...)
			cmd.Run()
			// 0 where this machine has a registration, or runs 386 by itself.
			if got := cmd.ProcessState.ExitCode(); got != 22 && got != 0 {
				t.Errorf("exit code %d, want 22: the arguments are right, and the kernel does not start it again", got)
			}
		})
	}
}
