package ci

import "context"

// drone is Drone. Its steps share nothing but the checkout.
type drone struct{ workspace }

func onDrone(environ map[string]string) bool { return environ["DRONE"] == "true" }

func newDrone(h Host) Provider { return drone{newWorkspace("drone", h)} }

// Event reads DRONE_*. Drone does not tell whether a request comes from a fork,
// so each is taken for one.
func (d drone) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      d.env("DRONE_BUILD_EVENT"),
		SHA:       d.env("DRONE_COMMIT_SHA", "DRONE_COMMIT"),
		Ref:       GitRef(d.env("DRONE_COMMIT_REF")),
		Actor:     d.env("DRONE_BUILD_TRIGGER", "DRONE_COMMIT_AUTHOR"),
		JobURL:    d.env("DRONE_BUILD_LINK"),
		RunID:     d.env("DRONE_BUILD_NUMBER"),
		Workspace: d.env("DRONE_WORKSPACE"),
		Repository: Repository{
			Slug:          d.env("DRONE_REPO"),
			URL:           d.env("DRONE_REPO_LINK", "DRONE_GIT_HTTP_URL"),
			DefaultBranch: d.env("DRONE_REPO_BRANCH"),
			Visibility:    d.visibility(),
		},
	}
	if e.Ref == "" {
		e.onTagOrBranch(d.env("DRONE_TAG"), d.env("DRONE_BRANCH"))
	}
	if told := first(d.env("DRONE_PULL_REQUEST"), refNumber(e.Ref)); told != "" {
		// DRONE_BRANCH is the target here.
		if err := e.onRequest("DRONE_PULL_REQUEST", told, ChangeRequest{
			Source: d.env("DRONE_SOURCE_BRANCH"), Target: d.env("DRONE_TARGET_BRANCH", "DRONE_BRANCH"), Fork: true,
		}); err != nil {
			return Event{}, err
		}
	}
	if e.Name == "cron" {
		e.Kind = Schedule
	}
	return d.settle(ctx, e, "DRONE_COMMIT_SHA")
}

func (d drone) visibility() Visibility {
	switch v := Visibility(d.env("DRONE_REPO_VISIBILITY")); v {
	case Public, Internal, Private:
		return v
	}
	return ""
}
