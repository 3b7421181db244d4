package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// toolModules are the modules whose tool lines make the part tools, below the
// clone. CI runners and services stand apart because their dependencies
// contradict buildx's.
var toolModules = []string{buildkitTools, "tools/ci"}

const (
	buildkitTools = "tools"          // buildkitd and what else goes into images
	serviceTools  = "tools/services" // built with the services: the demo needs none
)

// versionVars are the variables that tell a program its version. What asks a
// builder's version takes one without for an ancient one.
var versionVars = []struct{ module, variable string }{
	{"github.com/moby/buildkit", "github.com/moby/buildkit/version.Version"},
	{"github.com/docker/buildx", "github.com/docker/buildx/version.Version"},
	{"github.com/distribution/distribution/v3", "github.com/distribution/distribution/v3/version.version"},
	{"github.com/google/go-containerregistry", "github.com/google/go-containerregistry/cmd/crane/cmd.Version"},
	{"github.com/Shopify/toxiproxy/v2", "github.com/Shopify/toxiproxy/v2.Version"},
	{"github.com/nektos/act", "main.version"},
}

// toolNames renames programs whose package has a name too general for a PATH.
var toolNames = map[string]string{"server": "toxiproxy-server"}

// modFile is what `go mod edit -json` says of a go.mod.
type modFile struct {
	Require []struct{ Path, Version string }
	Tool    []struct{ Path string }
}

// programs are the names of the module's programs, as they are installed.
func (m modFile) programs() []string {
	var names []string
	for _, t := range m.Tool {
		name := filepath.Base(t.Path)
		if to, ok := toolNames[name]; ok {
			name = to
		}
		names = append(names, name)
	}
	return names
}

// ldflags are the linker's flags that set the versions of the module's programs.
func (m modFile) ldflags() string {
	flags := []string{"-s", "-w"}
	for _, v := range versionVars {
		for _, r := range m.Require {
			if r.Path == v.module {
				flags = append(flags, "-X", v.variable+"="+r.Version)
			}
		}
	}
	return strings.Join(flags, " ")
}

// toolsRecipe changes when a module's programs would: with the module, the
// compiler or how they are linked.
func (w *world) toolsRecipe(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, versionVars, toolNames)
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(w.repo, module, name))
		if err != nil {
			return "", err
		}
		h.Write(raw)
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16], nil
}

// stale are those modules whose programs are not there as they would be built.
func (w *world) stale(modules ...string) ([]string, error) {
	var list []string
	for _, module := range modules {
		recipe, err := w.toolsRecipe(module)
		if err != nil {
			return nil, err
		}
		if !w.stamped(toolsStamp(module), recipe) {
			list = append(list, module)
		}
	}
	return list, nil
}

// toolsStamp is the name under which a module's recipe is kept.
func toolsStamp(module string) string { return strings.ReplaceAll(module, "/", "-") }

// built is whether the programs of all these modules are there.
func (w *world) built(modules ...string) (string, bool) {
	stale, err := w.stale(modules...)
	if err != nil {
		return err.Error(), false
	}
	if len(stale) > 0 {
		return "not built, or from other sources: " + strings.Join(stale, " "), false
	}
	return w.path("bin"), true
}

// build builds the programs of those modules that changed.
func (w *world) build(ctx context.Context, modules ...string) error {
	stale, err := w.stale(modules...)
	if err != nil {
		return err
	}
	for _, module := range stale {
		if err := w.buildTools(ctx, filepath.Join(w.repo, module)); err != nil {
			return err
		}
		recipe, err := w.toolsRecipe(module)
		if err != nil {
			return err
		}
		if err := w.stamp(toolsStamp(module), recipe); err != nil {
			return err
		}
	}
	return nil
}

func toolsReady(_ context.Context, w *world) (string, bool) { return w.built(toolModules...) }

func toolsUp(ctx context.Context, w *world) error {
	if err := w.build(ctx, toolModules...); err != nil {
		return err
	}
	// docker finds buildx as its plugin
	plugin := filepath.Join(w.dockerConfig(), "cli-plugins", "docker-buildx")
	return symlink(w.bin("buildx"), plugin)
}

// buildTools builds a module's programs beside bin and moves them in, so that
// a program that runs meanwhile keeps its file.
func (w *world) buildTools(ctx context.Context, dir string) error {
	edit := w.cmd(ctx, nil, "go", "mod", "edit", "-json")
	edit.Dir = dir
	raw, err := w.run(edit)
	if err != nil {
		return err
	}
	var mod modFile
	if err := json.Unmarshal(raw, &mod); err != nil {
		return fmt.Errorf("read %s/go.mod: %w", dir, err)
	}
	next := w.cache("bin.next")
	defer os.RemoveAll(next) // its files were moved or are of no use
	// CGO off makes the programs static: buildkitd runs in an image, too. No
	// -trimpath, since it would not share the build cache of other builds here.
	build := w.cmd(ctx, []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="}, "go", "build", "-ldflags", mod.ldflags(), "-o", next+"/", "tool")
	build.Dir = dir
	if _, err := w.run(build); err != nil {
		return err
	}
	built, err := os.ReadDir(next)
	if err != nil {
		return err
	}
	for _, f := range built {
		name := f.Name()
		if to, ok := toolNames[name]; ok {
			name = to
		}
		if !slices.Contains(mod.programs(), name) {
			return fmt.Errorf("built %s, which is no tool of %s", name, dir)
		}
		if err := os.Rename(filepath.Join(next, f.Name()), w.bin(name)); err != nil {
			return err
		}
	}
	return nil
}

// stamp notes that a part was made by a recipe.
func (w *world) stamp(part, recipe string) error {
	return writeFile(w.state(part+".recipe"), []byte(recipe+"\n"), 0o644)
}

// stamped is whether the part was made by this recipe.
func (w *world) stamped(part, recipe string) bool {
	raw, err := os.ReadFile(w.state(part + ".recipe"))
	return err == nil && strings.TrimSpace(string(raw)) == recipe
}

// symlink makes or replaces a link.
func symlink(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}
