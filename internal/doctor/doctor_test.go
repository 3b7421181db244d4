package doctor

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

var update = flag.Bool("update", false, "write what the tests compare with")

// golden compares with a file, and writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestCatalog holds the catalog against the checks: each finding belongs to one,
// and is told what to do about where it stands in the way.
func TestCatalog(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Catalog() {
		if seen[k.ID] {
			t.Errorf("%s is there twice", k.ID)
		}
		seen[k.ID] = true
		if k.Check != "" && !slices.Contains(Names(), k.Check) {
			t.Errorf("%s is of no check: %q", k.ID, k.Check)
		}
		if k.Means == "" {
			t.Errorf("%s does not say what it means", k.ID)
		}
		if (k.Severity == Failure || k.Severity == Warning) && (k.Next == "" || k.Expected == "") {
			t.Errorf("%s says neither what is expected nor what to do", k.ID)
		}
	}
	for id := range named(t) {
		if !seen[id] {
			t.Errorf("%s is found and not in the catalog", id)
		}
		delete(seen, id)
	}
	for id := range seen {
		t.Errorf("%s is in the catalog, and nothing finds it", id)
	}
}

// TestHelpFits holds the help of checks to a terminal's width.
func TestHelpFits(t *testing.T) {
	for _, c := range Checks() {
		if line := fmt.Sprintf("  %-13s%s", c.Name, c.Help); len(line) > width {
			t.Errorf("longer than a terminal is wide: %s", line)
		}
	}
}

// named are the findings that the package's code names.
func named(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	word := regexp.MustCompile(`"([a-z]+(?:-[a-z]+)+)"`)
	known := map[string]bool{}
	for _, k := range Catalog() {
		known[k.ID] = true
	}
	call := regexp.MustCompile(`(?:find|because)\("([a-z-]+)"`)
	for _, file := range files {
		if file == "catalog.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(raw), -1) {
			ids[m[1]] = true
		}
		for _, m := range word.FindAllStringSubmatch(string(raw), -1) {
			if known[m[1]] {
				ids[m[1]] = true // named by a table, or given back
			}
		}
	}
	return ids
}

// TestPage holds the tables of docs/doctor.md against the code; -update writes them.
func TestPage(t *testing.T) {
	const path = "../../docs/doctor.md"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := between(string(raw), "checks", checksTable())
	golden(t, path, between(page, "findings", findingsTable()))
}

func between(page, table, text string) string {
	begin, end := "<!-- "+table+": made by go test ./internal/doctor -update -->\n", "<!-- end of "+table+" -->\n"
	head, rest, _ := strings.Cut(page, begin)
	_, tail, _ := strings.Cut(rest, end)
	return head + begin + text + end + tail
}

func checksTable() string {
	var b strings.Builder
	b.WriteString("| check | looks at |\n|---|---|\n")
	for _, c := range Checks() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Help)
	}
	return b.String()
}

func findingsTable() string {
	var b strings.Builder
	b.WriteString("| finding | check | severity | means | what to do |\n|---|---|---|---|---|\n")
	for _, k := range Catalog() {
		check := k.Check
		if check == "" {
			check = "any"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.ID, check, k.Severity, k.Means, k.Next)
	}
	return b.String()
}

func sample() Report {
	denied := because("push-denied", "registry.example/app", errdefs.New(errdefs.Denied, "POST registry.example/app/blobs/uploads/: 403 Forbidden").WithHint("log in with `docker login registry.example`"))
	list := []Finding{
		ok("unix:///run/docker.sock", "Docker Engine 29.1.0, API 1.52, linux/amd64"),
		find("builder-none", "", "none is chosen: build-push makes one for its run (driver docker-container)"),
		judgeVersion("ci0", "v0.34.1"),
		ok("127.0.0.1:5000/app", "an upload may begin (whether a tag may be overwritten, no registry tells)"),
		denied,
	}
	for i, check := range []string{"engine", "builder", "buildkit", "push", "push"} {
		list[i].Check = check
	}
	return Report{Findings: list, Took: 420 * time.Millisecond}
}

func TestReport(t *testing.T) {
	r := sample()
	var text, raw strings.Builder
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.txt", text.String())
	for line := range strings.Lines(text.String()) {
		if len([]rune(line)) > 80 {
			t.Errorf("longer than a terminal is wide: %s", line)
		}
	}
	if err := r.JSON(&raw); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", raw.String())
	golden(t, "testdata/report.md", r.Markdown(func(s string) string { return strings.ReplaceAll(s, "|", "&#124;") }))
}

func TestReportErr(t *testing.T) {
	denied, broken, warned := sample().Findings[4], find("builder-broken", "", "x"), find("clock-off", "", "x")
	for name, c := range map[string]struct {
		list   []Finding
		strict bool
		want   int
	}{
		"nothing":             {want: errdefs.ExitDone},
		"a warning":           {list: []Finding{warned}, want: errdefs.ExitDone},
		"a warning, strictly": {list: []Finding{warned}, strict: true, want: errdefs.ExitEnvironment},
		"a refusal":           {list: []Finding{denied, warned}, want: errdefs.ExitDenied},
		"and an error":        {list: []Finding{denied, broken}, want: errdefs.ExitEnvironment},
	} {
		t.Run(name, func(t *testing.T) {
			got := errdefs.ExitDone
			if err := (Report{Findings: c.list}).Err(c.strict); err != nil {
				got = errdefs.KindOf(err).ExitCode()
			}
			if got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

func TestJudgeVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v0.34.2":                "ok",
		"v0.35.0":                "ok",
		"v0.34.1":                "buildkit-advisories",
		"v0.33.1":                "buildkit-advisories",
		"0.12.4+azure":           "buildkit-advisories",
		"v0.34.2-0.2026-g0123ab": "buildkit-advisories",
		"docker-29.1.0":          "buildkit-unknown",
		"":                       "buildkit-unknown",
	} {
		if got := judgeVersion("n0", version); got.ID != want {
			t.Errorf("%q: %s (%s), want %s", version, got.ID, got.Found, want)
		}
	}
	if got := judgeVersion("n0", "v0.31.1").Found; strings.Contains(got, "GHSA-7236") || !strings.Contains(got, "GHSA-hw3h") {
		t.Errorf("v0.31.1: %s", got)
	}
}

func TestJudgeDockerfile(t *testing.T) {
	for text, want := range map[string]string{
		"FROM alpine\nRUN true\n":                      "parses, 1 stage",
		"ARG V=1\nFROM alpine:$V AS a\nFROM a\n":       "parses, 2 stages",
		"# syntax=docker/dockerfile:1\nFROM scratch\n": "parses, 1 stage",
		"# syntax=example/own\nBUILD it\n":             "it is read by the frontend example/own",
		"FROM alpine\nRUNN true\n":                     "line 2: unknown instruction RUNN",
		"RUN true\nFROM alpine\n":                      "line 1: RUN comes before the first FROM",
		"FROM alpine\nRUN <<EOF\ntrue\n":               "unterminated heredoc",
		"FROM\n":                                       "line 1: FROM names no image",
		"ARG V\n":                                      "it has no FROM",
		"":                                             "file with no instructions",
		"FROM alpine\nCOPY [\"a\", \"b\"]\nENV A=1\n\n": "parses, 1 stage",
	} {
		if got := judgeDockerfile("Dockerfile", []byte(text)); !strings.Contains(got.Found, want) {
			t.Errorf("%q: %s, want %s", text, got.Found, want)
		}
	}
}

func FuzzJudgeDockerfile(f *testing.F) {
	f.Add([]byte("FROM alpine\nRUN <<EOF\ntrue\nEOF\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got := judgeDockerfile("Dockerfile", raw); got.Found == "" {
			t.Error("nothing found")
		}
	})
}

func TestBlame(t *testing.T) {
	for text, want := range map[string]string{
		`failed to do request: Head "https://r/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`: "builder-untrusted",
		`failed to do request: Head "https://r/v2/": dial tcp 10.0.0.1:443: connect: connection refused`:                               "builder-unreachable",
		`dial tcp: lookup r on 10.0.0.53:53: no such host`:                                                                             "builder-unreachable",
		`http: server gave HTTP response to HTTPS client`:                                                                              "builder-plain",
		`r/app:x: not found`:                                 "",
		`pull access denied, repository does not exist`:      "",
		`unexpected status from HEAD request: 403 Forbidden`: "",
	} {
		if got := blame(fmt.Errorf("%s", text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func testRun(t *testing.T, s Subject, environ map[string]string) *run {
	t.Helper()
	host := Host{Environ: environ, Dir: t.TempDir(), Now: time.Now, CI: s.Event.Provider, Keychain: authn.NewMultiKeychain(),
		Manager: setup.New(setup.Host{Environ: environ, Stderr: t.Output(), Dir: t.TempDir(), Now: time.Now})}
	return &run{Host: host, Subject: s, ctx: t.Context(), limit: time.Second}
}

func ids(list []Finding) []string {
	var found []string
	for _, f := range list {
		found = append(found, f.ID)
	}
	return found
}

func TestCheckCI(t *testing.T) {
	repo := name.MustParseReference("ghcr.io/acme/app").Context()
	gha := []Cache{{Type: "gha", Export: true}}
	granted := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example", "ACTIONS_RUNTIME_TOKEN": "x", "ACTIONS_RESULTS_URL": "https://cache.example"}
	for about, c := range map[string]struct {
		subject Subject
		environ map[string]string
		want    []string
	}{
		"a push":                {Subject{Event: ci.Event{Provider: "github", Name: "push"}, Caches: gha}, granted, []string{"ok"}},
		"nothing granted":       {Subject{Event: ci.Event{Provider: "github", Name: "push"}, Caches: gha}, nil, []string{"no-id-token", "no-actions-cache"}},
		"a fork":                {Subject{Event: ci.Event{Provider: "github", Request: &ci.ChangeRequest{Number: 7, Fork: true}}, Untrusted: true}, granted, []string{"fork"}},
		"a fork without a push": {Subject{Event: ci.Event{Provider: "github", Request: &ci.ChangeRequest{Number: 7, Fork: true}}}, granted, []string{"ok"}},
		"a bot":                 {Subject{Event: ci.Event{Provider: "github", Name: "pull_request", Actor: "dependabot[bot]"}, Push: []name.Repository{repo}}, granted, []string{"token-of-bot"}},
		"GitLab":                {Subject{Event: ci.Event{Provider: "gitlab", Name: "push"}}, nil, []string{"ok"}},
		"a laptop":              {Subject{Event: ci.Event{Provider: "git"}}, nil, []string{"left-out"}},
		"no event":              {Subject{Faults: []error{errdefs.New(errdefs.BadInput, "GITHUB_SHA: not a hash")}}, nil, []string{"event-unreadable"}},
	} {
		t.Run(about, func(t *testing.T) {
			if got := ids(checkCI(t.Context(), testRun(t, c.subject, c.environ))); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestJudgeEmulator(t *testing.T) {
	fault := errdefs.New(errdefs.Environment, "emulation of linux/s390x on node n0: exec format error")
	hinted := errdefs.New(errdefs.Environment, "emulation of linux/s390x on node n0: it crashed").WithHint("try another")
	entry := &binfmt.Entry{Line: binfmt.Line{Name: "qemu-s390x", Interpreter: "/usr/bin/qemu-s390x", Flags: "F"}}
	far := fmt.Errorf("node n0 is on %w", setup.ErrElsewhere)
	for about, c := range map[string]struct {
		fault    error
		kernel   kernelFacts
		id       string
		severity Severity
		text     string // of what was found
		next     string
	}{
		"setup will look":    {fault, kernelFacts{}, "emulator-missing", Warning, "n0: exec format error", "setup --platforms"},
		"nobody will":        {fault, kernelFacts{elsewhere: far}, "emulator-elsewhere", Failure, "exec format error; node n0 is on another machine", "on that machine: hullwright setup --driver none"},
		"one is there":       {fault, kernelFacts{entry: entry}, "emulator-broken", Failure, "(registered is /usr/bin/qemu-s390x, flags F)", "echo -1 > /proc/sys/fs/binfmt_misc/qemu-s390x"},
		"one, with a remedy": {hinted, kernelFacts{entry: entry}, "emulator-broken", Failure, "it crashed (registered is", "try another"},
	} {
		t.Run(about, func(t *testing.T) {
			f := judgeEmulator(c.fault, c.kernel)
			if f.ID != c.id || f.Severity != c.severity || !strings.Contains(f.Found, c.text) || !strings.Contains(f.Next, c.next) {
				t.Errorf("found %+v", f)
			}
			err := Report{Findings: []Finding{f}}.Err(false)
			if (c.severity == Failure) != (err != nil) || err != nil && errdefs.KindOf(err) != errdefs.Environment {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

func TestCheckProxy(t *testing.T) {
	for about, c := range map[string]struct {
		environ map[string]string
		want    []string
	}{
		"none":          {nil, []string{"ok"}},
		"contradiction": {map[string]string{"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1", "DOCKER_HOST": "unix:///none"}, []string{"proxy-contradiction"}},
		"no address":    {map[string]string{"HTTP_PROXY": "http://:secret@/", "DOCKER_HOST": "unix:///none"}, []string{"proxy-invalid"}},
		"alike":         {map[string]string{"HTTP_PROXY": "http://a:1", "http_proxy": "http://a:1", "DOCKER_HOST": "unix:///none"}, []string{"ok"}},
	} {
		t.Run(about, func(t *testing.T) {
			found := checkProxy(t.Context(), testRun(t, Subject{}, c.environ))
			if got := ids(found); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
			if text := fmt.Sprint(found); strings.Contains(text, "secret") {
				t.Errorf("a password is shown: %s", text)
			}
		})
	}
}

func TestCheckCredentials(t *testing.T) {
	const auths = `{"auths":{"r.example":{"auth":"YTpi"}}}`
	for about, c := range map[string]struct {
		config string
		mode   os.FileMode
		want   []string
	}{
		"none":          {"", 0, []string{"ok"}},
		"private":       {auths, 0o600, []string{"ok"}},
		"open":          {auths, 0o644, []string{"credentials-open"}},
		"open, empty":   {`{"auths":{"r.example":{}}}`, 0o644, []string{"ok"}},
		"no JSON":       {`{`, 0o600, []string{"credentials-invalid"}},
		"no helper":     {`{"credsStore":"none-such"}`, 0o600, []string{"helper-missing"}},
		"a helper":      {`{"credHelpers":{"r.example":"ours"}}`, 0o600, []string{"ok"}},
		"a path as one": {`{"credsStore":"../../ours"}`, 0o600, []string{"helper-missing"}},
	} {
		t.Run(about, func(t *testing.T) {
			dir := t.TempDir()
			if c.config != "" {
				if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.config), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "docker-credential-ours"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
			r := testRun(t, Subject{}, map[string]string{"DOCKER_CONFIG": dir, "PATH": dir})
			if got := ids(checkCredentials(t.Context(), r)); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestCheckContext(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := Source{Dir: dir, Dockerfile: filepath.Join(dir, "Dockerfile")}
	check := func(want, text string) {
		t.Helper()
		got := checkContext(t.Context(), testRun(t, Subject{Source: source}, nil))
		if len(got) != 1 || got[0].ID != want || !strings.Contains(got[0].Found, text) {
			t.Errorf("found %+v, want %s: %s", got, want, text)
		}
	}
	write("Dockerfile", "FROM scratch\n")
	check("ok", "13B in 1 file")
	write(".git/HEAD", "x")
	check("ignore-missing", "in 2 files")
	write(".dockerignore", ".git\n")
	check("ok", "in 2 files")
	write("Dockerfile.dockerignore", "*\n")
	check("ok", "0B in 0 files")
	write("Dockerfile.dockerignore", "[\n")
	check("ignore-invalid", "syntax error")
	if err := os.Remove(filepath.Join(dir, "Dockerfile.dockerignore")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "Dockerfile"), contextLarge+1); err != nil { // a hole: no disk is taken
		t.Fatal(err)
	}
	check("context-large", "500MiB")
}

// TestRunEnds has registries and an engine that take connections and say nothing:
// the run ends, and each check says who does not answer.
func TestRunEnds(t *testing.T) {
	silent := func(network, address string) string {
		t.Helper()
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
			}
		}()
		return l.Addr().String()
	}
	registry := silent("tcp", "127.0.0.1:0")
	socket := silent("unix", filepath.Join(t.TempDir(), "engine.sock"))
	environ := map[string]string{"DOCKER_HOST": "unix://" + socket, "HOME": t.TempDir(), "PATH": os.Getenv("PATH")}
	host := testRun(t, Subject{}, environ).Host
	repo, err := name.NewRepository(registry + "/app")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	got, err := Run(context.Background(), host, Subject{
		Event: ci.Event{Provider: "git"}, Spec: setup.Spec{Driver: setup.DockerContainer}, Push: []name.Repository{repo},
	}, Options{Limit: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("it took %s", took)
	}
	found := ids(got.Wrong())
	for _, want := range []string{"engine-unreachable", "registry-unreachable"} {
		if !slices.Contains(found, want) {
			t.Errorf("found %v, want %s", found, want)
		}
	}
	if n := got.Count(Failure); n != 2 {
		t.Errorf("%d errors, want 2: %+v", n, got.Wrong())
	}
}

func TestRunCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, testRun(t, Subject{}, nil).Host, Subject{}, Options{Only: []string{"git"}}); err == nil {
		t.Error("a canceled run is no error")
	}
}
