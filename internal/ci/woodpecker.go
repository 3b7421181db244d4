package ci

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// woodpecker is Woodpecker. Its steps share nothing but the checkout.
type woodpecker struct{ workspace }

func onWoodpecker(environ map[string]string) bool { return environ["CI"] == "woodpecker" }

func newWoodpecker(h Host) Provider { return woodpecker{newWorkspace("woodpecker", h)} }

// Event reads CI_*. Woodpecker does not tell whether a request comes from a
// fork, so each is taken for one.
func (w woodpecker) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      w.env("CI_PIPELINE_EVENT", "CI_BUILD_EVENT"), // CI_BUILD_* before v1
		SHA:       w.env("CI_COMMIT_SHA"),
		Ref:       GitRef(w.env("CI_COMMIT_REF")),
		Actor:     w.env("CI_PIPELINE_AUTHOR", "CI_COMMIT_AUTHOR"),
		ServerURL: withoutUser(w.env("CI_FORGE_URL")),
		JobURL:    w.env("CI_STEP_URL", "CI_PIPELINE_URL"),
		RunID:     w.env("CI_PIPELINE_NUMBER"),
		Workspace: w.env("CI_WORKSPACE"),
		Repository: Repository{
			Slug:          w.env("CI_REPO"),
			URL:           w.env("CI_REPO_URL", "CI_REPO_CLONE_URL"),
			DefaultBranch: w.env("CI_REPO_DEFAULT_BRANCH"),
		},
	}
	switch w.env("CI_REPO_PRIVATE") {
	case "true":
		e.Repository.Visibility = Private
	case "false":
		e.Repository.Visibility = Public
	}
	// Seconds since 1970; 0 where a pipeline runs on a laptop.
	if seconds, err := strconv.ParseInt(w.env("CI_COMMIT_TIMESTAMP"), 10, 64); err == nil && seconds > 0 {
		e.CommitTime = time.Unix(seconds, 0).UTC()
	}
	if e.Ref == "" {
		e.onTagOrBranch(w.env("CI_COMMIT_TAG"), w.env("CI_COMMIT_BRANCH"))
	}
	if err := w.request(&e); err != nil {
		return Event{}, err
	}
	if e.Name == "cron" {
		e.Kind = Schedule
	}
	return w.settle(ctx, e, "CI_COMMIT_SHA")
}

func (w woodpecker) request(e *Event) error {
	told := first(w.env("CI_COMMIT_PULL_REQUEST"), refNumber(e.Ref))
	if told == "" && strings.HasPrefix(e.Name, "pull_request") { // woodpecker-cli exec tells the event and no more
		e.Request, e.Kind, e.Ref = &ChangeRequest{Fork: true}, Request, ""
		return nil
	}
	if told == "" {
		return nil
	}
	// CI_COMMIT_BRANCH is the target here.
	return e.onRequest("CI_COMMIT_PULL_REQUEST", told, ChangeRequest{
		Source: w.env("CI_COMMIT_SOURCE_BRANCH"), Target: w.env("CI_COMMIT_TARGET_BRANCH", "CI_COMMIT_BRANCH"), Fork: true,
	})
}
