package main

import (
	"path/filepath"
	"strings"
)

// build is a build and push that each program can be asked for.
type build struct {
	context    string // directory
	platforms  string // with commas between
	references []string
	args       []string // KEY=value
}

// provenance is the attestation of every build, whoever makes it: what buildx
// and hullwright add by themselves and buildctl does not.
const provenance = "mode=min,inline-only=true"

// program is the path of one of our programs.
func (l *lab) program(name string) string { return filepath.Join(l.bin, name) }

func (l *lab) hullwright(b build) command {
	args := []string{
		l.program("hullwright"), "build-push", "--builder", l.builder, "--push=true",
		"--platforms", b.platforms, "--provenance=" + provenance, "--tags", strings.Join(b.references, "\n"),
	}
	if len(b.args) > 0 {
		args = append(args, "--build-args", strings.Join(b.args, "\n"))
	}
	return command{args: append(args, b.context)}
}

// buildx is started as the program it is, without docker before it, which takes
// some time of its own.
func (l *lab) buildx(b build) command {
	args := []string{
		"buildx", "build", "--builder", l.builder, "--push",
		"--platform", b.platforms, "--attest", "type=provenance," + provenance,
	}
	for _, r := range b.references {
		args = append(args, "--tag", r)
	}
	for _, a := range b.args {
		args = append(args, "--build-arg", a)
	}
	return command{args: append(args, b.context)}
}

func (l *lab) buildctl(b build) command {
	args := []string{
		"buildctl", "--addr", "docker-container://buildx_buildkit_" + l.builder + "0", "build",
		"--frontend", "dockerfile.v0", "--local", "context=" + b.context, "--local", "dockerfile=" + b.context,
		"--opt", "platform=" + b.platforms, "--opt", "attest:provenance=" + provenance,
		"--output", `type=image,"name=` + strings.Join(b.references, ",") + `",push=true`,
	}
	for _, a := range b.args {
		args = append(args, "--opt", "build-arg:"+a)
	}
	return command{args: args}
}

// create makes a builder as buildx does, on the host's network, where the
// registry is.
func (l *lab) create(name string, more ...string) command {
	args := []string{"buildx", "create", "--name", name, "--driver", "docker-container", "--driver-opt", "network=host"}
	return command{args: append(args, more...)}
}

func (l *lab) remove(name string) command { return command{args: []string{"buildx", "rm", name}} }

func (l *lab) setup(name, state string, more ...string) command {
	args := []string{l.program("hullwright"), "setup", "--name", name, "--state", state}
	return command{args: append(args, more...)}
}

func (l *lab) teardown(state string) command {
	return command{args: []string{l.program("hullwright"), "teardown", state}}
}
