package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// layout is where everything lies, below one directory outside every clone.
type layout struct {
	dir string
}

// newLayout finds the directory: HULLWRIGHT_ENV_DIR, else hullwright/env in
// the user's cache.
func newLayout(environ map[string]string) (layout, error) {
	dir := environ["HULLWRIGHT_ENV_DIR"]
	if dir == "" {
		cache := environ["XDG_CACHE_HOME"]
		if cache == "" {
			if environ["HOME"] == "" {
				return layout{}, errdefs.New(errdefs.Environment, "no HOME to keep the environment in").
					WithHint("set HULLWRIGHT_ENV_DIR")
			}
			cache = filepath.Join(environ["HOME"], ".cache")
		}
		dir = filepath.Join(cache, "hullwright", "env")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, err
	}
	l := layout{dir: dir}
	// A unix socket's path has at most 107 characters, and containerd appends
	// its own names to the engine's directory.
	if n := len(l.engine("run/containerd/containerd-debug.sock")); n > 107 {
		return layout{}, errdefs.New(errdefs.Environment, "directory %s is %d characters too long for sockets below it", dir, n-107).
			WithHint("set HULLWRIGHT_ENV_DIR to a shorter path")
	}
	return l, nil
}

func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

func (l layout) bin(name string) string      { return l.path("bin", name) }
func (l layout) cache(name string) string    { return l.path("cache", name) }
func (l layout) state(name string) string    { return l.path("state", name) }
func (l layout) log(name string) string      { return l.path("log", name+".log") }
func (l layout) engine(name string) string   { return l.path("engine", name) }
func (l layout) registry(name string) string { return l.path("registry", name) }

// socket is the address of the engine that env starts.
func (l layout) socket() string { return "unix://" + l.engine("docker.sock") }

// dockerConfig is the DOCKER_CONFIG of the environment.
func (l layout) dockerConfig() string { return l.path("docker") }

// buildxConfig is the BUILDX_CONFIG of the environment.
func (l layout) buildxConfig() string { return l.path("buildx") }

// buildkitdConfig is the buildkitd.toml that knows the registry. It lies where
// buildx looks for the configuration of a builder that names none.
func (l layout) buildkitdConfig() string {
	return filepath.Join(l.buildxConfig(), "buildkitd.default.toml")
}

// make makes the directories that several parts write to.
func (l layout) make() error {
	for _, dir := range []string{"bin", "cache", "state", "log", "engine", "registry", "docker", "buildx"} {
		if err := os.MkdirAll(l.path(dir), 0o755); err != nil {
			return fmt.Errorf("make environment: %w", err)
		}
	}
	return nil
}

// writeFile writes a file whole or leaves the old one.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicwriter.WriteFile(path, data, mode)
}
