package buildpush

import (
	"context"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// distrust takes from the request of a fork what would let a stranger write:
// the push and the export of cache. An ssh agent is refused: steps of the
// stranger's Dockerfile could use it for anything.
func (j *job) distrust(ctx context.Context) error {
	r := &j.request
	if !j.ofFork() || j.options.AllowUntrusted {
		return nil
	}
	if len(r.Secrets) > 0 && j.buildsHead(ctx) {
		return errdefs.BadInputf("secrets", 0, "request %d comes from a fork, and on %s its Dockerfile would get this repository's secrets", j.event.Request.Number, j.event.Name).
			WithHint("build requests on pull_request, which has no secrets; or set allow-untrusted, once somebody has read the change")
	}
	if len(r.SSH) > 0 {
		return errdefs.BadInputf("ssh", 0, "request %d comes from a fork, whose Dockerfile could use the agent for anything", j.event.Request.Number).
			WithHint("leave ssh out for requests of forks, or set allow-untrusted")
	}
	if !r.Push && len(r.CacheTo) == 0 {
		return nil
	}
	r.Push, r.CacheTo = false, nil
	return j.warn("push", "request %d comes from a fork: it is built, and neither pushed nor its cache exported; allow-untrusted changes that", j.event.Request.Number)
}

// ofFork is whether the run is of a request whose author may be a stranger.
func (j *job) ofFork() bool { return j.event.Request != nil && j.event.Request.Fork }

// buildsHead is whether a job that runs with the rights of the repository itself
// has checked out what the request's author wrote.
func (j *job) buildsHead(ctx context.Context) bool {
	if !strings.Contains(j.event.Name, "pull_request_target") || j.request.Context.Dir == "" {
		return false
	}
	host := j.gitHost()
	host.Dir = j.request.Context.Dir
	checkout, err := ci.ReadCheckout(ctx, host)
	return err == nil && checkout.SHA == j.event.HeadSHA
}
