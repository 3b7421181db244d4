package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// base is what stands in the local registry for an image of Docker Hub.
type base struct {
	repository string
	tags       []string
	make       func(context.Context, *world) (v1.ImageIndex, error)
}

// bases are the images that Dockerfiles of tests and examples name. Those of
// busybox and the scanner are for three platforms, the others for the machine's
// own.
func (w *world) bases() []base {
	return []base{
		{"library/alpine", []string{"3", "latest"}, busyboxBase("alpine", "busybox in place of Alpine Linux")},
		{"library/busybox", []string{"1", "latest"}, busyboxBase("busybox", "busybox")},
		{"library/debian", []string{w.host.codename + "-slim"}, debianBase},
		{"library/golang", []string{"1", "latest"}, goBase},
		{"docker/dockerfile", []string{"1", "latest"}, frontendBase},
		{"docker/buildkit-syft-scanner", []string{"stable-1"}, scannerBase},
	}
}

// basesRecipe changes when the images would. The last part stands for the code
// that puts them together: change it with that.
func (w *world) basesRecipe() (string, error) {
	tools, err := w.toolsRecipe(buildkitTools)
	if err != nil {
		return "", err
	}
	scanner, err := w.scannerSource()
	if err != nil {
		return "", err
	}
	return recipeOf([]byte(tools), []byte(w.host.codename), []byte(strings.Join(treePackages, ",")), []byte(runtime.Version()), scanner, []byte("2")), nil
}

func basesReady(ctx context.Context, w *world) (string, bool) {
	recipe, err := w.basesRecipe()
	if err != nil {
		return err.Error(), false
	}
	if !w.stamped("bases", recipe) {
		return "not pushed, or of other sources", false
	}
	registry, err := w.registryDaemon()
	if err != nil {
		return err.Error(), false
	}
	var have []string
	for _, b := range w.bases() {
		for _, tag := range b.tags {
			if !inRegistry(ctx, registry.Address, b.repository, tag) {
				return "no " + b.repository + ":" + tag, false
			}
		}
		have = append(have, b.repository+":"+b.tags[0])
	}
	return strings.Join(have, " "), true
}

func basesMissing(ctx context.Context, w *world) []string {
	if _, err := w.debianSource(); err == nil {
		return nil
	}
	if _, ok := basesReady(ctx, w); ok {
		return nil
	}
	return []string{"Debian and root, of which the base images are made"}
}

func basesUp(ctx context.Context, w *world) error {
	recipe, err := w.basesRecipe()
	if err != nil {
		return err
	}
	registry, err := w.registryDaemon()
	if err != nil {
		return err
	}
	for _, b := range w.bases() {
		idx, err := b.make(ctx, w)
		if err != nil {
			return fmt.Errorf("make %s: %w", b.repository, err)
		}
		if err := pushIndex(ctx, registry.Address, b.repository, b.tags, idx); err != nil {
			return err
		}
	}
	return w.stamp("bases", recipe)
}

func busyboxBase(id, name string) func(context.Context, *world) (v1.ImageIndex, error) {
	return func(ctx context.Context, w *world) (v1.ImageIndex, error) {
		binaries, err := w.busyboxes(ctx, debianArchs())
		if err != nil {
			return nil, err
		}
		applets, err := w.applets(ctx)
		if err != nil {
			return nil, err
		}
		var images []platformImage
		for _, a := range archs {
			layer, err := layerOf(busyboxTree(binaries[a.debian], applets, id, name))
			if err != nil {
				return nil, err
			}
			img, err := imageOf(a.platform, v1.Config{
				Cmd: []string{"/bin/sh"},
				Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			}, layer)
			if err != nil {
				return nil, err
			}
			images = append(images, platformImage{a.platform, img})
		}
		return indexOf(images...), nil
	}
}

func debianBase(ctx context.Context, w *world) (v1.ImageIndex, error) {
	debian, err := w.debianLayer(ctx)
	if err != nil {
		return nil, err
	}
	return w.nativeIndex(v1.Config{
		Cmd: []string{"bash"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}, debian)
}

// goBase is a Debian with the Go toolchain that runs env. It compiles for every
// platform; it fetches no other toolchain.
func goBase(ctx context.Context, w *world) (v1.ImageIndex, error) {
	debian, err := w.debianLayer(ctx)
	if err != nil {
		return nil, err
	}
	path, err := w.goTree(ctx)
	if err != nil {
		return nil, err
	}
	toolchain, err := layerFile(path)
	if err != nil {
		return nil, err
	}
	return w.nativeIndex(v1.Config{
		Cmd:        []string{"bash"},
		WorkingDir: "/go",
		Env: []string{
			"PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"GOPATH=/go", "GOTOOLCHAIN=local", "CGO_ENABLED=0",
		},
	}, debian, toolchain)
}

// frontendBase is the Dockerfile frontend, for Dockerfiles with a syntax line.
func frontendBase(_ context.Context, w *world) (v1.ImageIndex, error) {
	raw, err := os.ReadFile(w.bin("dockerfile-frontend"))
	if err != nil {
		return nil, err
	}
	layer, err := layerOf([]entry{
		{name: "bin", mode: os.ModeDir | 0o755},
		{name: "bin/dockerfile-frontend", mode: 0o755, data: raw},
	})
	if err != nil {
		return nil, err
	}
	return w.nativeIndex(v1.Config{
		Entrypoint: []string{"/bin/dockerfile-frontend"},
		// What BuildKit reads of a frontend before it runs it; as
		// frontend/dockerfile/cmd/dockerfile-frontend/Dockerfile says in moby/buildkit.
		Labels: map[string]string{
			"moby.buildkit.frontend.network.none": "true",
			"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests," +
				"moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd",
		},
	}, layer)
}

func (w *world) debianLayer(ctx context.Context) (v1.Layer, error) {
	path, err := w.debianTree(ctx)
	if err != nil {
		return nil, err
	}
	return layerFile(path)
}

// nativeIndex is an index of one image, of the machine's own platform.
func (w *world) nativeIndex(config v1.Config, layers ...v1.Layer) (v1.ImageIndex, error) {
	_, platform := w.nativeArch()
	img, err := imageOf(platform, config, layers...)
	if err != nil {
		return nil, err
	}
	return indexOf(platformImage{platform, img}), nil
}
