package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// workspace is a checkout as a CI runner makes one: the workflows and examples
// of this tree in one commit on main. It has a home, a temporary directory, a
// store of builders and a place in the registry of its own.
type workspace struct {
	dir      string
	home     string
	tmp      string
	registry string // host/unique, below which the images go
	environ  []string
	sha      string // of the commit

	emulators []string // that the machine had before
}

// newWorkspace makes a workspace from this tree's .github and examples and from
// overlay, a folder that may be empty. When the test ends nothing may be left
// of the builders, emulators and files that it made.
func newWorkspace(t *testing.T, overlay, origin string) *workspace {
	t.Helper()
	needEnvironment(t)
	base := t.TempDir()
	host := os.Getenv("HULLWRIGHT_TEST_REGISTRY")
	w := &workspace{
		dir:       filepath.Join(base, "checkout"),
		home:      filepath.Join(base, "home"),
		tmp:       filepath.Join(base, "tmp"),
		registry:  host + "/" + unique(),
		emulators: emulators(),
	}
	for _, dir := range []string{w.dir, w.home, w.tmp, w.store()} {
		check(t, os.MkdirAll(dir, 0o755))
	}
	config, err := os.ReadFile(os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(w.store(), "buildkitd.default.toml"), config, 0o644))
	w.environ = w.newEnviron()

	check(t, os.CopyFS(filepath.Join(w.dir, ".github"), os.DirFS("../.github")))
	check(t, os.CopyFS(filepath.Join(w.dir, "examples"), os.DirFS("../examples")))
	if overlay != "" {
		check(t, os.CopyFS(w.dir, os.DirFS(overlay)))
	}
	w.git(t, "init", "--quiet", "--initial-branch=main")
	w.git(t, "config", "user.name", "Ada")
	w.git(t, "config", "user.email", "ada@example.com")
	w.git(t, "remote", "add", "origin", origin)
	w.git(t, "add", "--all")
	w.git(t, "commit", "--quiet", "--message=first")
	w.sha = w.git(t, "rev-parse", "HEAD")
	t.Cleanup(func() { w.nothingLeft(t) })
	return w
}

func (w *workspace) store() string { return filepath.Join(w.home, "buildx") }

// newEnviron is the environment of a runner's machine: little, so that nothing
// of the CI system that runs these tests reaches the one that they run.
func (w *workspace) newEnviron() []string {
	environ := []string{
		"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + w.home,
		"TMPDIR=" + w.tmp,
		"BUILDX_CONFIG=" + w.store(),
		"HULLWRIGHT_BINARY=" + filepath.Join(programs, "hullwright"),
		// The engine of the environment has no other network than the host's,
		// and the registry is there too.
		"HULLWRIGHT_DRIVER_OPTS=network=host",
		"GIT_CONFIG_GLOBAL=/dev/null",
	}
	for _, key := range []string{"DOCKER_HOST", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v := os.Getenv(key); v != "" {
			environ = append(environ, key+"="+v)
		}
	}
	return environ
}

// outcome is how a command ended, and what it said on both streams.
type outcome struct {
	code int
	out  string
}

// command is a program to run in a workspace.
type command struct {
	argv    []string
	environ []string // added to the workspace's
	within  time.Duration
	// When what the command says matches interruptAt it gets a SIGINT.
	interruptAt *regexp.Regexp
}

// run runs a command. One that does not end in time is interrupted, as a runner
// does, so that it cleans up, and fails the test.
func (w *workspace) run(t *testing.T, c command) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), c.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.program(t, c.argv[0]), c.argv[1:]...)
	cmd.Dir = w.dir
	cmd.Env = slices.Concat(w.environ, c.environ)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	said := &watch{pattern: c.interruptAt, matched: func() { cmd.Process.Signal(os.Interrupt) }}
	cmd.Stdout, cmd.Stderr = said, said

	begun := time.Now()
	err := cmd.Run()
	t.Logf("%s: %s", strings.Join(c.argv, " "), time.Since(begun).Round(100*time.Millisecond))
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v (deadline %s)\n%s", c.argv[0], err, c.within, said.String())
	}
	if said.pattern != nil && !said.seen {
		t.Fatalf("%s: ended before it said %s\n%s", c.argv[0], said.pattern, said.String())
	}
	return outcome{code: cmd.ProcessState.ExitCode(), out: said.String()}
}

// program finds a program in the workspace's PATH.
func (w *workspace) program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append([]string{programs}, filepath.SplitList(os.Getenv("PATH"))...) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	t.Fatalf("no program %s in PATH", name)
	return ""
}

// watch keeps what a command says, and calls matched once, as soon as a line of
// it matches. os/exec writes from one goroutine where both streams are the same.
type watch struct {
	said    bytes.Buffer   // no embedding: its ReadFrom would pass Write by
	pattern *regexp.Regexp // nil is never
	matched func()
	seen    bool
}

func (s *watch) Write(p []byte) (int, error) {
	n, err := s.said.Write(p)
	if s.pattern != nil && !s.seen && s.pattern.Match(s.said.Bytes()) {
		s.seen = true
		s.matched()
	}
	return n, err
}

func (s *watch) String() string { return s.said.String() }

func (w *workspace) git(t *testing.T, args ...string) string {
	t.Helper()
	got := w.run(t, command{argv: append([]string{"git"}, args...), within: 20 * time.Second})
	if got.code != 0 {
		t.Fatalf("git %s: exit code %d\n%s", args[0], got.code, got.out)
	}
	return strings.TrimSpace(got.out)
}

// ok checks that a command ended well.
func (o outcome) ok(t *testing.T) outcome {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("exit code %d, want 0\n%s", o.code, o.out)
	}
	return o
}

// says checks that each text is in what a command said.
func (o outcome) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.out, text) {
			t.Errorf("the log lacks %q", text)
		}
	}
	if t.Failed() {
		t.Fatalf("the log:\n%s", o.out)
	}
}

// nothingLeft checks that of builders, emulators and files nothing is left.
func (w *workspace) nothingLeft(t *testing.T) {
	t.Helper()
	if left := except(emulators(), w.emulators); len(left) > 0 {
		t.Errorf("emulators were left registered: %v", left)
	}
	for _, pattern := range []string{filepath.Join(w.tmp, "hullwright-*"), filepath.Join(w.store(), "instances", "*")} {
		left, err := filepath.Glob(pattern)
		check(t, err)
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// gone checks that nothing is left of the containers and volumes of builders.
func gone(t *testing.T, builders ...string) {
	t.Helper()
	containers, err := engine("ps", "--all", "--format", "{{.Names}}")
	check(t, err)
	volumes, err := engine("volume", "ls", "--format", "{{.Name}}")
	check(t, err)
	for _, b := range builders {
		for _, name := range append(containers, volumes...) {
			if strings.HasPrefix(name, "buildx_buildkit_"+b) {
				t.Errorf("the builder %s was left behind: %s", b, name)
			}
		}
	}
}

func emulators() []string {
	names, _ := filepath.Glob("/proc/sys/fs/binfmt_misc/qemu-*") // the pattern is well formed
	return names
}

func except(list, known []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(known, s) })
}

// crane asks the registry as any client does.
func (w *workspace) crane(t *testing.T, args ...string) outcome {
	t.Helper()
	return w.run(t, command{argv: append([]string{"crane"}, args...), within: 30 * time.Second})
}

// digest is the digest that a reference leads to.
func (w *workspace) digest(t *testing.T, ref string) string {
	t.Helper()
	return strings.TrimSpace(w.crane(t, "digest", ref).ok(t).out)
}

// holds checks that a repository has these tags and no others, all of one
// index, and that the index has these platforms. It returns the digest.
func (w *workspace) holds(t *testing.T, repository string, tags, platforms []string) string {
	t.Helper()
	got := strings.Fields(w.crane(t, "ls", repository).ok(t).out)
	got = slices.DeleteFunc(got, func(tag string) bool { return tag == "cache" })
	if diff := unequal(got, tags); diff != "" {
		t.Fatalf("tags of %s: %s", repository, diff)
	}
	digest := w.digest(t, repository+":"+tags[0])
	for _, tag := range tags[1:] {
		if other := w.digest(t, repository+":"+tag); other != digest {
			t.Errorf("tag %s leads to %s, and %s to %s", tags[0], digest, tag, other)
		}
	}
	if diff := unequal(w.platforms(t, repository+"@"+digest), platforms); diff != "" {
		t.Errorf("platforms of %s: %s", repository, diff)
	}
	return digest
}

// platforms are those of an index, without attestations.
func (w *workspace) platforms(t *testing.T, ref string) []string {
	t.Helper()
	var index struct {
		Manifests []struct {
			Platform struct{ OS, Architecture, Variant string }
		}
	}
	check(t, json.Unmarshal([]byte(w.crane(t, "manifest", ref).ok(t).out), &index))
	var platforms []string
	for _, m := range index.Manifests {
		if p := m.Platform; p.OS != "unknown" {
			platforms = append(platforms, strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/"))
		}
	}
	return platforms
}

// unequal says how two sets differ; it is empty where they do not.
func unequal(got, want []string) string {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return ""
	}
	return "got " + strings.Join(got, " ") + ", want " + strings.Join(want, " ")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
