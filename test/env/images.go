package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

//go:embed binfmt.sh
var binfmtScript []byte

// engineImage is an image that env puts into the engine and, for engines that
// ask a mirror first, into the registry.
type engineImage struct {
	repository, tag string
	make            func(context.Context, *world, map[string]string) (v1.Image, error)
}

func (i engineImage) ref() string { return i.repository + ":" + i.tag }

// engineImages are the images that hullwright's setup asks an engine for.
var engineImages = []engineImage{
	{"moby/buildkit", "buildx-stable-1", buildkitImage},
	{"tonistiigi/binfmt", "qemu-v10.2.3-68", binfmtImage},
}

// emulated are the architectures of the emulators' image, by QEMU's names.
var emulated = []string{"aarch64", "arm", "ppc64le", "riscv64", "s390x"}

// recipeLabel is on every image that env puts into an engine. An image of the
// same name without it was there before, and stays.
const recipeLabel = "hullwright.env.recipe"

// imagesRecipe changes when the images would. The last part stands for the
// code that puts them together: change it with that.
func (w *world) imagesRecipe() (string, error) {
	tools, err := w.toolsRecipe(buildkitTools)
	if err != nil {
		return "", err
	}
	return recipeOf([]byte(tools), []byte(w.host.codename), []byte(strings.Join(treePackages, ",")), binfmtScript, []byte("1")), nil
}

// inEngine gives the recipe of an image in the engine; there is false where the
// engine has no image of that name.
func (w *world) inEngine(ctx context.Context, ref string) (recipe string, there bool) {
	out, err := w.docker(ctx, nil, "image", "inspect", "--format", `{{index .Config.Labels "`+recipeLabel+`"}}`, ref)
	return strings.TrimSpace(string(out)), err == nil
}

func (w *world) docker(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	c := w.cmd(ctx, []string{"DOCKER_HOST=" + w.engineHost(), "DOCKER_CONFIG=" + w.dockerConfig()}, "docker", args...)
	c.Stdin = stdin
	return w.run(c)
}

func imagesReady(ctx context.Context, w *world) (string, bool) {
	recipe, err := w.imagesRecipe()
	if err != nil {
		return err.Error(), false
	}
	var have []string
	for _, i := range engineImages {
		found, there := w.inEngine(ctx, i.ref())
		foreign := there && found == ""
		if !there || !foreign && found != recipe {
			return "no " + i.ref(), false
		}
		have = append(have, i.ref())
	}
	return strings.Join(have, " "), true
}

// imagesMissing names the images where they can be neither made nor, since the
// engine has no way out or is not there yet, pulled.
func imagesMissing(ctx context.Context, w *world) []string {
	if _, err := w.debianSource(); err == nil {
		return nil
	}
	if _, ok := w.foundEngine(ctx); ok {
		return nil // it may pull them
	}
	if _, ok := imagesReady(ctx, w); ok {
		return nil
	}
	return []string{"Debian and root, of which the images are made"}
}

func imagesUp(ctx context.Context, w *world) error {
	recipe, err := w.imagesRecipe()
	if err != nil {
		return err
	}
	registry, err := w.registryDaemon()
	if err != nil {
		return err
	}
	for _, i := range engineImages {
		found, there := w.inEngine(ctx, i.ref())
		if there && (found == "" || found == recipe) {
			continue
		}
		if !there && !w.ours() && w.pull(ctx, i.ref()) == nil {
			continue // an engine with a way out takes the real one
		}
		img, err := i.make(ctx, w, map[string]string{recipeLabel: recipe})
		if err != nil {
			return fmt.Errorf("make %s: %w", i.ref(), err)
		}
		if err := w.load(ctx, i.ref(), img); err != nil {
			return err
		}
		_, native := w.nativeArch()
		if err := pushIndex(ctx, registry.Address, i.repository, []string{i.tag}, indexOf(platformImage{native, img})); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) pull(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_, err := w.docker(ctx, nil, "pull", "-q", ref)
	return err
}

// load puts an image into the engine.
func (w *world) load(ctx context.Context, ref string, img v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	r, wr := io.Pipe()
	go func() { wr.CloseWithError(tarball.Write(tag, img, wr)) }()
	_, err = w.docker(ctx, r, "load", "-q")
	r.Close() // ends the writer where docker did not read to the end
	if err != nil {
		return fmt.Errorf("load %s: %w", ref, err)
	}
	return nil
}

// imagesClean removes the images that env put into an engine, and no other.
func imagesClean(ctx context.Context, w *world) error {
	if w.engineHost() == "" || w.ours() { // its images go with its files
		return nil
	}
	var errs []error
	for _, i := range engineImages {
		if recipe, _ := w.inEngine(ctx, i.ref()); recipe != "" {
			_, err := w.docker(ctx, nil, "image", "rm", i.ref())
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// buildkitImage is a small Debian with buildkitd, as moby/buildkit is a small
// Alpine with it.
func buildkitImage(ctx context.Context, w *world, labels map[string]string) (v1.Image, error) {
	path, err := w.debianTree(ctx)
	if err != nil {
		return nil, err
	}
	debian, err := layerFile(path)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, program := range []string{"buildctl", "buildkitd"} {
		raw, err := os.ReadFile(w.bin(program))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: "usr/bin/" + program, mode: 0o755, data: raw})
	}
	programs, err := layerOf(entries)
	if err != nil {
		return nil, err
	}
	_, native := w.nativeArch()
	return imageOf(native, v1.Config{
		Entrypoint: []string{"buildkitd"},
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Volumes:    map[string]struct{}{"/var/lib/buildkit": {}},
		Labels:     labels,
	}, debian, programs)
}

// binfmtImage is a busybox with Debian's emulators and a script that registers
// them. It registers nothing until someone runs it.
func binfmtImage(ctx context.Context, w *world, labels map[string]string) (v1.Image, error) {
	binaries, err := w.busyboxes(ctx, debianArchs())
	if err != nil {
		return nil, err
	}
	applets, err := w.applets(ctx)
	if err != nil {
		return nil, err
	}
	native, platform := w.nativeArch()
	entries := busyboxTree(binaries[native], applets, "hullwright-binfmt", "emulators for hullwright's tests")
	emulators, err := w.emulators(ctx)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(append(entries, emulators...))
	if err != nil {
		return nil, err
	}
	return imageOf(platform, v1.Config{
		Entrypoint: []string{"/usr/bin/binfmt"},
		Env:        []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels:     labels,
	}, layer)
}

// emulators are the files of Debian's qemu-user-static that the script needs.
func (w *world) emulators(ctx context.Context) ([]entry, error) {
	version, err := w.run(w.cmd(ctx, nil, "qemu-aarch64-static", "--version"))
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{name: "etc/qemu-version", mode: 0o644, data: []byte(qemuVersion(version) + "\n")},
		{name: "usr/bin/binfmt", mode: 0o755, data: binfmtScript},
		{name: "usr/lib", mode: os.ModeDir | 0o755},
		{name: "usr/lib/binfmt.d", mode: os.ModeDir | 0o755},
		{name: "usr/libexec", mode: os.ModeDir | 0o755},
		{name: "usr/libexec/qemu-binfmt", mode: os.ModeDir | 0o755},
	}
	for _, arch := range emulated {
		conf := "usr/lib/binfmt.d/qemu-" + arch + ".conf"
		line, err := os.ReadFile("/" + conf)
		if errors.Is(err, os.ErrNotExist) {
			continue // the machine's own architecture has no emulator
		}
		if err != nil {
			return nil, err
		}
		emulator := "qemu-" + arch + "-static"
		binary, err := os.ReadFile(w.find(emulator))
		if err != nil {
			return nil, err
		}
		entries = append(entries,
			entry{name: conf, mode: 0o644, data: line},
			entry{name: "usr/bin/" + emulator, mode: 0o755, data: binary},
			entry{name: filepath.Join("usr/libexec/qemu-binfmt", arch+"-binfmt-P"), link: "/usr/bin/" + emulator},
		)
	}
	return entries, nil
}

// qemuVersion reads "qemu-aarch64 version 7.2.22 (Debian ...)".
func qemuVersion(out []byte) string {
	line, _, _ := bytes.Cut(out, []byte("\n"))
	_, version, _ := strings.Cut(string(line), "version ")
	version, _, _ = strings.Cut(version, " ")
	if version == "" {
		return "unknown"
	}
	return "v" + version
}
