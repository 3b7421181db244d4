package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// scannerDir is the package of the SBOM generator, below the clone.
const scannerDir = "test/env/scanner"

// scannerSource is all that the generator is compiled of.
func (w *world) scannerSource() ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(w.repo, scannerDir, "*.go"))
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all.Write(raw)
	}
	return all.Bytes(), nil
}

// scannerBase is the image that BuildKit runs where an SBOM is asked for and no
// generator is named.
func scannerBase(ctx context.Context, w *world) (v1.ImageIndex, error) {
	var images []platformImage
	for _, a := range archs {
		img, err := w.scannerImage(ctx, a.platform)
		if err != nil {
			return nil, err
		}
		images = append(images, platformImage{a.platform, img})
	}
	return indexOf(images...), nil
}

func (w *world) scannerImage(ctx context.Context, p v1.Platform) (v1.Image, error) {
	dir, err := os.MkdirTemp(w.path("cache"), "scanner-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // its only file is read by then
	program := filepath.Join(dir, "scanner")
	set := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=linux", "GOARCH=" + p.Architecture}
	if p.Architecture == "arm" {
		set = append(set, "GOARM="+p.Variant[1:])
	}
	build := w.cmd(ctx, set, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "./"+scannerDir)
	build.Dir = w.repo
	if _, err := w.run(build); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf([]entry{{name: "scanner", mode: 0o755, data: raw}})
	if err != nil {
		return nil, err
	}
	return imageOf(p, v1.Config{Entrypoint: []string{"/scanner"}}, layer)
}
