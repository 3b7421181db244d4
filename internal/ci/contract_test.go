package ci_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
)

var update = flag.Bool("update", false, "write what is found as what is expected")

// recorded is a file in test/events: what a system gave, and the Event that it
// means.
type recorded struct {
	About   string            `json:"about"`
	Environ map[string]string `json:"environ"`
	Payload any               `json:"payload,omitempty"` // a string is written as it is
	Git     []string          `json:"git,omitempty"`     // commands that make the working directory
	Event   *told             `json:"event,omitempty"`
}

// told is an Event without what a fixture repeats or a machine changes.
type told struct {
	ci.Event
	Payload   any `json:"Payload,omitempty"`
	Workspace any `json:"Workspace,omitempty"`
	Notices   []string
}

// leastRecorded is how many situations of each system are recorded: what every
// system has (branch, tag, request, timer) and its own traps.
const leastRecorded = 6

// TestProviders is the contract of all providers: each recorded environment is
// detected as its directory says and gives the recorded Event.
func TestProviders(t *testing.T) {
	folders, err := os.ReadDir("../../test/events")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if folder.IsDir() && !slices.Contains(ci.Names(), folder.Name()) {
			t.Errorf("test/events/%s: no such provider", folder.Name())
		}
	}
	for _, name := range ci.Names() {
		files, err := filepath.Glob(filepath.Join("../../test/events", name, "*.json"))
		if err != nil || len(files) < leastRecorded {
			t.Errorf("provider %s: %d recorded events, want at least %d (%v)", name, len(files), leastRecorded, err)
		}
		for _, file := range files {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) { testRecorded(t, name, file) })
		}
	}
}

func testRecorded(t *testing.T, provider, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	dir := gitDir(t, r.Git)
	environ := map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir}
	for k, v := range r.Environ {
		environ[k] = v
	}
	if r.Payload != nil {
		environ["GITHUB_EVENT_PATH"] = writePayload(t, r.Payload)
	}
	p, err := ci.Detect(ci.Host{Environ: environ, Stdout: io.Discard, Stderr: io.Discard, Dir: dir}, environ["HULLWRIGHT_PROVIDER"])
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != provider {
		t.Fatalf("detected as %s", p.Name())
	}
	e, err := p.Event(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if leaked, _ := json.Marshal(e); strings.Contains(string(leaked), "s3cr3t") {
		t.Errorf("a secret of the environment is in the event: %s", leaked)
	}
	got := told{Event: e}
	for _, n := range e.Notices {
		message := n.Message
		if path := environ["GITHUB_EVENT_PATH"]; path != "" {
			message = strings.ReplaceAll(message, path, "EVENT")
		}
		got.Notices = append(got.Notices, string(n.Level)+": "+message)
	}
	if *update {
		r.Event = &got
		writeRecorded(t, file, r)
	}
	if r.Event == nil {
		t.Fatal("nothing is expected: run go test -update")
	}
	if diff := cmp.Diff(normal(t, r.Event), normal(t, got)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// normal is a told as its JSON says it.
func normal(t *testing.T, v any) (m map[string]any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "Payload")
	delete(m, "Workspace")
	if r, ok := m["Repository"].(map[string]any); ok && m["Provider"] == "git" && r["Slug"] == "" {
		delete(r, "Name") // the temporary directory's
	}
	return m
}

func writePayload(t *testing.T, payload any) string {
	t.Helper()
	raw, ok := payload.(string)
	if !ok {
		b, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	path := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeRecorded(t *testing.T, file string, r recorded) {
	t.Helper()
	r.Event.Event.Payload, r.Event.Event.Notices = nil, nil
	if r.Event.Provider == "git" && r.Event.Repository.Slug == "" {
		r.Event.Repository.Name = ""
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// gitDir is a directory made by commands, with fixed names and times.
func gitDir(t *testing.T, commands []string) string {
	t.Helper()
	dir := t.TempDir()
	for _, c := range commands {
		cmd := exec.Command("sh", "-ec", c)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir,
			"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t", "GIT_AUTHOR_DATE=2021-03-04T05:06:07+0200",
			"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t", "GIT_COMMITTER_DATE=2021-03-04T05:06:07+0200")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	return dir
}
