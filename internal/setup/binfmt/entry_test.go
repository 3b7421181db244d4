package binfmt

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const debianARM64 = `:qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF`

// kernelARM64 is what the kernel shows of it.
const kernelARM64 = `enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
`

func TestParseLine(t *testing.T) {
	l, err := ParseLine(debianARM64 + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if l.String() != debianARM64 {
		t.Errorf("got %s", l)
	}
	// What Debian registers is what we make of our own program's head.
	magic, mask := programs["arm64"].magic()
	want := Line{Name: "qemu-aarch64", Magic: magic, Mask: mask, Interpreter: "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", Flags: "OPF"}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
	for name, line := range map[string]string{
		"nothing":        "",
		"a colon":        ":",
		"fields missing": ":a:M::x:y",
		"by extension":   ":java:E::class::/usr/bin/java:",
		"at an offset":   ":a:M:4:x::/bin/x:",
		"no name":        "::M::x::/bin/x:",
		"a path":         ":../a:M::x::/bin/x:",
		"no interpreter": ":a:M::x:::",
		"no magic":       ":a:M::::/bin/x:",
		"short mask":     ":a:M::xy:z:/bin/x:",
		"cut off":        `:a:M::\x7::/bin/x:`,
		"no hexadecimal": `:a:M::\xzz::/bin/x:`,
	} {
		if l, err := ParseLine(line); err == nil {
			t.Errorf("%s: accepted as %+v", name, l)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(debianARM64)
	f.Add(`,a,M,,\x7fELF,,/bin/x,F`)
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLine(s)
		if err != nil || strings.Contains(l.Name+l.Interpreter+l.Flags, ":") {
			return // a line with another separator may hold colons
		}
		again, err := ParseLine(l.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", s, l, err)
		}
		if diff := cmp.Diff(l, again); diff != "" && len(l.Mask) > 0 {
			t.Error(diff)
		}
	})
}

func TestEntry(t *testing.T) {
	e, err := ParseEntry("qemu-aarch64", kernelARM64)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseLine(debianARM64)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Enabled || !e.Same(l) {
		t.Errorf("%+v is not %+v", e, l)
	}
	for name, change := range map[string]func(l *Line){
		"name":        func(l *Line) { l.Name = "x" },
		"interpreter": func(l *Line) { l.Interpreter = "/bin/x" },
		"flags":       func(l *Line) { l.Flags = "CPF" },
		"magic":       func(l *Line) { l.Magic = []byte("x") },
		"mask":        func(l *Line) { l.Mask = []byte("x") },
	} {
		other := l
		change(&other)
		if e.Same(other) {
			t.Errorf("the same in spite of another %s", name)
		}
	}
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		file, _ := Check(arch)
		if got := e.handles(file); got != (arch == "arm64") {
			t.Errorf("%s: %v", arch, got)
		}
	}
	e.Enabled = false
	if file, _ := Check("arm64"); e.handles(file) {
		t.Error("an entry that is off handles programs")
	}
	if _, err := ParseEntry("x", "magic zz\n"); err == nil {
		t.Error("accepted")
	}
}

// TestRegistry reads a directory as the kernel shows it; writing needs the
// kernel.
func TestRegistry(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r.Mounted() {
		t.Error("mounted")
	}
	write("register", "")
	write("status", "enabled\n")
	write("qemu-aarch64", kernelARM64)
	write("python3", "enabled\ninterpreter /usr/bin/python3\nflags: \noffset 0\nmagic cb0d0d0a\n")
	if !r.Mounted() {
		t.Error("not mounted")
	}
	for arch, want := range map[string]string{"arm64": "qemu-aarch64", "arm": "", "pdp11": ""} {
		e, ok, err := r.Handler(arch)
		if err != nil || e.Name != want || ok != (want != "") {
			t.Errorf("%s: %+v, %v", arch, e, err)
		}
	}
	l, err := ParseLine(debianARM64)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Register(l); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwritten: %v", err)
	}
	other := l
	other.Interpreter = "/bin/x"
	if err := r.Remove(other); !errors.Is(err, ErrOther) {
		t.Errorf("removed another's: %v", err)
	}
	other.Name = "none"
	if err := r.Remove(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"", ".", "..", "../x", "register", "status", "a/b"} {
		if _, err := r.Entry(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestEmulators(t *testing.T) {
	root := t.TempDir()
	file := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program, _ := Check("amd64")
	if got := Emulators(root, "arm64"); len(got) > 0 {
		t.Errorf("found %v in nothing", got)
	}
	file("usr/lib/binfmt.d/qemu-aarch64.conf", debianARM64)
	if got := Emulators(root, "arm64"); len(got) > 0 {
		t.Errorf("took a configuration whose emulator is missing: %v", got)
	}
	file("usr/libexec/qemu-binfmt/aarch64-binfmt-P", string(program))
	file("usr/bin/qemu-s390x-static", string(program))
	file("usr/bin/qemu-arm-static", "#!/bin/sh\n")
	// As Fedora has it, and with C, which must not be taken over.
	file("usr/lib/binfmt.d/qemu-ppc64le-static.conf", strings.Replace(strings.Replace(debianARM64, "OPF", "C", 1), "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", "/usr/bin/qemu-ppc64le-static", 1))
	file("usr/bin/qemu-ppc64le-static", string(program))
	for arch, want := range map[string][]string{
		"arm64":   {"/usr/libexec/qemu-binfmt/aarch64-binfmt-P OPF", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P PF"},
		"s390x":   {"/usr/bin/qemu-s390x-static PF", "/usr/bin/qemu-s390x-static F"},
		"ppc64le": {"/usr/bin/qemu-ppc64le-static F", "/usr/bin/qemu-ppc64le-static PF", "/usr/bin/qemu-ppc64le-static F"},
		"arm":     nil, // no program
		"pdp11":   nil,
	} {
		var got []string
		for _, l := range Emulators(root, arch) {
			got = append(got, l.Interpreter+" "+l.Flags)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", arch, diff)
		}
	}
}

func TestName(t *testing.T) {
	for arch, want := range map[string]string{"arm64": "qemu-aarch64", "386": "qemu-i386", "arm": "qemu-arm", "mips64le": "qemu-mips64el"} {
		if got := Name(arch); got != want {
			t.Errorf("%s: %s", arch, got)
		}
	}
}
