package ci

import (
	"context"
	"strings"
)

// codebuild is AWS CodeBuild. Its exported variables must be set in the shell
// of the buildspec, which reads the outputs' file.
type codebuild struct{ workspace }

func onCodeBuild(environ map[string]string) bool { return environ["CODEBUILD_BUILD_ID"] != "" }

func newCodeBuild(h Host) Provider { return codebuild{newWorkspace("codebuild", h)} }

// Event reads CODEBUILD_*. Whether a request comes from a fork is not told, so
// each is taken for one.
func (c codebuild) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:       first(c.env("CODEBUILD_WEBHOOK_EVENT"), "start"),
		SHA:        c.env("CODEBUILD_RESOLVED_SOURCE_VERSION"),
		Actor:      c.env("CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID", "CODEBUILD_INITIATOR"),
		JobURL:     c.env("CODEBUILD_PUBLIC_BUILD_URL", "CODEBUILD_BUILD_URL"),
		RunID:      c.env("CODEBUILD_BUILD_ID"),
		Workspace:  c.env("CODEBUILD_SRC_DIR"),
		Repository: Repository{URL: c.env("CODEBUILD_SOURCE_REPO_URL")},
	}
	if !commitForm.MatchString(e.SHA) {
		e.SHA = "" // behind CodePipeline, the version of an archive in S3
	}
	if err := c.ref(&e); err != nil {
		return Event{}, err
	}
	// What a rule of EventBridge starts has its name here; a rule is a timer but
	// where a person wrote it for something else, and then HULLWRIGHT_EVENT tells.
	if strings.HasPrefix(c.env("CODEBUILD_INITIATOR"), "rule/") {
		e.Name, e.Kind = "schedule", Schedule
	}
	return c.settle(ctx, e, "CODEBUILD_RESOLVED_SOURCE_VERSION")
}

// ref sets what is built: a webhook tells it by CODEBUILD_WEBHOOK_TRIGGER
// (branch/x, tag/x, pr/7), a build that a person or a program started by
// CODEBUILD_SOURCE_VERSION, in whichever form they wrote it.
func (c codebuild) ref(e *Event) error {
	trigger := c.env("CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION")
	trigger, _, _ = strings.Cut(trigger, "^{")
	kind, name, _ := strings.Cut(trigger, "/")
	switch {
	case kind == "pr":
		return c.request(e, name)
	case kind == "branch" && c.env("CODEBUILD_WEBHOOK_TRIGGER") != "":
		e.onTagOrBranch("", name)
	case kind == "tag" && c.env("CODEBUILD_WEBHOOK_TRIGGER") != "":
		e.onTagOrBranch(name, "")
	case refNumber(GitRef(trigger+"/")) != "":
		return c.request(e, refNumber(GitRef(trigger+"/")))
	case strings.HasPrefix(trigger, "refs/"):
		e.Ref = GitRef(trigger)
	case strings.HasPrefix(c.env("CODEBUILD_WEBHOOK_HEAD_REF"), "refs/"):
		e.Ref = GitRef(c.env("CODEBUILD_WEBHOOK_HEAD_REF"))
	case trigger != "" && !commitForm.MatchString(trigger) && !strings.HasPrefix(trigger, "arn:"):
		e.onTagOrBranch("", trigger)
	}
	return nil
}

func (c codebuild) request(e *Event, told string) error {
	return e.onRequest("CODEBUILD_WEBHOOK_TRIGGER", told, ChangeRequest{
		Source: c.env("CODEBUILD_WEBHOOK_HEAD_REF"), Target: c.env("CODEBUILD_WEBHOOK_BASE_REF"), Fork: true,
	})
}
