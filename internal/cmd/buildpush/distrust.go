package buildpush

import (
	"context"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// distrust takes from the request of a fork what would let a stranger write:
// the push and the export of cache. An ssh agent is refused: steps of the
// stranger's Dockerfile could use it for anything.
func (j *job) distrust(context.Context) error {
	r := &j.request
	fork := j.event.Request != nil && j.event.Request.Fork
	if !fork || j.options.AllowUntrusted {
		return nil
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
