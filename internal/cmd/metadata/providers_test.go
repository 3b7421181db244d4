package metadata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
)

// recordedEvent is a file of test/events; see the README there.
type recordedEvent struct {
	Environ map[string]string `json:"environ"`
	Payload any               `json:"payload"`
	Git     []string          `json:"git"`
	Event   struct {
		ci.Event
		Notices []string
	} `json:"event"`
}

// TestSameTagsOnEverySystem: the default rules give one tag for an event,
// whichever system tells it.
func TestSameTagsOnEverySystem(t *testing.T) {
	for _, name := range ci.Names() {
		files, err := filepath.Glob(filepath.Join("../../../test/events", name, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[ci.Kind]bool{}
		for _, file := range files {
			var r recordedEvent
			readJSON(t, file, &r)
			want := usualTags(r.Event.Event)
			if want == "" {
				continue
			}
			seen[r.Event.Kind] = true
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				if got := r.tags(t, name); got != want {
					t.Errorf("%s on %s: tags %q, want %q", r.Event.Kind, r.Event.Ref, got, want)
				}
			})
		}
		for _, kind := range []ci.Kind{ci.Branch, ci.Tag, ci.Request, ci.Schedule} {
			if !seen[kind] && (name != "git" || kind == ci.Branch || kind == ci.Tag) { // git knows neither requests nor timers
				t.Errorf("%s: no recorded event of kind %s", name, kind)
			}
		}
	}
}

// usualTags is what the default rules are to give; empty for events of which
// this test says nothing.
func usualTags(e ci.Event) string {
	switch {
	case e.Kind == ci.Schedule:
		return "nightly\n" + strings.ReplaceAll(e.Branch(), "/", "-")
	case e.Kind == ci.Request && e.Branch() != "" && e.Name == "pull_request": // GitHub's, when one is merged: its ref is the target
		return strings.ReplaceAll(e.Branch(), "/", "-")
	case e.Kind == ci.Request && e.Request.Number > 0:
		return "pr-" + strconv.Itoa(e.Request.Number)
	case e.Kind == ci.Branch && !strings.ContainsAny(e.Branch(), ":;$()[]"):
		return strings.ReplaceAll(e.Branch(), "/", "-")
	case e.GitTag() == "v1.4.2":
		return "v1.4.2\nlatest"
	}
	return ""
}

// tags are the names that the command gives in the recorded environment.
func (r recordedEvent) tags(t *testing.T, provider string) string {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Git {
		cmd := exec.Command("sh", "-ec", c)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t",
			"GIT_AUTHOR_DATE=2021-03-04T05:06:07+0200", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t", "GIT_COMMITTER_DATE=2021-03-04T05:06:07+0200")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	var log bytes.Buffer
	env := &cli.Env{Stdin: strings.NewReader(""), Stdout: &log, Stderr: &log, Environ: r.environ(t, dir), Dir: work, Now: time.Now}
	outputs := filepath.Join(dir, "outputs.json")
	code := cli.Run(context.Background(), env, "hullwright", []cli.Verb{metadata.Verb()}, []string{"metadata", "--images", "octo/app", "--outputs-file", outputs})
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	if env.CI.Name() != provider {
		t.Fatalf("found to be %s", env.CI.Name())
	}
	var got map[string]string
	readJSON(t, outputs, &got)
	if got["tags"] != "octo/app:"+strings.ReplaceAll(got["tag-names"], "\n", "\nocto/app:") {
		t.Errorf("tags %q, names %q", got["tags"], got["tag-names"])
	}
	return got["tag-names"]
}

// environ is the recorded environment, with places of this test's for all that
// a system's outputs go to.
func (r recordedEvent) environ(t *testing.T, dir string) map[string]string {
	t.Helper()
	environ := map[string]string{"PATH": dir + ":" + os.Getenv("PATH"), "HOME": dir}
	for k, v := range r.Environ {
		environ[k] = v
	}
	for _, key := range []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE", "BASH_ENV"} {
		environ[key] = filepath.Join(dir, key)
	}
	environ["HULLWRIGHT_TEKTON_RESULTS"] = dir
	// Buildkite's agent asks Buildkite's API; here something takes its place.
	if err := os.WriteFile(filepath.Join(dir, "buildkite-agent"), []byte("#!/bin/sh\ncat > /dev/null\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r.Payload != nil {
		raw, ok := r.Payload.(string)
		if !ok {
			b, err := json.Marshal(r.Payload)
			if err != nil {
				t.Fatal(err)
			}
			raw = string(b)
		}
		environ["GITHUB_EVENT_PATH"] = filepath.Join(dir, "event.json")
		if err := os.WriteFile(environ["GITHUB_EVENT_PATH"], []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return environ
}
