package ci

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// travis is Travis CI.
type travis struct {
	workspace
	folds atomic.Int64 // that were started, so that each has its own name
}

func onTravis(environ map[string]string) bool { return environ["TRAVIS"] == "true" }

func newTravis(h Host) Provider { return &travis{workspace: newWorkspace("travis", h)} }

// Event reads TRAVIS_*. TRAVIS_BRANCH is a request's target, and on a tag the
// tag's name.
func (t *travis) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:       t.env("TRAVIS_EVENT_TYPE"),
		SHA:        t.env("TRAVIS_COMMIT"),
		JobURL:     t.env("TRAVIS_JOB_WEB_URL", "TRAVIS_BUILD_WEB_URL"),
		RunID:      t.env("TRAVIS_BUILD_ID"),
		Workspace:  t.env("TRAVIS_BUILD_DIR"),
		Repository: Repository{Slug: t.env("TRAVIS_REPO_SLUG")},
	}
	e.onTagOrBranch(t.env("TRAVIS_TAG"), t.env("TRAVIS_BRANCH"))
	if told := t.env("TRAVIS_PULL_REQUEST"); told != "" && told != "false" {
		if err := e.onRequest("TRAVIS_PULL_REQUEST", told, ChangeRequest{
			Source: t.env("TRAVIS_PULL_REQUEST_BRANCH"), Target: t.env("TRAVIS_BRANCH"),
			Fork: t.env("TRAVIS_PULL_REQUEST_SLUG") == "" || !strings.EqualFold(t.env("TRAVIS_PULL_REQUEST_SLUG"), t.env("TRAVIS_REPO_SLUG")),
		}); err != nil {
			return Event{}, err
		}
		e.HeadSHA = t.env("TRAVIS_PULL_REQUEST_SHA")
	}
	if e.Name == "cron" {
		e.Kind = Schedule
	}
	return t.settle(ctx, e, "TRAVIS_COMMIT")
}

// StartGroup begins a fold.
func (t *travis) StartGroup(w io.Writer, title string) {
	fmt.Fprintf(w, "travis_fold:start:hullwright_%d\r\x1b[0K%s\n", t.folds.Add(1), strings.ReplaceAll(Clean(title), "\n", " "))
}

// EndGroup ends the fold.
func (t *travis) EndGroup(w io.Writer) {
	fmt.Fprintf(w, "travis_fold:end:hullwright_%d\r\x1b[0K\n", t.folds.Load())
}

// Fence keeps text from folding the log.
func (t *travis) Fence(w io.Writer) (io.WriteCloser, error) {
	return guardLines(w, t.lineMarks()...), nil
}

func (*travis) lineMarks() []string { return []string{"travis_fold:", "travis_time:"} }
