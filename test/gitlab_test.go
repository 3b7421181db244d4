package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestGitLab runs examples/gitlab-ci.yml under gitlab-ci-local, with a shell as
// executor. The digest that the second job prints came to it by the dotenv
// report of the first.
func TestGitLab(t *testing.T) {
	for _, tc := range []struct {
		name      string
		arguments []string
		tag       string
	}{{
		name: "branch",
		tag:  "main",
	}, {
		name: "merge request",
		arguments: []string{
			"--variable", "CI_PIPELINE_SOURCE=merge_request_event",
			"--variable", "CI_MERGE_REQUEST_IID=42",
			"--variable", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=feature/x",
			"--variable", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main",
			// One project: a fork's request would be built and not pushed.
			"--variable", "CI_MERGE_REQUEST_PROJECT_ID=7",
			"--variable", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID=7",
			"--unset-variable", "CI_COMMIT_BRANCH",
		},
		tag: "pr-42",
	}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorkspace(t, "", "git@gitlab.com:acme/group/app.git")
			image := w.registry + "/acme/group/app"
			host, _, _ := strings.Cut(w.registry, "/")
			got := w.run(t, command{
				argv: append([]string{
					"gitlab-ci-local",
					"--file", "examples/gitlab-ci.yml",
					"--force-shell-executor",
					"--concurrency", "1",
					"--variable", "GITLAB_CI=true", // which gitlab-ci-local itself sets to false
					"--variable", "CI_REGISTRY=" + host,
					"--variable", "CI_REGISTRY_USER=gitlab-ci-token",
					"--variable", "CI_REGISTRY_PASSWORD=of-the-job",
					"--variable", "CI_REGISTRY_IMAGE=" + image,
				}, tc.arguments...),
				within: 6 * time.Minute,
			}).ok(t)

			got.says(t, "logged in to "+host+" as gitlab-ci-token")
			digest := w.holds(t, image, []string{tc.tag}, []string{"linux/amd64", "linux/arm64"})
			got.says(t, "deploying "+image+"@"+digest)
			if outputs := readOutputs(t, filepath.Join(w.dir, "image.json")); outputs["digest"] != digest {
				t.Errorf("image.json has the digest %q, want %s", outputs["digest"], digest)
			}
			strictDotenv(t, filepath.Join(w.dir, "hullwright.env"))
		})
	}
}

var dotenvLine = regexp.MustCompile(`^[A-Za-z0-9_]+=[^\s"'$#]+$`)

// strictDotenv checks a dotenv report by GitLab's rules, which are stricter than
// gitlab-ci-local's: no blank line, no quotes, no blanks, at most 5 KiB.
// https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
func strictDotenv(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	if len(raw) > 5<<10 {
		t.Errorf("the dotenv report has %d bytes", len(raw))
	}
	for line := range strings.Lines(string(raw)) {
		if !dotenvLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("the dotenv report has the line %q", line)
		}
	}
}

// readOutputs reads the file of --outputs-file.
func readOutputs(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	var outputs map[string]string
	check(t, json.Unmarshal(raw, &outputs))
	return outputs
}
