package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// pkg is a Debian package that the environment is made with.
type pkg struct {
	name string
	// proof is a program, or a file's absolute path, that shows that it is
	// there, whoever put it there.
	proof string
	// engine is whether an engine that answers makes it unnecessary.
	engine bool
	// some is whether only some of Debian's releases have it.
	some bool
}

var packages = []pkg{
	{name: "docker.io", proof: "dockerd", engine: true},
	{name: "docker-cli", proof: "docker", some: true}, // since Debian 13 it is no part of docker.io
	{name: "containerd", proof: "containerd", engine: true},
	{name: "iptables", proof: "iptables", engine: true},
	{name: "runc", proof: "runc"},                            // the process driver runs it too
	{name: "qemu-user-static", proof: "qemu-aarch64-static"}, // emulators, static so that they work in containers
	{name: "binfmt-support", proof: "update-binfmts"},
	{name: "debootstrap", proof: "debootstrap"},
	{name: "uidmap", proof: "newuidmap"}, // this and the next two: rootless buildkitd
	{name: "rootlesskit", proof: "rootlesskit"},
	{name: "slirp4netns", proof: "slirp4netns"},
	{name: "procps", proof: "pgrep"}, // journeys look for steps with it
	{name: "rsync", proof: "rsync"},  // gitlab-ci-local copies the work tree with it
	{name: "busybox-static", proof: "busybox"},
	{name: "git", proof: "git"},
	{name: "jq", proof: "jq"},   // journeys read indexes with it
	{name: "gcc", proof: "gcc"}, // this and the next: go test -race
	{name: "libc6-dev", proof: "/usr/include/stdlib.h"},
	{name: "curl", proof: "curl"},
	{name: "ca-certificates", proof: "/etc/ssl/certs/ca-certificates.crt"},
	{name: "nodejs", proof: "node"}, // actions and gitlab-ci-local
	{name: "npm", proof: "npm"},
}

// absent are the packages whose proof is not found.
func absent(all []pkg, found func(proof string) bool, engine bool) []pkg {
	var list []pkg
	for _, p := range all {
		if !(p.engine && engine) && !found(p.proof) {
			list = append(list, p)
		}
	}
	return list
}

func (w *world) absentPackages(ctx context.Context) []pkg {
	found := func(proof string) bool {
		if strings.HasPrefix(proof, "/") {
			_, err := os.Stat(proof)
			return err == nil
		}
		return w.has(proof)
	}
	list := absent(packages, found, false)
	if len(list) > 0 { // only then is it worth asking for an engine
		_, engine := w.foundEngine(ctx)
		list = absent(packages, found, engine)
	}
	return list
}

// canInstall is whether env may install packages here.
func (w *world) canInstall() bool { return w.host.root && w.host.debian && w.has("apt-get") }

func packagesReady(ctx context.Context, w *world) (string, bool) {
	var names []string
	for _, p := range w.absentPackages(ctx) {
		names = append(names, p.name)
	}
	if len(names) > 0 {
		return "lacking " + strings.Join(names, " "), false
	}
	return "all packages", true
}

func packagesMissing(ctx context.Context, w *world) []string {
	if w.canInstall() {
		return nil
	}
	var list []string
	for _, p := range w.absentPackages(ctx) {
		list = append(list, fmt.Sprintf("%s (Debian's package %s)", p.proof, p.name))
	}
	return list
}

func packagesUp(ctx context.Context, w *world) error {
	noninteractive := []string{"DEBIAN_FRONTEND=noninteractive"}
	if _, err := w.run(w.cmd(ctx, noninteractive, "apt-get", "update", "-q")); err != nil {
		return err
	}
	args := []string{"install", "-q", "-y", "--no-install-recommends"}
	for _, p := range w.absentPackages(ctx) {
		if p.some {
			if _, err := w.run(w.cmd(ctx, nil, "apt-cache", "show", p.name)); err != nil {
				continue // this release has it in another package
			}
		}
		args = append(args, p.name)
	}
	_, err := w.run(w.cmd(ctx, noninteractive, "apt-get", args...))
	return err
}
