package ci

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// gitlab is GitLab CI, and gitlab-ci-local.
type gitlab struct {
	host   Host
	dotenv dotenv
	now    func() time.Time

	sections atomic.Int64 // that were started, so that each has its own name
}

// onGitLab: gitlab-ci-local sets GITLAB_CI to false and CI_SERVER to yes.
func onGitLab(environ map[string]string) bool {
	return environ["GITLAB_CI"] == "true" || environ["CI_SERVER"] == "yes"
}

func newGitLab(h Host) Provider {
	path := h.DotenvFile
	if path == "" {
		path = "hullwright.env"
	}
	return &gitlab{host: h, dotenv: dotenv{path: within(h.Dir, path)}, now: h.Now}
}

func (g *gitlab) Name() string { return "gitlab" }

// Event reads CI_*. CI_REPOSITORY_URL is not read: it holds the job's token.
func (g *gitlab) Event(context.Context) (Event, error) {
	env := g.host.Environ
	e := Event{
		Provider:  g.Name(),
		Name:      env["CI_PIPELINE_SOURCE"],
		SHA:       env["CI_COMMIT_SHA"],
		Actor:     env["GITLAB_USER_LOGIN"],
		ServerURL: withoutUser(env["CI_SERVER_URL"]),
		JobURL:    env["CI_JOB_URL"],
		RunID:     env["CI_PIPELINE_ID"],
		Workspace: env["CI_PROJECT_DIR"],
		Repository: Repository{
			Slug:          env["CI_PROJECT_PATH"],
			Name:          env["CI_PROJECT_NAME"],
			URL:           withoutUser(env["CI_PROJECT_URL"]),
			Description:   env["CI_PROJECT_DESCRIPTION"],
			DefaultBranch: env["CI_DEFAULT_BRANCH"],
			Visibility:    Visibility(env["CI_PROJECT_VISIBILITY"]),
		},
	}
	if e.SHA != "" && !shaForm.MatchString(e.SHA) {
		return Event{}, errdefs.New(errdefs.BadInput, "CI_COMMIT_SHA %q: not a commit's hash", e.SHA)
	}
	e.HeadSHA = e.SHA
	if stamp := env["CI_COMMIT_TIMESTAMP"]; stamp != "" {
		t, err := ParseTime(stamp)
		if err != nil {
			e.Notices = append(e.Notices, Notice{Level: Warning, Message: "CI_COMMIT_TIMESTAMP: " + err.Error()})
		}
		e.CommitTime = t
	}
	if err := g.request(&e); err != nil {
		return Event{}, err
	}
	e.Ref = g.ref()
	e.Kind = g.kind(e)
	if err := e.give(env); err != nil {
		return Event{}, err
	}
	return e, nil
}

// ref is the pipeline's ref. CI_COMMIT_REF_NAME is not enough: it is a branch's
// or a tag's name, and in a merge request's pipeline the source branch.
func (g *gitlab) ref() GitRef {
	env := g.host.Environ
	switch {
	case env["CI_MERGE_REQUEST_IID"] != "":
		return GitRef(first(env["CI_MERGE_REQUEST_REF_PATH"], "refs/merge-requests/"+env["CI_MERGE_REQUEST_IID"]+"/head"))
	case env["CI_EXTERNAL_PULL_REQUEST_IID"] != "":
		return GitRef("refs/pull/" + env["CI_EXTERNAL_PULL_REQUEST_IID"] + "/head")
	case env["CI_COMMIT_TAG"] != "":
		return GitRef("refs/tags/" + env["CI_COMMIT_TAG"])
	case env["CI_COMMIT_BRANCH"] != "":
		return GitRef("refs/heads/" + env["CI_COMMIT_BRANCH"])
	}
	return ""
}

// request sets what only a merge request has, or a pull request of another
// forge whose pipelines run here.
func (g *gitlab) request(e *Event) error {
	env := g.host.Environ
	prefix, source, target := "CI_MERGE_REQUEST_", "SOURCE_PROJECT_ID", "PROJECT_ID"
	if env[prefix+"IID"] == "" {
		prefix, source, target = "CI_EXTERNAL_PULL_REQUEST_", "SOURCE_REPOSITORY", "TARGET_REPOSITORY"
	}
	told := env[prefix+"IID"]
	if told == "" {
		return nil
	}
	n, err := number(told)
	if err != nil {
		return errdefs.New(errdefs.BadInput, "%sIID: %w", prefix, err)
	}
	e.Request = &ChangeRequest{
		Number: n,
		Source: env[prefix+"SOURCE_BRANCH_NAME"],
		Target: env[prefix+"TARGET_BRANCH_NAME"],
		// The source's project is unset where it was deleted: not to be trusted.
		Fork: env[prefix+source] == "" || env[prefix+source] != env[prefix+target],
	}
	// Set in pipelines of merged results and merge trains only, whose
	// CI_COMMIT_SHA is a merge that nobody wrote.
	if head := env[prefix+"SOURCE_BRANCH_SHA"]; shaForm.MatchString(head) {
		e.HeadSHA = head
	}
	return nil
}

func (g *gitlab) kind(e Event) Kind {
	switch {
	case e.Name == "schedule":
		return Schedule
	case g.host.Environ["CI_MERGE_REQUEST_EVENT_TYPE"] == "merge_train":
		return MergeQueue
	case e.Request != nil:
		return Request
	}
	return refKind(e.Ref)
}

// Output writes to the dotenv file, which the job hands to later ones with
// artifacts:reports:dotenv.
func (g *gitlab) Output(name, value string) error { return g.dotenv.set(name, value) }

// Mask can't tell the runner, which masks only what the project's settings
// name; it tells the host's streams, where those hide secrets themselves.
func (g *gitlab) Mask(value string) { g.host.redact(value) }

// StartGroup begins a collapsed section.
func (g *gitlab) StartGroup(w io.Writer, title string) {
	fmt.Fprintf(w, "\x1b[0Ksection_start:%d:hullwright_%d[collapsed=true]\r\x1b[0K%s\n",
		g.now().Unix(), g.sections.Add(1), strings.ReplaceAll(Clean(title), "\n", " "))
}

// EndGroup ends the section.
func (g *gitlab) EndGroup(w io.Writer) {
	fmt.Fprintf(w, "\x1b[0Ksection_end:%d:hullwright_%d\r\x1b[0K\n", g.now().Unix(), g.sections.Load())
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
