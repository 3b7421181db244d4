package ci_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// onGitHub is a provider with files of its own, and what it prints.
func onGitHub(t *testing.T, environ map[string]string) (ci.Provider, map[string]string, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{"GITHUB_ACTIONS": "true"}
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"} {
		env[name] = filepath.Join(dir, name)
	}
	for k, v := range environ {
		env[k] = v
	}
	var out bytes.Buffer
	return detect(t, ci.Host{Environ: env, Stdout: &out, Stderr: &out, Dir: dir}), env, &out
}

func detect(t *testing.T, h ci.Host) ci.Provider {
	t.Helper()
	p, err := ci.Detect(h, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// awkward are values that must arrive whole, or not at all.
var awkward = map[string]string{
	"plain":           "1.2.3",
	"empty":           "",
	"lines":           "a\nb",
	"injection":       "x\nadmin=true",
	"heredoc":         "x\nadmin<<EOF\ntrue\nEOF",
	"delimiter":       "hullwright_0123456789abcdef0123456789abcdef\nghadelimiter_x",
	"carriage":        "a\r",
	"crlf":            "\r\n",
	"ends-with-break": "a\n",
	"commands":        "::add-mask::e\n##[set-output name=a]b\n##vso[task.setvariable]x",
	"spaces":          " a b ",
	"quotes":          `"a" 'b'`,
	"unicode":         "é🚀\u202e",
}

func TestOutputArrivesWhole(t *testing.T) {
	p, env, _ := onGitHub(t, nil)
	for name, value := range awkward {
		if err := p.Output(name, value); err != nil {
			t.Fatal(err)
		}
		if err := p.(ci.StateSaver).SaveState(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"GITHUB_OUTPUT", "GITHUB_STATE"} {
		if diff := cmp.Diff(awkward, runnerReads(t, read(t, env[file]))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// runnerReads reads a command file as GitHub's runner does: the first of "="
// and "<<" in a line decides.
func runnerReads(t *testing.T, text string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		if line == "" {
			continue
		}
		if heredoc < 0 || equals >= 0 && equals < heredoc {
			t.Fatalf("%q sets a value by itself", line)
		}
		delimiter := line[heredoc+2:]
		var lines []string
		for {
			if text == "" {
				t.Fatalf("no end of %q", line)
			}
			var next string
			next, text, _ = strings.Cut(text, "\n")
			if next == delimiter {
				break
			}
			lines = append(lines, next)
		}
		values[line[:heredoc]] = strings.Join(lines, "\n")
	}
	return values
}

func TestOutputDelimitersDiffer(t *testing.T) {
	p, env, _ := onGitHub(t, nil)
	for range 3 {
		if err := p.Output("a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(read(t, env["GITHUB_OUTPUT"])) {
		if _, delimiter, ok := strings.Cut(line, "<<"); ok {
			seen[delimiter] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("delimiters %v", seen)
	}
}

func TestOutputRefusesNames(t *testing.T) {
	for _, name := range []string{"", "a=b", "a<<EOF", "a b", "a\nb", "1a", "é"} {
		p, env, out := onGitHub(t, nil)
		if err := p.Output(name, "x"); err == nil {
			t.Errorf("%q is taken", name)
		}
		if _, err := os.Stat(env["GITHUB_OUTPUT"]); !errors.Is(err, os.ErrNotExist) || out.Len() > 0 {
			t.Errorf("%q: something is written", name)
		}
		if err := detect(t, ci.Host{Environ: map[string]string{}, Stdout: out, Dir: t.TempDir()}).Output(name, "x"); err == nil {
			t.Errorf("git: %q is taken", name)
		}
	}
}

// Without the runner's file an output is printed, and still it is an error.
func TestOutputWithoutFile(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "no", "such")} {
		p, _, out := onGitHub(t, map[string]string{"GITHUB_OUTPUT": path})
		err := p.Output("tags", "a:1\na:2")
		if errdefs.KindOf(err) != errdefs.Environment {
			t.Errorf("%q: error %v", path, err)
		}
		if out.String() != "tags=a:1\ntags=a:2\n" {
			t.Errorf("%q: printed %q", path, out)
		}
	}
}

func TestExportEnv(t *testing.T) {
	p, env, _ := onGitHub(t, nil)
	exporter := p.(ci.Exporter)
	if err := exporter.ExportEnv("DOCKER_METADATA_OUTPUT_TAGS", "a\nBASH_ENV=x"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"DOCKER_METADATA_OUTPUT_TAGS": "a\nBASH_ENV=x"}
	if diff := cmp.Diff(want, runnerReads(t, read(t, env["GITHUB_ENV"]))); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"PATH", "BASH_ENV", "NODE_OPTIONS", "LD_PRELOAD", "docker_metadata_output_x", "DOCKER_METADATA_OUTPUT_A=B"} {
		if err := exporter.ExportEnv(name, "x"); err == nil {
			t.Errorf("%s is exported", name)
		}
	}
}

func TestDotenv(t *testing.T) {
	dir := t.TempDir()
	p := detect(t, ci.Host{Environ: map[string]string{"GITLAB_CI": "true"}, Dir: dir})
	path := filepath.Join(dir, "hullwright.env")
	if err := os.WriteFile(path, []byte("KEPT=1\nversion=old"), 0o644); err != nil {
		t.Fatal(err)
	}
	carried := map[string]string{"version": "1.2.3", "tag-names": "1.2.3\n1.2\nlatest", "empty": "", "digest": "sha256:ab", "url": "https://h/p?x=y&z"}
	for _, name := range []string{"version", "tag-names", "empty", "digest", "url"} {
		if err := p.Output(name, carried[name]); err != nil {
			t.Fatal(err)
		}
	}
	want := "KEPT=1\nversion=1.2.3\ntag_names=1.2.3,1.2,latest\nempty=\ndigest=sha256:ab\nurl=https://h/p?x=y&z\n"
	if got := read(t, path); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, value := range []string{"a b", `"a"`, "it's", "a\r", "a\tb", "$CI_JOB_TOKEN", "a#b", "a\\b", "a,b\nc", "\x00", "\x1b[0m", "a\u2028b", "\xff", strings.Repeat("x", 6000)} {
		var inexpressible *ci.Inexpressible
		if err := p.Output("x", value); !errors.As(err, &inexpressible) || inexpressible.Name != "x" {
			t.Errorf("%.20q: error %v", value, err)
		}
	}
	if got := read(t, path); got != want {
		t.Errorf("a value that is refused changed the file: %q", got)
	}
}

// The file lies in the checkout, where a commit may have put a link.
func TestDotenvFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "hullwright.env")); err != nil {
		t.Fatal(err)
	}
	p := detect(t, ci.Host{Environ: map[string]string{"GITLAB_CI": "true"}, Dir: dir})
	if err := p.Output("a", "b"); errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("error %v", err)
	}
	if got := read(t, secret); got != "x" {
		t.Errorf("written through the link: %q", got)
	}
}

func TestDotenvFileOnAnySystem(t *testing.T) {
	for name, environ := range map[string]map[string]string{"git": {}, "github": {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": filepath.Join(t.TempDir(), "out")}} {
		dir := t.TempDir()
		p := detect(t, ci.Host{Environ: environ, Dir: dir, DotenvFile: "my.env"})
		if err := p.Output("digest", "sha256:ab"); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(dir, "my.env")); got != "digest=sha256:ab\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPrintedOutput(t *testing.T) {
	var out bytes.Buffer
	p := detect(t, ci.Host{Environ: map[string]string{}, Stdout: &out, Dir: t.TempDir()})
	if err := p.Output("tags", "a:1\na:2\x1b[2K\rdigest=x"); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "tags=a:1\ntags=a:2digest=x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommands(t *testing.T) {
	p, _, out := onGitHub(t, nil)
	p.Mask("s3cr3t%\n\nab\nsecond line\r\n")
	p.(ci.Noticer).Notice(ci.Notice{Level: ci.Warning, Message: "a%\nb", Title: "x:y,z", File: "Dockerfile", Line: 3})
	p.(ci.Noticer).Notice(ci.Notice{Level: ci.Failure, Message: "::add-mask::e"})
	p.(ci.Grouper).StartGroup(out, "a\n::error::b")
	p.(ci.Grouper).EndGroup(out)
	want := `::add-mask::s3cr3t%25
::add-mask::second line
::warning title=x%3Ay%2Cz,file=Dockerfile,line=3::a%25%0Ab
::error::::add-mask::e
::group::a%0A: :error::b
::endgroup::
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSummaryIsCut(t *testing.T) {
	p, env, _ := onGitHub(t, nil)
	s := p.(ci.Summarizer)
	if err := s.Summary("# Title"); err != nil {
		t.Fatal(err)
	}
	if err := s.Summary(strings.Repeat("| é |\n", 1<<18)); err != nil {
		t.Fatal(err)
	}
	if err := s.Summary("more\n"); err != nil {
		t.Fatal(err)
	}
	got := read(t, env["GITHUB_STEP_SUMMARY"])
	if len(got) > 1<<20 || !strings.HasPrefix(got, "# Title\n| é |\n") || !strings.Contains(got, "cut here") || strings.Contains(got, "�") {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-100:])
	}
}

func TestGitLabSections(t *testing.T) {
	var out bytes.Buffer
	p := detect(t, ci.Host{Environ: map[string]string{"CI_SERVER": "yes"}, Dir: t.TempDir()})
	g := p.(ci.Grouper)
	g.StartGroup(&out, "Build\n\x1b[0Ksection_end:1:x\r\x1b[0K")
	g.EndGroup(&out)
	g.StartGroup(&out, "Push")
	if n := strings.Count(out.String(), "\x1b[0Ksection_"); n != 3 {
		t.Errorf("%d marks in %q", n, out.String())
	}
	if !strings.Contains(out.String(), "hullwright_1[collapsed=true]\r\x1b[0KBuild ") || !strings.Contains(out.String(), "hullwright_2") {
		t.Errorf("%q", out.String())
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		environ string
		name    string
		want    string
	}{
		{"", "", "git"},
		{"GITHUB_ACTIONS=true", "", "github"},
		{"GITHUB_ACTIONS=false", "", "git"},
		{"GITLAB_CI=true", "", "gitlab"},
		{"GITLAB_CI=false CI_SERVER=yes", "", "gitlab"},
		{"CI=true", "", "git"},
		{"CI_COMMIT_SHA=x CI_COMMIT_BRANCH=y", "", "git"},
		{"CI_COMMIT_SHA=x CI_COMMIT_BRANCH=y DRONE=true", "", "drone"}, // Drone and Woodpecker speak some of GitLab
		{"CI=woodpecker CI_COMMIT_SHA=x", "", "woodpecker"},
		{"FORGEJO_ACTIONS=true GITEA_ACTIONS=true GITHUB_ACTIONS=true", "", "forgejo"},
		{"GITEA_ACTIONS=true GITHUB_ACTIONS=true", "", "gitea"},
		{"TF_BUILD=True", "", "azure"},
		{"JENKINS_URL=x", "", "git"},
		{"JENKINS_URL=x BUILD_ID=1", "", "jenkins"},
		{"JENKINS_HOME=x BUILD_ID=1", "", "jenkins"},
		{"BUILD_ID=1", "", "git"},
		{"JENKINS_URL=x BUILD_ID=1 GITHUB_ACTIONS=true", "", "github"}, // a runner on a Jenkins agent
		{"JENKINS_URL=x BUILD_ID=1 BUILDKITE=true", "", "buildkite"},
		{"BUILDER_OUTPUT=/o", "tekton", "tekton"},
		{"GITHUB_ACTIONS=true", "gitlab", "gitlab"},
		{"GITLAB_CI=true", "git", "git"},
	} {
		environ := map[string]string{}
		for _, kv := range strings.Fields(c.environ) {
			k, v, _ := strings.Cut(kv, "=")
			environ[k] = v
		}
		p, err := ci.Detect(ci.Host{Environ: environ}, c.name)
		if err != nil || p.Name() != c.want {
			t.Errorf("%q, %q: %v, %v", c.environ, c.name, p, err)
		}
	}
	_, err := ci.Detect(ci.Host{}, "jenkinz")
	var bad *errdefs.Error
	if !errors.As(err, &bad) || bad.Kind != errdefs.BadInput || bad.Input != "provider" || bad.Hint == "" {
		t.Errorf("error %#v", err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
