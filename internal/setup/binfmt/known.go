package binfmt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Version is a version of QEMU.
type Version [3]int

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

var versionPattern = regexp.MustCompile(`(?:version |qemu/?-?v?)(\d+)\.(\d+)(?:\.(\d+))?`)

// ParseVersion finds QEMU's version in what an emulator says of itself (qemu-arm
// version 7.2.22), in what the binfmt image says (qemu/v9.2.0) and in that
// image's tags (qemu-v10.2.3-68). It is false where there is none.
func ParseVersion(text string) (Version, bool) {
	found := versionPattern.FindStringSubmatch(text)
	if found == nil {
		return Version{}, false
	}
	var v Version
	for i, digits := range found[1:] {
		v[i], _ = strconv.Atoi(digits) // digits, or nothing for .0
	}
	return v, true
}

// versionLimit is how long an emulator may take to say what it is.
const versionLimit = 5 * time.Second

// VersionOf asks an interpreter of this machine for its version. It is
// fs.ErrNotExist where the file is a container's, whose name means nothing here.
func VersionOf(ctx context.Context, interpreter string) (Version, error) {
	// Debian's names that end in -binfmt-P are links, and change what arguments mean.
	path, err := filepath.EvalSymlinks(interpreter)
	if err != nil {
		return Version{}, err
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return Version{}, fmt.Errorf("%s is no program", path)
	}
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{} // no QEMU_ variable changes what it does
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return Version{}, fmt.Errorf("%s --version: %w", path, err)
	}
	v, ok := ParseVersion(string(out))
	if !ok {
		return Version{}, errors.New(path + " does not say its version")
	}
	return v, nil
}

// Trouble is what is known against versions of QEMU, beyond what the check can
// find: programs that crash now and then, or that it does not run.
type Trouble struct {
	Arch   string  // whose programs; empty is any
	From   Version // the first that has it
	Before Version // the first that has it no more
	What   string
	Source string
}

// troubles are by version. Debian keeps 7.2 alive: from 7.2.15 on its build has
// what the others lack.
var troubles = []Trouble{
	{"arm64", Version{}, Version{5}, "ldconfig of glibc 2.31 and later crashes", "https://github.com/moby/moby/issues/43039"},
	{"arm64", Version{5, 1}, Version{6}, "programs crash now and then as they start", "https://github.com/docker/buildx/issues/542"},
	{"", Version{6}, Version{7, 2, 15}, atRandom, "https://github.com/tonistiigi/binfmt/issues/215"},
	{"", Version{8}, Version{8, 1}, atRandom, "https://github.com/tonistiigi/binfmt/issues/215"},
	{"arm64", Version{8, 2}, Version{10}, libcBin, "https://github.com/tonistiigi/binfmt/issues/240"},
	{"arm64", Version{10, 1}, Version{10, 2}, libcBin, "https://github.com/tonistiigi/binfmt/issues/298"},
}

// Linux puts the heap elsewhere since 6.9, 6.1.112 and Ubuntu's 6.8 of January
// 2025, and so over what these versions have at fixed addresses.
// https://bugs.debian.org/1087822
const atRandom = "programs crash now and then (signal 11) under kernels of late 2024 and newer"

const libcBin = "installing libc-bin crashes (signal 11) in images of Ubuntu 22.04 and Debian 11"

// Known is what is known against a version of QEMU for an architecture's
// programs; false where nothing is.
func Known(arch string, v Version) (Trouble, bool) {
	i := slices.IndexFunc(troubles, func(t Trouble) bool {
		return (t.Arch == "" || t.Arch == arch) && slices.Compare(v[:], t.From[:]) >= 0 && slices.Compare(v[:], t.Before[:]) < 0
	})
	if i < 0 {
		return Trouble{}, false
	}
	return troubles[i], true
}
