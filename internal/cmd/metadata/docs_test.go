package metadata_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// example is a yaml block of docs/metadata.md: an event, inputs as a workflow
// gives them, and what comes of it.
type example struct {
	On struct {
		Event, Ref, SHA string
		Number          int
		HeadRef         string   `yaml:"head_ref"`
		BaseRef         string   `yaml:"base_ref"`
		Prerelease      bool     // of a release
		GitTags         []string `yaml:"git_tags"` // in the checkout
		Commits         int      // in the checkout, before those with tags
		Dockerfile      string
	}
	With map[string]string
	// Gives are outputs. Of labels and annotations not all need be there.
	Gives map[string]string
	Fails string // what the error says
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// TestDocs runs every block of docs/metadata.md.
func TestDocs(t *testing.T) {
	page := read(t, "../../../docs/metadata.md")
	blocks := fence.FindAllStringSubmatchIndex(string(page), -1)
	if len(blocks) < 20 || strings.Count(string(page), "\n```") != 2*len(blocks) {
		t.Fatalf("%d blocks, %d fences", len(blocks), strings.Count(string(page), "\n```"))
	}
	for _, b := range blocks {
		line := strings.Count(string(page[:b[0]]), "\n") + 1
		t.Run("line "+strconv.Itoa(line), func(t *testing.T) {
			switch language, text := page[b[2]:b[3]], page[b[4]:b[5]]; string(language) {
			case "yaml":
				testExample(t, text)
			case "console":
				testConsole(t, string(text))
			default:
				t.Errorf("a block of %q, which no test runs", language)
			}
		})
	}
}

func testExample(t *testing.T, text []byte) {
	var e example
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&e); err != nil {
		t.Fatal(err)
	}
	if len(e.Gives) == 0 && e.Fails == "" {
		t.Fatal("an example without a result")
	}
	dir := t.TempDir()
	environ := e.environ(t, dir)
	code, log := runStep(t, environ, filepath.Join(dir, "work"))
	if e.Fails != "" {
		if code == 0 || !strings.Contains(log, "error: "+e.Fails) {
			t.Errorf("exit code %d, want the error %s\n%s", code, e.Fails, log)
		}
		return
	}
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	got := parseFile(t, environ["GITHUB_OUTPUT"])
	for name, want := range e.Gives {
		want = strings.TrimSuffix(want, "\n")
		if name != "labels" && name != "annotations" {
			if diff := cmp.Diff(want, got[name]); diff != "" {
				t.Errorf("%s (-page +got):\n%s", name, diff)
			}
			continue
		}
		for line := range strings.SplitSeq(want, "\n") {
			if !strings.Contains("\n"+got[name]+"\n", "\n"+line+"\n") {
				t.Errorf("%s has no %q:\n%s", name, line, got[name])
			}
		}
	}
}

// environ is what a runner gives on the example's event.
func (e example) environ(t *testing.T, dir string) map[string]string {
	t.Helper()
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	sha := e.On.SHA
	if sha == "" {
		sha = "860c1904a1ce19322e91ac35af1ab07466440c37"
	}
	if e.On.Commits > 0 || len(e.On.GitTags) > 0 {
		sha = e.checkout(t, work, dir)
	}
	if e.On.Dockerfile != "" {
		write(t, filepath.Join(work, "Dockerfile"), []byte(e.On.Dockerfile))
	}
	environ := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": dir, "TZ": "UTC", "SOURCE_DATE_EPOCH": "1768435200", // 2026-01-15
		"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": e.On.Event, "GITHUB_REF": e.On.Ref, "GITHUB_SHA": sha,
		"GITHUB_REPOSITORY": "acme/app", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "4711",
		"GITHUB_EVENT_PATH": filepath.Join(dir, "event.json"), "GITHUB_OUTPUT": filepath.Join(dir, "output"), "RUNNER_TEMP": filepath.Join(dir, "temp"),
	}
	for name, value := range e.With {
		environ["INPUT_"+strings.ToUpper(name)] = value
	}
	payload, err := json.Marshal(e.payload())
	if err != nil {
		t.Fatal(err)
	}
	write(t, environ["GITHUB_EVENT_PATH"], payload)
	write(t, environ["GITHUB_OUTPUT"], nil)
	return environ
}

func (e example) payload() map[string]any {
	payload := map[string]any{"repository": map[string]any{
		"name": "app", "full_name": "acme/app", "description": "An app", "html_url": "https://github.com/acme/app",
		"default_branch": "main", "license": map[string]any{"spdx_id": "MIT"},
	}}
	if e.On.Number > 0 {
		payload["number"] = e.On.Number
		payload["pull_request"] = map[string]any{
			"number": e.On.Number, "head": map[string]any{"ref": e.On.HeadRef}, "base": map[string]any{"ref": e.On.BaseRef},
		}
	}
	if e.On.Event == "release" {
		payload["release"] = map[string]any{"prerelease": e.On.Prerelease}
	}
	return payload
}

// checkout makes a repository with the example's history, and gives the hash
// of its last commit.
func (e example) checkout(t *testing.T, work, home string) string {
	t.Helper()
	commands := []string{"git init -q -b main ."}
	for range max(1, e.On.Commits) {
		commands = append(commands, "git commit -q --allow-empty -m x")
	}
	for _, tag := range e.On.GitTags {
		commands = append(commands, "git tag '"+tag+"'")
	}
	runCommand(t, work, home, strings.Join(append(commands, "git rev-parse HEAD > ../head"), "\n"))
	return strings.TrimSpace(string(read(t, filepath.Join(home, "head"))))
}

// testConsole runs "$ hullwright metadata ..." and compares what it prints.
func testConsole(t *testing.T, text string) {
	command, want, _ := strings.Cut(text, "\n")
	arguments, ok := strings.CutPrefix(command, "$ hullwright metadata ")
	if !ok {
		t.Fatalf("%q does not begin with the command", command)
	}
	environ := map[string]string{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}
	code, log := runStep(t, environ, t.TempDir(), strings.Fields(strings.ReplaceAll(arguments, "'", ""))...)
	var printed strings.Builder
	for line := range strings.Lines(log) { // notes go to another stream
		if !strings.HasPrefix(line, "metadata: note: ") {
			printed.WriteString(line)
		}
	}
	if diff := cmp.Diff(want, printed.String()); code != 0 || diff != "" {
		t.Errorf("exit code %d (-page +got):\n%s", code, diff)
	}
}
