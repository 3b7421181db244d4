package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// act runs one event's workflow in a workspace, on this machine and offline:
// hullwright/hullwright@v1 is this tree, and actions/checkout is act's own copy.
func (w *workspace) act(t *testing.T, event, payload, workflow string, more ...string) command {
	t.Helper()
	root, err := filepath.Abs("..")
	check(t, err)
	return command{
		argv: append([]string{
			"act", event,
			"--workflows", workflow,
			"--eventpath", payload,
			"--platform", "ubuntu-latest=-self-hosted",
			"--local-repository", "hullwright/hullwright@v1=" + root,
			"--var", "REGISTRY=" + w.registry,
			"--secret", "GITHUB_TOKEN=none",
			"--no-cache-server",
			"--env-file", os.DevNull, "--var-file", os.DevNull, "--secret-file", os.DevNull,
			"--concurrent-jobs", "1", // emulators are the machine's
		}, more...),
		within: 6 * time.Minute,
	}
}

// recorded writes the payload of a recorded event to a file, and returns it
// with the address of the repository that it is of. A branch that was pushed is
// main, as it is in the checkout.
func recorded(t *testing.T, event string) (payload, origin string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("events/github", event+".json"))
	check(t, err)
	var record struct{ Payload map[string]any }
	check(t, json.Unmarshal(raw, &record))
	repository, _ := record.Payload["repository"].(map[string]any)
	address, ok := repository["html_url"].(string)
	if !ok {
		t.Fatalf("the payload of %s names no repository", event)
	}
	if ref, _ := record.Payload["ref"].(string); strings.HasPrefix(ref, "refs/heads/") {
		record.Payload["ref"] = "refs/heads/main"
	}
	raw, err = json.Marshal(record.Payload)
	check(t, err)
	payload = filepath.Join(t.TempDir(), "event.json")
	check(t, os.WriteFile(payload, raw, 0o600))
	return payload, address + ".git"
}

// TestAct runs the example workflows for the events that start them. What each
// job says and what the registry holds afterwards must agree.
func TestAct(t *testing.T) {
	for _, tc := range []struct {
		name      string
		event     string // as workflows name it
		payload   string // in events/github
		gitTag    string // that the checkout has
		workflow  string
		tags      []string // SHA stands for the commit's first seven digits
		platforms []string
		says      []string // DIGEST and REGISTRY stand for what they are
	}{{
		name: "branch", event: "push", payload: "push-branch", workflow: "release",
		tags:      []string{"edge", "sha-SHA"},
		platforms: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"},
		says:      []string{"released edge as DIGEST", "Success - Post hullwright/hullwright@v1"},
	}, {
		name: "tag", event: "push", payload: "push-tag", gitTag: "v1.4.2", workflow: "release",
		tags:      []string{"1.4.2", "1.4", "1", "latest", "sha-SHA"},
		platforms: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"},
		says:      []string{"released 1.4.2 as DIGEST", "Success - Post hullwright/hullwright@v1"},
	}, {
		name: "pull request", event: "pull_request", payload: "pull-request", workflow: "preview",
		tags:      []string{"pr-42"},
		platforms: []string{"linux/amd64", "linux/arm64"},
		says:      []string{"try REGISTRY/hullwright/app:pr-42, which is DIGEST", "Success - Post hullwright/hullwright/setup@v1"},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			payload, origin := recorded(t, tc.payload)
			w := newWorkspace(t, "", origin)
			if tc.gitTag != "" {
				w.git(t, "tag", tc.gitTag)
			}
			got := w.run(t, w.act(t, tc.event, payload, ".github/workflows/"+tc.workflow+".yml")).ok(t)

			image := w.registry + "/hullwright/app"
			tags := slices.Clone(tc.tags)
			for i := range tags {
				tags[i] = strings.ReplaceAll(tags[i], "SHA", w.sha[:7])
			}
			digest := w.holds(t, image, tags, tc.platforms)
			names := strings.NewReplacer("DIGEST", digest, "REGISTRY", w.registry)
			for _, text := range append(tc.says, "### hullwright: built and pushed") { // the summary
				got.says(t, names.Replace(text))
			}
			// act gives a step a terminal, which nobody watches: a display that
			// draws itself anew has no place in a log.
			if strings.Contains(got.out, hideCursor) {
				t.Errorf("the log has a live display:\n%s", got.out)
			}
			gone(t, buildersIn(t, got.out, 1)...)
		})
	}
}

// hideCursor is with what a live display begins.
const hideCursor = "\x1b[?25l"

// TestActFork runs the preview of a stranger's pull request: it is built, and
// nothing is pushed.
func TestActFork(t *testing.T) {
	payload, origin := recorded(t, "pull-request-fork")
	w := newWorkspace(t, "", origin)
	got := w.run(t, w.act(t, "pull_request", payload, ".github/workflows/preview.yml")).ok(t)
	got.says(t, "comes from a fork", "set-output:: pushed=false", "Success - Post hullwright/hullwright/setup@v1")
	w.holdsNothing(t, w.registry+"/hullwright/app")
	gone(t, buildersIn(t, got.out, 1)...)
}

// TestActFailed runs builds that fail, in one step and in several: the workflow
// fails, and the clean-up steps run all the same.
func TestActFailed(t *testing.T) {
	payload, origin := recorded(t, "push-branch")
	w := newWorkspace(t, "testdata/act", origin)
	got := w.run(t, w.act(t, "push", payload, "workflows/failed.yml"))
	if got.code != 1 {
		t.Errorf("exit code %d, want 1", got.code)
	}
	got.says(t,
		"Dockerfile:2", ">>> RUN echo about to fail && false",
		"Success - Post hullwright/hullwright@v1", "Success - Post hullwright/hullwright/setup@v1",
		"alone is a failure, stepwise is a failure",
	)
	w.holdsNothing(t, w.registry+"/failed")
	gone(t, buildersIn(t, got.out, 2)...)
}

// TestActHostile builds a stranger's Dockerfile, whose steps are named as the
// runner's commands and print more of them, one step as it fails. No output, no
// mask and no path is theirs, and a secret's encoding is hidden.
func TestActHostile(t *testing.T) {
	payload, origin := recorded(t, "push-branch")
	w := newWorkspace(t, "testdata/act", origin)
	got := w.run(t, w.act(t, "push", payload, "workflows/hostile.yml")).ok(t)
	if strings.Contains(got.out, "obeyed evergreen") {
		t.Error("the runner masks nothing at all: the test shows nothing")
	}
	digest := w.digest(t, w.registry+"/hostile:main")
	got.says(t,
		"evergreen elements: ["+digest+"] and []", "the path is ours",
		"Dockerfile:9", "the secret is ***, and c2VjcmV0 alone is no secret",
		"Success - Post hullwright/hullwright@v1",
	)
	gone(t, buildersIn(t, got.out, 2)...)
}

// TestActCanceled cancels builds. act kills the step at once, with all that it
// started, and runs the clean-up steps: they alone remove the builder.
func TestActCanceled(t *testing.T) {
	for _, tc := range []struct{ job, post string }{
		{"alone", "Success - Post hullwright/hullwright@v1"},
		{"stepwise", "Success - Post hullwright/hullwright/setup@v1"},
	} {
		t.Run(tc.job, func(t *testing.T) {
			payload, origin := recorded(t, "push-branch")
			w := newWorkspace(t, "testdata/act", origin)
			c := w.act(t, "push", payload, "workflows/canceled.yml", "--job", tc.job)
			c.within = 2 * time.Minute
			c.interruptAt = regexp.MustCompile(`RUN echo "asleep`)
			got := w.run(t, c)
			if got.code == 0 {
				t.Error("exit code 0, want a failure")
			}
			got.says(t, tc.post)
			w.holdsNothing(t, w.registry+"/canceled")
			gone(t, buildersIn(t, got.out, 1)...)
		})
	}
}

// holdsNothing checks that a repository has no tag.
func (w *workspace) holdsNothing(t *testing.T, repository string) {
	t.Helper()
	got := w.crane(t, "ls", repository)
	if got.code == 0 && strings.TrimSpace(got.out) != "" {
		t.Errorf("tags were written to %s:\n%s", repository, got.out)
	}
	if got.code != 0 && !strings.Contains(got.out, "NAME_UNKNOWN") {
		t.Errorf("list the tags of %s: %s", repository, got.out)
	}
}

var builderLine = regexp.MustCompile(`setup: making builder (\S+) \(driver docker-container\)`)

// buildersIn are the builders that a log tells of, as many as are expected.
func buildersIn(t *testing.T, log string, want int) []string {
	t.Helper()
	var builders []string
	for _, m := range builderLine.FindAllStringSubmatch(log, -1) {
		if !slices.Contains(builders, m[1]) {
			builders = append(builders, m[1])
		}
	}
	if len(builders) != want {
		t.Fatalf("the log tells of the builders %v, want %d\n%s", builders, want, log)
	}
	return builders
}
