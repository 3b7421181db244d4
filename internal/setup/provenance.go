package setup

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// provenanceFile is where buildkitd looks for facts about its surroundings that
// it adds to every provenance.
const provenanceFile = "provenance.d/github_actions_context.json"

// provenanceGroups are the variables that GitHub's runner sets; a group that is
// not whole is left out. The keys are those of buildx (util/ghutil).
var provenanceGroups = [][]string{
	{"GITHUB_ACTOR", "GITHUB_ACTOR_ID", "GITHUB_TRIGGERING_ACTOR"},
	{"GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_REF_PROTECTED", "GITHUB_REF_TYPE"},
	{"GITHUB_REPOSITORY", "GITHUB_REPOSITORY_ID", "GITHUB_REPOSITORY_OWNER", "GITHUB_REPOSITORY_OWNER_ID"},
	{
		"GITHUB_JOB", "GITHUB_RUN_ATTEMPT", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER",
		"GITHUB_SERVER_URL", "GITHUB_WORKFLOW", "GITHUB_WORKFLOW_REF", "GITHUB_WORKFLOW_SHA",
	},
	{
		"ImageOS", "ImageVersion", "RUNNER_OS", "RUNNER_ARCH",
		"RUNNER_ENVIRONMENT", "RUNNER_TRACKING_ID", "RUNNER_NAME",
	},
}

func provenanceKey(variable string) string {
	switch {
	case variable == "ImageOS":
		return "github_runner_image_os"
	case variable == "ImageVersion":
		return "github_runner_image_version"
	case strings.HasPrefix(variable, "RUNNER_"):
		return "github_" + strings.ToLower(variable)
	}
	return strings.ToLower(variable)
}

// githubContext is the workflow run as provenance tells it; nil off GitHub.
func githubContext(environ map[string]string) ([]byte, error) {
	event, path := environ["GITHUB_EVENT_NAME"], environ["GITHUB_EVENT_PATH"]
	if environ["GITHUB_ACTIONS"] != "true" || event == "" || path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "GITHUB_EVENT_PATH: %w", err)
	}
	var payload map[string]any
	if err := json.Unmarshal(raw, &payload); err != nil {
		return nil, errdefs.New(errdefs.Environment, "GITHUB_EVENT_PATH %s: %w", path, err)
	}
	facts := map[string]any{"github_event_name": event, "github_event_payload": payload}
	for _, group := range provenanceGroups {
		addWhole(facts, environ, group)
	}
	return json.Marshal(facts)
}

func addWhole(facts map[string]any, environ map[string]string, names []string) {
	for _, n := range names {
		if environ[n] == "" {
			return
		}
	}
	for _, n := range names {
		facts[provenanceKey(n)] = environ[n]
	}
}
