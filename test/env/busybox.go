package main

import (
	"context"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// archs are the platforms of the base images, by Debian's architecture.
var archs = []struct {
	debian   string
	platform v1.Platform
}{
	{"amd64", v1.Platform{OS: "linux", Architecture: "amd64"}},
	{"arm64", v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}},
	{"armhf", v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
}

func debianArchs() []string {
	var list []string
	for _, a := range archs {
		list = append(list, a.debian)
	}
	return list
}

// nativeArch is the machine's platform; env runs where one of archs is native.
func (w *world) nativeArch() (debian string, p v1.Platform) {
	for _, a := range archs {
		if a.platform.Architecture == runtime.GOARCH {
			return a.debian, a.platform
		}
	}
	return runtime.GOARCH, v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
}

// applets asks a busybox that runs here for the paths of its applets, as
// bin/sh. Those of one Debian release are the same for each architecture.
func (w *world) applets(ctx context.Context) ([]string, error) {
	native, _ := w.nativeArch()
	binary := w.cache("busybox-" + native)
	if err := os.Chmod(binary, 0o755); err != nil {
		return nil, err
	}
	out, err := w.run(w.cmd(ctx, nil, binary, "--list-full"))
	return strings.Fields(string(out)), err
}

// busyboxTree is a root of a busybox: a shell, its applets, and the few files
// that programs expect. id and name go to os-release.
func busyboxTree(binary []byte, applets []string, id, name string) []entry {
	release := "ID=" + id + "\nNAME=\"" + name + "\"\nPRETTY_NAME=\"" + name + "\"\n"
	tree := []entry{
		{name: "bin", mode: os.ModeDir | 0o755},
		{name: "bin/busybox", mode: 0o755, data: binary},
		{name: "dev", mode: os.ModeDir | 0o755},
		{name: "etc", mode: os.ModeDir | 0o755},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{name: "etc/os-release", mode: 0o644, data: []byte(release)},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{name: "home", mode: os.ModeDir | 0o755},
		{name: "proc", mode: os.ModeDir | 0o555},
		{name: "root", mode: os.ModeDir | 0o700},
		{name: "run", mode: os.ModeDir | 0o755},
		{name: "sbin", mode: os.ModeDir | 0o755},
		{name: "sys", mode: os.ModeDir | 0o555},
		{name: "tmp", mode: os.ModeDir | os.ModeSticky | 0o777},
		{name: "usr", mode: os.ModeDir | 0o755},
		{name: "usr/bin", mode: os.ModeDir | 0o755},
		{name: "usr/sbin", mode: os.ModeDir | 0o755},
		{name: "usr/local", mode: os.ModeDir | 0o755},
		{name: "usr/local/bin", mode: os.ModeDir | 0o755},
		{name: "var", mode: os.ModeDir | 0o755},
		{name: "var/tmp", mode: os.ModeDir | os.ModeSticky | 0o777},
	}
	for _, applet := range slices.Sorted(slices.Values(applets)) {
		if applet == "bin/busybox" || !slices.ContainsFunc(tree, func(e entry) bool { return e.name == path.Dir(applet) }) {
			continue // itself, or one in the root, as linuxrc
		}
		tree = append(tree, entry{name: applet, link: "/bin/busybox"})
	}
	return tree
}
