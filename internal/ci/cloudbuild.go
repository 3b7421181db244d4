package ci

import (
	"context"
	"net/url"
)

// cloudbuild is Google Cloud Build. It tells a step nothing: a build's
// configuration hands its substitutions to the step's environment, under their
// own names or as HULLWRIGHT_*.
type cloudbuild struct{ workspace }

func onCloudBuild(environ map[string]string) bool { return environ["BUILDER_OUTPUT"] != "" }

func newCloudBuild(h Host) Provider { return cloudbuild{newWorkspace("cloudbuild", h)} }

// Event reads the substitutions of a trigger.
func (c cloudbuild) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:       "push",
		SHA:        c.env("COMMIT_SHA", "REVISION_ID"),
		JobURL:     c.jobURL(),
		RunID:      c.env("BUILD_ID"),
		Repository: Repository{Slug: c.env("REPO_FULL_NAME")},
	}
	e.onTagOrBranch(c.env("TAG_NAME"), c.env("BRANCH_NAME"))
	if e.Kind == Tag {
		e.Name = "tag"
	}
	if told := c.env("_PR_NUMBER"); told != "" {
		e.Name = "pull_request"
		head := slugOf(c.env("_HEAD_REPO_URL"))
		if err := e.onRequest("_PR_NUMBER", told, ChangeRequest{
			Source: c.env("_HEAD_BRANCH"), Target: c.env("_BASE_BRANCH"), Fork: head == "" || head != e.Repository.Slug,
		}); err != nil {
			return Event{}, err
		}
		if !e.Request.Fork {
			e.Repository.URL = c.env("_HEAD_REPO_URL")
		}
	}
	return c.settle(ctx, e, "COMMIT_SHA")
}

func (c cloudbuild) jobURL() string {
	id := c.env("BUILD_ID")
	if id == "" {
		return ""
	}
	u := "https://console.cloud.google.com/cloud-build/builds;region=" + url.PathEscape(first(c.env("LOCATION"), "global")) + "/" + url.PathEscape(id)
	if project := c.env("PROJECT_ID"); project != "" {
		u += "?project=" + url.QueryEscape(project)
	}
	return u
}
