package ci

import (
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// A Given is a variable with which a person tells a field of the event, on any
// system: on those that tell a job nothing by themselves (Tekton, Cloud Build),
// and where a system knows what it does not hand to the job (CircleCI's
// pipeline values).
type Given struct {
	Name string // of the variable
	Help string // one clause, lower case, no period
	set  func(e *Event, value string) error
}

// Givens are all such variables, in the order in which they are applied: what
// says more of the ref goes later. One that is not set, or empty, changes
// nothing.
func Givens() []Given {
	return []Given{
		{"HULLWRIGHT_SHA", "commit that is checked out, as a full hash", func(e *Event, v string) error { e.SHA, e.HeadSHA, e.CommitTime = v, v, zeroTime; return nil }},
		{"HULLWRIGHT_COMMIT_TIME", "when it was committed, as RFC 3339", giveCommitTime},
		{"HULLWRIGHT_REF", "full ref, as refs/heads/main", giveRef},
		{"HULLWRIGHT_BRANCH", "branch, without refs/heads/", func(e *Event, v string) error { return giveRef(e, "refs/heads/"+strings.TrimPrefix(v, "refs/heads/")) }},
		{"HULLWRIGHT_GIT_TAG", "git tag, without refs/tags/", func(e *Event, v string) error { return giveRef(e, "refs/tags/"+strings.TrimPrefix(v, "refs/tags/")) }},
		{"HULLWRIGHT_PR", "number of the pull or merge request", func(e *Event, v string) error { return giveRef(e, "refs/pull/"+v+"/merge") }},
		{"HULLWRIGHT_HEAD_SHA", "commit at the head of the request's source, where the one checked out is a merge", func(e *Event, v string) error { e.HeadSHA = v; return nil }},
		{"HULLWRIGHT_SOURCE_BRANCH", "the request's source", giveRequest(func(r *ChangeRequest, v string) { r.Source = v })},
		{"HULLWRIGHT_TARGET_BRANCH", "the request's target", giveRequest(func(r *ChangeRequest, v string) { r.Target = v })},
		{"HULLWRIGHT_FORK", "whether the request comes from another repository: true or false; true where nothing tells", giveFork},
		{"HULLWRIGHT_EVENT", "kind of the event: push, pull_request, schedule, merge_group, or a name of your own", giveName},
		{"HULLWRIGHT_REPOSITORY", "the repository's name with its owner, as octo/app", func(e *Event, v string) error { e.Repository.Slug, e.Repository.Name = v, lastSegment(v); return nil }},
		{"HULLWRIGHT_REPOSITORY_URL", "the repository's address for people", func(e *Event, v string) error { e.Repository.URL = withoutUser(v); return nil }},
		{"HULLWRIGHT_DEFAULT_BRANCH", "the repository's default branch", func(e *Event, v string) error { e.Repository.DefaultBranch = v; return nil }},
		{"HULLWRIGHT_ACTOR", "who caused the event", func(e *Event, v string) error { e.Actor = v; return nil }},
		{"HULLWRIGHT_JOB_URL", "address of this run", func(e *Event, v string) error { e.JobURL = v; return nil }},
		{"HULLWRIGHT_RUN_ID", "identifier of this run", func(e *Event, v string) error { e.RunID = v; return nil }},
		{"HULLWRIGHT_WORKSPACE", "directory of the checkout", func(e *Event, v string) error { e.Workspace = v; return nil }},
	}
}

// give puts what a person gave over what a system told. Errors are
// errdefs.BadInput and name the variable.
func (e *Event) give(environ map[string]string) error {
	for _, g := range Givens() {
		value := strings.TrimSpace(environ[g.Name])
		if value == "" {
			continue
		}
		if err := g.set(e, value); err != nil {
			return errdefs.New(errdefs.BadInput, "%s: %w", g.Name, err)
		}
	}
	for name, sha := range map[string]string{"HULLWRIGHT_SHA": e.SHA, "HULLWRIGHT_HEAD_SHA": e.HeadSHA} {
		if environ[name] != "" && !shaForm.MatchString(sha) {
			return errdefs.New(errdefs.BadInput, "%s %q: not a commit's hash", name, sha)
		}
	}
	return nil
}

func giveRef(e *Event, ref string) error {
	if !strings.HasPrefix(ref, "refs/") {
		return errdefs.New(errdefs.BadInput, "ref %q: must begin with refs/", ref)
	}
	if strings.HasPrefix(ref, "refs/pull/") || strings.HasPrefix(ref, "refs/merge-requests/") {
		told, _, _ := strings.Cut(strings.SplitN(ref, "/", 3)[2], "/")
		n, err := number(told)
		if err != nil {
			return err
		}
		if e.Request == nil || e.Request.Number != n {
			e.Request = &ChangeRequest{Number: n, Fork: true} // until something tells that it is none
		}
		e.Ref, e.Kind = mergeRef(n), Request
		return nil
	}
	e.Ref, e.Request = GitRef(ref), nil
	e.Kind = refKind(e.Ref)
	return nil
}

func giveRequest(set func(r *ChangeRequest, v string)) func(*Event, string) error {
	return func(e *Event, v string) error {
		if e.Request == nil { // a build of a branch: the variable is always set, and says nothing then
			return nil
		}
		r := *e.Request
		set(&r, strings.TrimPrefix(v, "refs/heads/"))
		e.Request = &r
		return nil
	}
}

func giveFork(e *Event, v string) error {
	if v != "true" && v != "false" {
		return errdefs.New(errdefs.BadInput, "%q: must be true or false", v)
	}
	return giveRequest(func(r *ChangeRequest, v string) { r.Fork = v == "true" })(e, v)
}

func giveCommitTime(e *Event, v string) (err error) {
	e.CommitTime, err = ParseTime(v)
	return err
}

// giveName knows the words of all systems for what is not told by the ref.
func giveName(e *Event, v string) error {
	e.Name = v
	switch v {
	case "schedule", "scheduled", "scheduled_pipeline", "cron":
		e.Kind = Schedule
	case "merge_group", "merge_queue", "merge-queue", "merge_train":
		e.Kind = MergeQueue
	}
	return nil
}
