package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// lab is the place where everything is measured: a temporary directory, a
// registry with nothing in it, links to it that are slow where a row asks for
// that, and one builder that all programs share. close ends all of it.
type lab struct {
	n        int
	verbose  bool
	out      io.Writer
	bin      string   // directory of our programs
	dir      string   // temporary
	env      []string // of every program
	registry string   // address
	links    *toxiproxy
	builder  string // name
	config   string // the environment's buildkitd.toml

	undo []func() error // newest last
}

// passed are the variables that programs see of ours. The others stay out, so
// that a run in CI measures the same as one on a laptop.
var passed = []string{"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"}

// newLab makes the directory. It is an errdefs.Environment outside of the
// tests' environment.
func newLab(o options, environ []string, out io.Writer) (*lab, error) {
	vars := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	if vars["HULLWRIGHT_TEST_ENV"] == "" {
		return nil, errdefs.New(errdefs.Environment, "outside of the tests' environment").
			WithHint("make bench, or go run ./test/env exec -- go run ./test/bench")
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"hullwright", "metadata"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return nil, errdefs.New(errdefs.Environment, "program to measure: %w", err).WithHint("make build")
		}
	}
	l := &lab{n: o.n, verbose: o.verbose, out: out, bin: bin, config: vars["HULLWRIGHT_TEST_BUILDKITD_TOML"]}
	if l.dir, err = os.MkdirTemp("", "hullwright-bench-"); err != nil {
		return nil, err
	}
	l.later(func() error { return os.RemoveAll(l.dir) })
	for _, k := range passed {
		if v, ok := vars[k]; ok {
			l.env = append(l.env, k+"="+v)
		}
	}
	l.env = append(l.env, "TMPDIR="+l.dir, "BUILDX_CONFIG="+filepath.Join(l.dir, "buildx"))
	return l, nil
}

// up starts what builds need.
func (l *lab) up(ctx context.Context) error {
	var err error
	// Not the environment's registry: what is pushed here goes with the lab.
	if l.registry, err = l.startRegistry(ctx, "registry"); err != nil {
		return err
	}
	if err := l.upLinks(ctx); err != nil {
		return err
	}
	return l.upBuilder(ctx)
}

// later has do done by close, before all that was asked for earlier.
func (l *lab) later(do func() error) { l.undo = append(l.undo, do) }

// close undoes everything, newest first, whatever fails on the way.
func (l *lab) close() error {
	var errs []error
	for _, do := range slices.Backward(l.undo) {
		errs = append(errs, do())
	}
	l.undo = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// upBuilder makes the builder, and has hullwright boot it, which registers
// emulators for the platforms that this machine does not run.
func (l *lab) upBuilder(ctx context.Context) error {
	config, err := os.ReadFile(l.config)
	if err != nil {
		return errdefs.New(errdefs.Environment, "buildkitd.toml of the environment: %w", err)
	}
	if err := l.write(filepath.Join("buildx", "buildkitd.default.toml"), string(config)); err != nil {
		return err
	}
	name := "bench-" + l.nonce()
	l.sayf("making builder %s", name)
	l.later(func() error { return l.runLast(l.remove(name)) })
	if _, err := l.run(ctx, l.create(name)); err != nil {
		return err
	}
	state := filepath.Join(l.dir, "builder.json")
	l.later(func() error {
		if _, err := os.Stat(state); errors.Is(err, os.ErrNotExist) {
			return nil // it came to nothing
		}
		return l.runLast(l.teardown(state))
	})
	if _, err := l.run(ctx, l.setup(name, state, "--platforms", threePlatforms)); err != nil {
		return err
	}
	l.builder = name
	return nil
}

// context makes a build context, a git repository as a checkout is.
func (l *lab) context(name, dockerfile string, files map[string]string) (string, error) {
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	all["Dockerfile"] = dockerfile
	for file, text := range all {
		if err := l.write(filepath.Join(name, file), text); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(l.dir, name)
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch", "main"},
		{"add", "."},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "--message", name},
	} {
		git := exec.Command("git", args...)
		git.Dir, git.Env = dir, l.env
		if out, err := git.CombinedOutput(); err != nil {
			return "", errdefs.New(errdefs.Environment, "git %s: %w: %s", args[0], err, out)
		}
	}
	return dir, nil
}

// write writes a file below the lab's directory.
func (l *lab) write(path, text string) error {
	path = filepath.Join(l.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// recordedEvent is the event of the metadata step, from the root of the clone.
const recordedEvent = "test/events/github/pull-request.json"

// pullRequest is the environment of a job on GitHub for a pull request.
func (l *lab) pullRequest() ([]string, error) {
	raw, err := os.ReadFile(filepath.FromSlash(recordedEvent))
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "recorded event: %w", err).WithHint("run bench at the root of the clone")
	}
	var event struct {
		Environ map[string]string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, fmt.Errorf("%s: %w", recordedEvent, err)
	}
	files := map[string]string{"GITHUB_EVENT_PATH": string(event.Payload), "GITHUB_OUTPUT": "", "GITHUB_ENV": "", "GITHUB_STATE": ""}
	for name, text := range files {
		if err := l.write(name, text); err != nil {
			return nil, err
		}
		event.Environ[name] = filepath.Join(l.dir, name)
	}
	var environ []string
	for k, v := range event.Environ {
		environ = append(environ, k+"="+v)
	}
	return environ, nil
}

// nonce is a word that was never there before.
func (l *lab) nonce() string { return strings.ToLower(rand.Text()[:12]) }

func (l *lab) sayf(format string, args ...any) { fmt.Fprintf(l.out, "bench: "+format+"\n", args...) }

func (l *lab) detailf(format string, args ...any) {
	if l.verbose {
		fmt.Fprintf(l.out, "  "+format+"\n", args...)
	}
}
