package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// world is what a step may touch.
type world struct {
	layout
	repo    string // the clone's root, where tools/ lies
	environ map[string]string
	host    host
	out     io.Writer // one line a step
}

// host is the machine, as far as a step's choice depends on it.
type host struct {
	root     bool
	debian   bool   // an ID or ID_LIKE of debian, with apt-get
	codename string // bookworm
}

func newWorld(environ []string, stdout io.Writer) (*world, error) {
	vars := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	l, err := newLayout(vars)
	if err != nil {
		return nil, err
	}
	repo, err := findRepo()
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	h := parseRelease(string(release))
	h.root = os.Geteuid() == 0
	return &world{layout: l, repo: repo, environ: vars, host: h, out: stdout}, nil
}

// parseRelease reads an os-release file.
func parseRelease(text string) host {
	var h host
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		v = strings.Trim(v, `"'`)
		switch k {
		case "ID":
			h.debian = h.debian || v == "debian"
		case "VERSION_CODENAME":
			h.codename = v
		}
	}
	return h
}

// findRepo is the root of the clone: the nearest parent with a tools module.
func findRepo() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "tools", "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", errdefs.New(errdefs.Environment, "no tools/go.mod in %s or above it", dir).
				WithHint("run env from a clone of the repository")
		}
	}
}

// lock waits for every other env that changes the same directory.
func (w *world) lock(ctx context.Context) (unlock func(), err error) {
	if err := w.make(); err != nil {
		return nil, err
	}
	l := flock.New(w.path("lock"))
	ok, err := l.TryLock()
	if err == nil && !ok {
		fmt.Fprintf(w.out, "waiting for another env that holds %s\n", l.Path())
		_, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return func() { l.Close() }, nil
}

// has is whether a program is in PATH or, as Debian's daemons for root are, in
// the sbin directories that some users' PATH lacks.
func (w *world) has(program string) bool { return w.find(program) != "" }

func (w *world) find(program string) string {
	for _, dir := range append(filepath.SplitList(w.environ["PATH"]), "/usr/local/sbin", "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// cmd is a command with the machine's variables, changed by set ("K=V").
func (w *world) cmd(ctx context.Context, set []string, name string, args ...string) *exec.Cmd {
	if path := w.find(name); path != "" && !strings.Contains(name, "/") {
		name = path
	}
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(mergedEnviron(w.environ), set...)
	c.WaitDelay = 5 * time.Second
	return c
}

// run runs a command and gives its output; an error holds the end of what it
// printed.
func (w *world) run(c *exec.Cmd) ([]byte, error) {
	var stdout, both bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = io.MultiWriter(&stdout, &both)
	}
	c.Stderr = &both
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w%s", filepath.Base(c.Path)+" "+strings.Join(firstArgs(c.Args), " "), err, tail(both.Bytes(), 15))
	}
	return stdout.Bytes(), nil
}

// firstArgs are enough of a command line to know it again.
func firstArgs(args []string) []string {
	return args[1:min(len(args), 4)]
}

// tail is the last lines of a log, indented below an error.
func tail(log []byte, lines int) string {
	text := strings.TrimSpace(string(log))
	if text == "" {
		return ""
	}
	all := strings.Split(text, "\n")
	all = all[max(0, len(all)-lines):]
	return "\n  " + strings.Join(all, "\n  ")
}
