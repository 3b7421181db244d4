package binfmt

import (
	"debug/elf"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// qemuNames are QEMU's names of architectures where they differ from those of
// platforms.
var qemuNames = map[string]string{
	"amd64": "x86_64", "386": "i386", "arm64": "aarch64", "mips64le": "mips64el", "loong64": "loongarch64",
}

// Name is the customary name of an architecture's registration, as qemu-aarch64.
func Name(arch string) string {
	if q, ok := qemuNames[arch]; ok {
		arch = q
	}
	return "qemu-" + arch
}

// Architectures are all that there is a check for, sorted, by their names in
// platforms.
func Architectures() []string { return slices.Sorted(maps.Keys(programs)) }

// Emulators are the registrations that a machine's own emulators offer for an
// architecture, the most likely first. root is the machine's root directory.
//
// Debian's interpreters whose names end in -binfmt-P expect the flag P; without
// it the arguments of every program shift by one. For others both ways are
// offered, since it depends on QEMU's age: try, and let [Run] decide.
func Emulators(root, arch string) []Line {
	p, ok := programs[arch]
	if !ok {
		return nil
	}
	magic, mask := p.magic()
	name := Name(arch)
	short := strings.TrimPrefix(name, "qemu-")
	var lines []Line
	add := func(interpreter, flags string) {
		l := Line{Name: name, Magic: magic, Mask: mask, Interpreter: interpreter, Flags: flags}
		if static(filepath.Join(root, interpreter)) {
			lines = append(lines, l)
		}
	}
	if l, ok := configured(root, name); ok {
		add(l.Interpreter, l.Flags)
	}
	add("/usr/libexec/qemu-binfmt/"+short+"-binfmt-P", "PF")
	for _, interpreter := range []string{"/usr/bin/" + name + "-static", "/usr/bin/" + name} {
		add(interpreter, "PF")
		add(interpreter, "F")
	}
	return lines
}

// configured is the line that the distribution has for a name, fit for
// containers and without C: an emulated program that is setuid must not get
// its owner's rights from a registration of ours.
func configured(root, name string) (Line, bool) {
	for _, dir := range []string{"etc/binfmt.d", "run/binfmt.d", "usr/local/lib/binfmt.d", "usr/lib/binfmt.d"} {
		for _, suffix := range []string{".conf", "-static.conf"} {
			raw, err := os.ReadFile(filepath.Join(root, dir, name+suffix))
			if err != nil {
				continue
			}
			if l, err := ParseLine(string(raw)); err == nil {
				l.Flags = strings.ReplaceAll(l.Flags, "C", "")
				if !strings.Contains(l.Flags, "F") {
					l.Flags += "F"
				}
				return l, true
			}
		}
	}
	return Line{}, false
}

// static is whether a file is a program that needs no other: a container has
// none of an interpreter's libraries.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
