package metadata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
)

// recordedCase is a case of testdata/parity; see the README there.
type recordedCase struct {
	ID     string             `json:"id"`
	Env    map[string]*string `json:"env"`
	Event  json.RawMessage    `json:"event"`
	Now    string             `json:"now"`
	Git    []string           `json:"git"`
	API    api                `json:"api"`
	Inputs map[string]string  `json:"inputs"`
}

type api struct {
	Repo      json.RawMessage   `json:"repo"`
	RepoError *apiError         `json:"repo_error"`
	Commits   map[string]string `json:"commits"`
}

type apiError struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

type recordedResult struct {
	ID       string         `json:"id"`
	Outputs  map[string]any `json:"outputs"`
	Env      *string        `json:"env"`
	Warnings []string       `json:"warnings"`
	Error    string         `json:"error"`
	Kind     string         `json:"error_kind"`
}

// differs are cases that can't pass, each with its reason.
var differs = map[string]string{}

func TestParity(t *testing.T) {
	var recorded struct {
		Defaults recordedCase   `json:"defaults"`
		Cases    []recordedCase `json:"cases"`
	}
	readJSON(t, "testdata/parity/cases.json", &recorded)
	var results []recordedResult
	readJSON(t, "testdata/parity/expected.json", &results)
	want := map[string]recordedResult{}
	for _, r := range results {
		want[r.ID] = r
	}
	if len(recorded.Cases) < 283 || len(want) != len(recorded.Cases) {
		t.Fatalf("%d cases, %d results", len(recorded.Cases), len(want))
	}
	for _, c := range recorded.Cases {
		t.Run(c.ID, func(t *testing.T) {
			if reason := differs[c.ID]; reason != "" {
				t.Skip(reason)
			}
			testCase(t, c.with(recorded.Defaults), want[c.ID])
		})
	}
}

// with fills what a case leaves to the defaults.
func (c recordedCase) with(d recordedCase) recordedCase {
	env := maps.Clone(d.Env)
	maps.Copy(env, c.Env)
	c.Env = env
	if c.Now == "" {
		c.Now = d.Now
	}
	if c.API.Repo == nil {
		c.API.Repo = d.API.Repo
	}
	if c.API.Commits == nil {
		c.API.Commits = d.API.Commits
	}
	return c
}

func testCase(t *testing.T, c recordedCase, want recordedResult) {
	dir := t.TempDir()
	environ := c.environ(t, dir)
	code, log := runStep(t, environ, filepath.Join(dir, "work"))

	got := recordedResult{ID: c.ID, Outputs: parseOutputs(t, environ["GITHUB_OUTPUT"]), Warnings: find(log, "::warning::")}
	for name := range got.Outputs { // not every case has its bake files recorded
		if _, ok := want.Outputs[name]; !ok && strings.HasPrefix(name, "bake-file") && want.Error == "" {
			delete(got.Outputs, name)
		}
	}
	exported := parseFile(t, environ["GITHUB_ENV"])
	checkError(t, want, code, log)
	if diff := cmp.Diff(orEmpty(want.Outputs), got.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s\nlog:\n%s", diff, log)
	}
	if diff := cmp.Diff(want.Warnings, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	wantEnv := map[string]string{}
	if want.Env == nil {
		for name, value := range parseFile(t, environ["GITHUB_OUTPUT"]) {
			wantEnv["DOCKER_METADATA_OUTPUT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
		}
	}
	if diff := cmp.Diff(wantEnv, exported); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func checkError(t *testing.T, want recordedResult, code int, log string) {
	t.Helper()
	errors := strings.Join(regexp.MustCompile(`(?m)^::error(?: .*?)?::.*$`).FindAllString(log, -1), "\n")
	switch {
	case want.Error == "" && (code != 0 || errors != ""):
		t.Errorf("exit code %d\n%s", code, log)
	case want.Error != "" && (code == 0 || errors == ""):
		t.Errorf("no failure; want %q\n%s", want.Error, log)
	case want.Kind == "own" && !strings.Contains(errors, want.Error):
		t.Errorf("error %q does not say %q", errors, want.Error)
	}
}

// environ is the case's environment, with all that it points to.
func (c recordedCase) environ(t *testing.T, dir string) map[string]string {
	t.Helper()
	environ := map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir, "TZ": "UTC", "LANG": "C.UTF-8"}
	for k, v := range c.Env {
		if v != nil {
			environ[k] = *v
		}
	}
	environ["INPUT_CONTEXT"], environ["INPUT_GITHUB-TOKEN"] = "workflow", "x"
	for k, v := range c.Inputs {
		environ["INPUT_"+strings.ToUpper(strings.ReplaceAll(k, " ", "_"))] = v
	}
	now, err := time.Parse(time.RFC3339, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	environ["SOURCE_DATE_EPOCH"] = strconv.FormatInt(now.Unix(), 10)
	environ["GITHUB_API_URL"] = c.API.serve(t)
	environ["RUNNER_TEMP"] = filepath.Join(dir, "temp")
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE"} {
		environ[name] = filepath.Join(dir, name)
		write(t, environ[name], nil)
	}
	if c.Event != nil {
		payload := []byte(c.Event)
		var text string
		if json.Unmarshal(payload, &text) == nil {
			payload = []byte(text)
		}
		environ["GITHUB_EVENT_PATH"] = filepath.Join(dir, "event.json")
		write(t, environ["GITHUB_EVENT_PATH"], payload)
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range c.Git {
		runCommand(t, work, dir, command)
	}
	return environ
}

func runCommand(t *testing.T, dir, home, command string) {
	t.Helper()
	const when = "2021-03-04T05:06:07+0200"
	cmd := exec.Command("sh", "-ec", command)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t", "GIT_AUTHOR_DATE=" + when,
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t", "GIT_COMMITTER_DATE=" + when}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// serve is GitHub's API as the case has it.
func (a api) serve(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // repos, owner, name, commits, sha
		switch {
		case len(parts) == 3 && a.RepoError != nil:
			w.WriteHeader(a.RepoError.Status)
			w.Write(a.RepoError.Body)
		case len(parts) == 3:
			w.Write(a.Repo)
		case len(parts) == 5 && parts[3] == "commits" && a.date(parts[4]) != "":
			json.NewEncoder(w).Encode(map[string]any{"commit": map[string]any{"committer": map[string]any{"date": a.date(parts[4])}}})
		default:
			w.WriteHeader(http.StatusNotFound)
			w.Write([]byte(`{"message":"Not Found"}`))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (a api) date(sha string) string {
	if date, ok := a.Commits[sha]; ok {
		return date
	}
	return a.Commits["*"]
}

// runStep runs the command in process and gives its exit code and log.
func runStep(t *testing.T, environ map[string]string, dir string, args ...string) (int, string) {
	t.Helper()
	var log bytes.Buffer
	env := &cli.Env{Stdin: strings.NewReader(""), Stdout: &log, Stderr: &log, Environ: environ, Dir: dir, Now: time.Now}
	code := cli.Run(context.Background(), env, "hullwright", []cli.Verb{metadata.Verb()}, append([]string{"metadata"}, args...))
	return code, log.String()
}

func find(log, prefix string) []string {
	var found []string
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), prefix); ok {
			found = append(found, strings.NewReplacer("%0A", "\n", "%0D", "\r", "%25", "%").Replace(text))
		}
	}
	return found
}

// parseOutputs are the outputs as expected.json has them.
func parseOutputs(t *testing.T, path string) map[string]any {
	t.Helper()
	outputs := map[string]any{}
	for name, value := range parseFile(t, path) {
		text := []byte(value)
		if strings.HasPrefix(name, "bake-file") {
			text = read(t, value)
		}
		if name != "json" && !strings.HasPrefix(name, "bake-file") {
			outputs[name] = value
			continue
		}
		var parsed any
		if err := json.Unmarshal(text, &parsed); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		outputs[name] = parsed
	}
	return outputs
}

// parseFile reads a runner's command file as the runner does.
func parseFile(t *testing.T, path string) map[string]string {
	t.Helper()
	values := map[string]string{}
	rest := string(read(t, path))
	for rest != "" {
		var head string
		head, rest, _ = strings.Cut(rest, "\n")
		name, delimiter, ok := strings.Cut(head, "<<")
		if !ok {
			t.Fatalf("%s: %q is no entry", path, head)
		}
		end := strings.Index("\n"+rest, "\n"+delimiter+"\n")
		if end < 0 {
			t.Fatalf("%s: entry %s has no end", path, name)
		}
		values[name] = strings.TrimSuffix(rest[:end], "\n")
		rest = rest[end+len(delimiter)+1:]
	}
	return values
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(read(t, path), v); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
