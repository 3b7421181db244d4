package ci

import (
	"context"
	"strings"
)

// gitea is Gitea Actions and Forgejo Actions, which set GITHUB_* and read
// GitHub's commands.
type gitea struct{ *github }

func onGitea(environ map[string]string) bool { return environ["GITEA_ACTIONS"] == "true" }

// onForgejo: Forgejo sets GITEA_ACTIONS and GITHUB_ACTIONS too.
func onForgejo(environ map[string]string) bool { return environ["FORGEJO_ACTIONS"] == "true" }

func newGitea(h Host) Provider { return gitea{&github{host: h, name: "gitea"}} }

func newForgejo(h Host) Provider { return gitea{&github{host: h, name: "forgejo"}} }

// Event reads GITHUB_* and the payload. Two things differ from GitHub: a
// request's ref is refs/pull/N/head, since the forge makes no trial merge, and
// a run is addressed by its number in the repository, without attempts.
func (g gitea) Event(ctx context.Context) (Event, error) {
	e, err := g.github.Event(ctx)
	if err != nil {
		return Event{}, err
	}
	if e.Request != nil && strings.HasPrefix(string(e.Ref), "refs/pull/") && e.Request.Number > 0 {
		e.Ref = mergeRef(e.Request.Number)
	}
	if g.host.Environ["HULLWRIGHT_JOB_URL"] == "" {
		e.JobURL = ""
		if run := g.host.Environ["GITHUB_RUN_NUMBER"]; run != "" && e.ServerURL != "" && e.Repository.Slug != "" {
			e.JobURL = e.ServerURL + "/" + e.Repository.Slug + "/actions/runs/" + run
		}
	}
	return e, nil
}
