package ci

import (
	"context"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// circleci is CircleCI.
type circleci struct{ system }

func onCircleCI(environ map[string]string) bool { return environ["CIRCLECI"] == "true" }

func newCircleCI(h Host) Provider { return circleci{system{name: "circleci", host: h}} }

// Event reads CIRCLE_*. What only pipeline values know (target, default branch,
// schedules) a job gives by HULLWRIGHT_*.
func (c circleci) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      "push",
		SHA:       c.env("CIRCLE_SHA1"),
		Actor:     c.env("CIRCLE_PR_USERNAME", "CIRCLE_USERNAME"),
		JobURL:    c.env("CIRCLE_BUILD_URL"),
		RunID:     c.env("CIRCLE_WORKFLOW_ID", "CIRCLE_BUILD_NUM"),
		Workspace: c.atHome(c.env("CIRCLE_WORKING_DIRECTORY")),
		Repository: Repository{
			Slug: joined(c.env("CIRCLE_PROJECT_USERNAME"), c.env("CIRCLE_PROJECT_REPONAME")),
			URL:  c.env("CIRCLE_REPOSITORY_URL"),
		},
	}
	e.onTagOrBranch(c.env("CIRCLE_TAG"), c.env("CIRCLE_BRANCH"))
	if err := c.request(&e); err != nil {
		return Event{}, err
	}
	if e.Kind == Tag {
		e.Name = "tag"
	}
	return c.settle(ctx, e, "CIRCLE_SHA1")
}

// request: CIRCLE_PR_* are set for forks only. On a request from the same
// repository its address alone is known.
func (c circleci) request(e *Event) error {
	variable, told := "CIRCLE_PR_NUMBER", c.env("CIRCLE_PR_NUMBER")
	if told == "" {
		variable, told = "CIRCLE_PULL_REQUEST", lastSegment(c.env("CIRCLE_PULL_REQUEST"))
	}
	if told == "" || e.Kind == Tag {
		return nil
	}
	e.Name = "pull_request"
	return e.onRequest(variable, told, ChangeRequest{Source: c.env("CIRCLE_BRANCH"), Fork: c.env("CIRCLE_PR_REPONAME") != ""})
}

// Output appends to BASH_ENV, which the shell of every later step reads.
func (c circleci) Output(name, value string) error {
	path := c.env("BASH_ENV")
	if path == "" {
		return errdefs.New(errdefs.Environment, "output %s: BASH_ENV is not set", name).
			WithHint("off CircleCI, give --provider git")
	}
	if err := (shellFile{path: path}).set(name, value); err != nil {
		return err
	}
	return c.alsoDotenv(name, value)
}

// joined is owner/name, and empty where a part is.
func joined(owner, name string) string {
	if owner == "" || name == "" {
		return ""
	}
	return owner + "/" + name
}
