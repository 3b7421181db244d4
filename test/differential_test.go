package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
)

// TestDifferential builds every case of differential/ by buildx and by
// hullwright, with one BuildKit, and holds what came of it against each other:
// images, files, metadata, standard output, and the request that BuildKit got.
// They are equal, or the case declares the difference, and docs/compatibility.md
// tells it. To write a case begin with [readCase].
func TestDifferential(t *testing.T) {
	needEnvironment(t)
	files, err := filepath.Glob("differential/*.txtar")
	check(t, err)
	if len(files) < 60 {
		t.Fatalf("there are %d cases", len(files))
	}
	told, err := os.ReadFile("../docs/compatibility.md")
	check(t, err)
	for _, d := range always {
		isTold(t, "every case", d, string(told))
	}
	lab := newLab(t)
	for _, file := range files {
		c := readCase(t, file)
		for _, d := range c.differs {
			isTold(t, file, d, string(told))
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lab.compare(t, c)
		})
	}
}

// isTold checks that docs/compatibility.md has the words of a difference.
func isTold(t *testing.T, where string, d difference, told string) {
	t.Helper()
	if !strings.Contains(oneLine(told), oneLine(d.reason)) {
		t.Errorf("%s: docs/compatibility.md does not say %q", where, d.reason)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// lab is what the cases share: a builder that both programs find in a store of
// their own, and a server of git repositories and files.
type lab struct {
	dir     string
	environ []string
	history *client.Client
	server  *httptest.Server
	served  string // the folder that server serves, one folder a case
	agent   string // socket of an ssh agent with one key
	run     string // names no other run uses begin with it
}

const differentialBuilder = "differential"

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), run: unique()}
	for _, dir := range []string{"store", "home", "served", "tmp"} {
		check(t, os.Mkdir(filepath.Join(l.dir, dir), 0o755))
	}
	l.served = filepath.Join(l.dir, "served")
	l.agent = filepath.Join(l.dir, "agent.sock")
	l.environ = l.newEnviron()
	l.startDaemon(t)
	l.startAgent(t)
	git, err := exec.Command("git", "--exec-path").Output()
	check(t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(git)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + l.served, "GIT_HTTP_EXPORT_ALL=1"},
	}
	static := http.FileServer(http.Dir(l.served))
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".git/") {
			backend.ServeHTTP(w, r)
			return
		}
		static.ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	return l
}

// newEnviron is the environment of both programs: little, so that nothing of the
// CI system that runs this test reaches them.
func (l *lab) newEnviron() []string {
	return []string{
		"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + filepath.Join(l.dir, "home"),
		"TMPDIR=" + filepath.Join(l.dir, "tmp"),
		"BUILDX_CONFIG=" + filepath.Join(l.dir, "store"),
		"DOCKER_CONFIG=" + os.Getenv("DOCKER_CONFIG"),
		"DOCKER_HOST=" + os.Getenv("DOCKER_HOST"),
		"SSH_AUTH_SOCK=" + l.agent,
		"GIT_CONFIG_GLOBAL=/dev/null",
		// As build-push-action sets it.
		"BUILDX_METADATA_WARNINGS=true",
	}
}

// startDaemon starts a BuildKit that allows all entitlements and claims
// platforms, of which nothing is run here, so that no emulator is asked for.
func (l *lab) startDaemon(t *testing.T) {
	t.Helper()
	config, err := os.ReadFile(os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"))
	check(t, err)
	// Keys of no table come before the first one.
	config = slices.Concat([]byte("insecure-entitlements = [\"network.host\", \"security.insecure\"]\n"), config, []byte(`
[worker.oci]
  networkMode = "host"
  gc = false
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
`))
	path := filepath.Join(l.dir, "buildkitd.toml")
	check(t, os.WriteFile(path, config, 0o644))
	address := "unix://" + filepath.Join(l.dir, "buildkitd.sock")
	l.background(t, "buildkitd", "--config", path, "--addr", address, "--root", filepath.Join(l.dir, "root"))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.history, err = client.New(ctx, address)
	check(t, err)
	t.Cleanup(func() { l.history.Close() })
	check(t, l.history.Wait(ctx))
	create := exec.CommandContext(ctx, "buildx", "create", "--name", differentialBuilder, "--driver", "remote", address)
	create.Env = l.environ
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("buildx create: %v\n%s", err, out)
	}
	l.emulate(t)
}

// emulate registers emulators once for all cases.
func (l *lab) emulate(t *testing.T) {
	t.Helper()
	state := filepath.Join(l.dir, "state.json")
	hullwright := func(args ...string) {
		cmd := exec.Command(filepath.Join(programs, "hullwright"), args...)
		cmd.Env = l.environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("hullwright %s: %v\n%s", args[0], err, out)
		}
	}
	t.Cleanup(func() { hullwright("teardown", state) })
	hullwright("setup", "--name", differentialBuilder, "--platforms", "linux/amd64,linux/arm64,linux/arm/v7", "--state", state)
}

// startAgent starts an ssh agent with one key.
func (l *lab) startAgent(t *testing.T) {
	t.Helper()
	l.background(t, "ssh-agent", "-D", "-a", l.agent)
	for range 100 {
		if _, err := os.Stat(l.agent); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	key := filepath.Join(l.dir, "key")
	for _, argv := range [][]string{
		{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key},
		{"ssh-add", "-q", key},
	} {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = l.environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", argv[0], err, out)
		}
	}
}

// background runs a program until the test ends, which is a fault where it ends
// before.
func (l *lab) background(t *testing.T, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = l.environ
	cmd.Stdout, cmd.Stderr = &said, &said
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case err := <-ended:
			t.Errorf("%s ended: %v\n%s", name, err, tail(said.String(), 40))
			return
		default:
		}
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
}

// tail is the end of a text.
func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// compare builds a case by both and tells where they differ.
func (l *lab) compare(t *testing.T, c testCase) {
	served := filepath.Join(l.served, c.name)
	l.serve(t, c, served)
	before := l.warm(t, c)
	// buildx is first: what hullwright builds then comes from the same cache,
	// with the same times.
	theirs := l.newSide(t, c, "theirs")
	theirs.before = before
	want := theirs.build(t, theirs.buildx())
	ours := l.newSide(t, c, "hullwr") // as long, so that sizes of what names it are equal
	ours.before = before
	got := ours.build(t, ours.hullwright())
	if c.fails != (want.facts["exit"] == "fails") {
		t.Fatalf("buildx ends otherwise than the case says:\n%s", tail(want.said, 20))
	}
	declared := make([]bool, len(c.differs))
	var unlike []string
	for _, d := range differences(want.facts, got.facts) {
		known := func(k difference) bool { return k.path.MatchString(d.path) }
		if c.fails && strings.HasPrefix(d.path, "files") {
			continue // what was exported when it failed is a matter of chance
		}
		if i := slices.IndexFunc(c.differs, known); i >= 0 {
			declared[i] = true
			continue
		}
		if !slices.ContainsFunc(always, known) {
			unlike = append(unlike, d.String())
		}
	}
	for i, d := range c.differs {
		if !declared[i] {
			t.Errorf("nothing differs at %s: take the line away", d.path)
		}
	}
	if len(unlike) > 0 {
		t.Errorf("they differ:\n  %s", strings.Join(unlike, "\n  "))
		if want.facts["exit"] != got.facts["exit"] {
			t.Logf("hullwright said:\n%s", tail(got.said, 20))
		}
	}
}

// warm builds what a case says is there before, and gives the layers that it
// pushed.
func (l *lab) warm(t *testing.T, c testCase) map[string]bool {
	t.Helper()
	if c.warm == nil {
		return nil
	}
	s := l.newSide(t, c, "warm")
	s.inputs, s.c.told, s.c.fresh = c.warm, false, false
	got := s.build(t, s.buildx())
	if got.facts["exit"] != "0" {
		t.Fatalf("the build before both failed:\n%s", tail(got.said, 20))
	}
	layers := map[string]bool{}
	for path, value := range got.facts {
		if layerDigest.MatchString(path) {
			layers[value] = true
		}
	}
	if c.told && len(layers) == 0 {
		t.Fatal("the build before both pushed no layers")
	}
	return layers
}

// always are differences of every case.
var always = []difference{
	{regexp.MustCompile(`/statement/subject/(\d+/name|[1-9]\d*)$`), "the subject of an attestation is named by repository"},
	{regexp.MustCompile(`^request/frontend$|/(request|parameters)/root(/|$)`), "provenance repeats the request under"},
}

// unlike is a fact that differs.
type unlike struct {
	path           string
	buildx, hullwr *string // nil where there is none
}

func (u unlike) String() string {
	return fmt.Sprintf("%s: buildx %s, hullwright %s", u.path, shown(u.buildx), shown(u.hullwr))
}

func shown(value *string) string {
	if value == nil {
		return "none"
	}
	return fmt.Sprintf("%.300q", *value)
}

// differences are the facts that differ: only how they end where they end
// otherwise. An image, a file or a part that one side lacks is one of them.
func differences(buildx, hullwr facts) []unlike {
	var list []unlike
	seen := map[string]bool{}
	for _, path := range union(buildx, hullwr) {
		b, inBuildx := buildx[path]
		h, inHullwr := hullwr[path]
		if b == h && inBuildx == inHullwr || path != "exit" && buildx["exit"] != hullwr["exit"] {
			continue
		}
		d := unlike{path: path, buildx: &b, hullwr: &h}
		if !inBuildx {
			d.path, d.buildx = missing(buildx, path), nil
		}
		if !inHullwr {
			d.path, d.hullwr = missing(hullwr, path), nil
		}
		if !seen[d.path] {
			list = append(list, d)
		}
		seen[d.path] = true
	}
	return list
}

// missing is the outermost part of a path below which there is no fact.
func missing(f facts, path string) string {
	for i, r := range path {
		if r == '/' && lacks(f, path[:i]) {
			return path[:i]
		}
	}
	return path
}

func lacks(f facts, part string) bool {
	for path := range f {
		if path == part || strings.HasPrefix(path, part+"/") {
			return false
		}
	}
	return true
}

func union(a, b facts) []string {
	var paths []string
	for path := range a {
		paths = append(paths, path)
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// serve puts a case's files below the server, as they are, as a tar and as a
// git repository.
func (l *lab) serve(t *testing.T, c testCase, dir string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	c.write(t, dir)
	check(t, os.WriteFile(filepath.Join(dir, "context.tar"), tarOf(t, c), 0o644))
	if !c.served {
		return
	}
	work := filepath.Join(l.dir, "checkout-"+c.name)
	check(t, os.MkdirAll(work, 0o755))
	c.write(t, work)
	commit(t, work)
	clone := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--bare", work, filepath.Join(dir, "repo.git"))
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
}

// commit makes a directory a git repository with one commit, the same wherever
// it is.
func commit(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"remote", "add", "origin", "https://git.example/acme/app.git"},
		{"add", "--all"},
		{"commit", "--quiet", "--message=first"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2024-05-06T07:08:09Z",
			"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2024-05-06T07:08:09Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}

// side is a case as one of the programs builds it: in a directory and with
// repositories of its own.
type side struct {
	lab     *lab
	c       testCase
	name    string
	inputs  []given
	base    string          // directory of all that is the side's
	work    string          // working directory, with the case's files
	repo    string          // $REPO
	before  map[string]bool // layers that were there before
	environ []string
}

func (l *lab) newSide(t *testing.T, c testCase, name string) *side {
	t.Helper()
	s := &side{lab: l, c: c, name: name, inputs: c.inputs, base: filepath.Join(l.dir, "cases", c.name, name)}
	s.work = filepath.Join(s.base, "work")
	s.repo = fmt.Sprintf("%s/%s/%s/%s", os.Getenv("HULLWRIGHT_TEST_REGISTRY"), l.run, c.name, name)
	check(t, os.MkdirAll(s.work, 0o755))
	c.write(t, s.work)
	if c.checkout {
		commit(t, s.work)
	}
	s.environ = slices.Clone(l.environ)
	for _, line := range c.environ {
		s.environ = append(s.environ, s.expand(line))
	}
	return s
}

// variable is $NAME in a case.
var variable = regexp.MustCompile(`\$[A-Z]+`)

// expand gives the side's own values to the variables of a case.
func (s *side) expand(text string) string {
	values := map[string]string{
		"$REPO":     s.repo,
		"$MIRROR":   s.repo + "-mirror",
		"$REGISTRY": os.Getenv("HULLWRIGHT_TEST_REGISTRY"),
		"$WORK":     s.work,
		"$SERVED":   s.lab.server.URL + "/" + s.c.name,
		"$SHARED":   filepath.Join(s.lab.dir, "cases", s.c.name),
		"$AGENT":    s.lab.agent,
		"$KEY":      filepath.Join(s.lab.dir, "key"),
	}
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		return name
	})
}

// invocation is a program to run.
type invocation struct {
	argv    []string
	environ []string
}

// spoken is how a program ended and what it said.
type spoken struct {
	code           int
	stdout, stderr string
}

func (s *side) run(t *testing.T, i invocation) spoken {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.argv[0], i.argv[1:]...)
	if path := filepath.Join(programs, i.argv[0]); i.argv[0] == "hullwright" {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Dir = s.work
	cmd.Env = slices.Concat(s.environ, i.environ)
	cmd.Stdin = bytes.NewReader(s.c.stdin)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", strings.Join(i.argv, " "), err, stderr.String())
	}
	return spoken{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}
