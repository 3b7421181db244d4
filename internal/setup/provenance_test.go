package setup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestGithubContext(t *testing.T) {
	event := filepath.Join(t.TempDir(), "event.json")
	check(t, os.WriteFile(event, []byte(`{"ref":"refs/heads/main"}`), 0o600))
	environ := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event,
		"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_PROTECTED": "false", "GITHUB_REF_TYPE": "branch",
		"GITHUB_ACTOR": "a", // its group is not whole
		"ImageOS":      "ubuntu24", "ImageVersion": "1", "RUNNER_OS": "Linux", "RUNNER_ARCH": "X64",
		"RUNNER_ENVIRONMENT": "github-hosted", "RUNNER_TRACKING_ID": "t", "RUNNER_NAME": "r",
		"GITHUB_TOKEN": "secret",
	}
	raw, err := githubContext(environ)
	check(t, err)
	var got map[string]any
	check(t, json.Unmarshal(raw, &got))
	want := map[string]any{
		"github_event_name": "push", "github_event_payload": map[string]any{"ref": "refs/heads/main"},
		"github_ref": "refs/heads/main", "github_ref_name": "main", "github_ref_protected": "false", "github_ref_type": "branch",
		"github_runner_image_os": "ubuntu24", "github_runner_image_version": "1", "github_runner_os": "Linux", "github_runner_arch": "X64",
		"github_runner_environment": "github-hosted", "github_runner_tracking_id": "t", "github_runner_name": "r",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if raw, err := githubContext(map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event}); raw != nil || err != nil {
		t.Errorf("off GitHub: %s, %v", raw, err)
	}
	environ["GITHUB_EVENT_PATH"] = event + ".none"
	if _, err := githubContext(environ); errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("got %v", err)
	}
}
