// Package ci knows the systems that run hullwright: what happened (an [Event])
// and how to speak back (a [Provider]).
//
// Begin with [Detect], which gives the Provider of an environment. A Provider
// is small on purpose: what only some systems can do ([Grouper], [Noticer],
// [Summarizer], [StateSaver], [Fencer]) is an interface of one or two methods
// that a caller asks for by assertion. Every provider has a file of its own
// and one row in the table in detect.go.
package ci

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Kind is what an event is about, on every CI system alike.
type Kind string

// The kinds of events.
const (
	Branch     Kind = "branch"      // a commit on a branch: push, manual, API
	Tag        Kind = "tag"         // a git tag: push, release
	Request    Kind = "request"     // a pull or merge request
	Schedule   Kind = "schedule"    // a timer
	MergeQueue Kind = "merge-queue" // a merge queue's or merge train's trial
	Other      Kind = "other"       // anything else: no ref, or one of no known form
)

// GitRef is a full git ref name, as refs/heads/main; empty where there is none.
type GitRef string

// Visibility is who may read the repository. The zero value is unknown.
type Visibility string

// The known visibilities.
const (
	Public   Visibility = "public"
	Internal Visibility = "internal"
	Private  Visibility = "private"
)

// Repository is the project that the event belongs to. Fields that the CI
// system does not tell are empty.
type Repository struct {
	Slug          string // owner/name; GitLab groups nest
	Name          string
	URL           string // https address for people, never with credentials
	Description   string
	License       string // SPDX identifier
	DefaultBranch string
	Visibility    Visibility
}

// ChangeRequest is a pull or merge request.
type ChangeRequest struct {
	Number int
	Source string // branch name
	Target string // branch name
	// Fork is whether the source is another repository, or one that is gone:
	// code whose author may not have the right to push here.
	Fork bool
}

// Event is what made the CI system run. It is a value: adapters make it once
// from an environment, nothing changes it after.
type Event struct {
	Provider   string // Provider.Name of the system that told it
	Name       string // the system's own name of the event, as "pull_request_target"
	Kind       Kind
	Repository Repository
	// Described is whether Repository is all that there is to tell, empty
	// fields included; else the forge's API may know more.
	Described  bool
	Ref        GitRef
	SHA        string // the commit that is checked out; of a request often a merge commit
	HeadSHA    string // the commit that a person wrote; SHA where the system knows no other
	Request    *ChangeRequest
	BaseRef    string // branch that a tag was pushed from, where told; without refs/heads/
	Actor      string
	ServerURL  string // of the forge, as https://github.com; empty where unknown
	JobURL     string // of this run, attempts included: the builder id of provenance
	RunID      string
	Workspace  string // directory of the checkout; empty is the working directory
	CommitTime time.Time
	// Payload is the event's JSON as the system gave it, decoded; nil where
	// there is none. Readers must not change it.
	Payload map[string]any
	// Notices are what was odd about the environment, for the caller to show.
	Notices []Notice
}

// Branch is the branch's name where the event is on a branch, else empty.
func (e Event) Branch() string { return trimmed(e.Ref, "refs/heads/") }

// GitTag is the git tag's name where the event is on a tag, else empty.
func (e Event) GitTag() string { return trimmed(e.Ref, "refs/tags/") }

func trimmed(ref GitRef, prefix string) string {
	s := string(ref)
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return ""
}

// Actions is whether the system runs actions as GitHub does, with its names of
// events: GitHub itself, Gitea and Forgejo.
func (e Event) Actions() bool {
	return e.Provider == "github" || e.Provider == "gitea" || e.Provider == "forgejo"
}

// Provider is a CI system, or plain git, as seen from inside a job.
type Provider interface {
	// Name is the system's name in lower case: "github", "gitlab", "git".
	Name() string
	// Event reads what made the system run. It asks no network. Errors are
	// errdefs.BadInput where the environment contradicts itself.
	Event(ctx context.Context) (Event, error)
	// Output hands a value to later steps. Name and value arrive whole
	// whatever they hold, or an error says why they can't; nothing is written
	// beside it. Where a system can't carry a value (a line break in GitLab's
	// dotenv), Output returns an error that is an [*Inexpressible].
	Output(name, value string) error
	// Mask hides a value in all that is printed after. A value of several
	// lines is hidden line by line; an empty one is ignored.
	Mask(value string)
}

// Inexpressible is the error of Output where the system's own format has no
// form for a value; the caller may leave it to --outputs-file.
type Inexpressible struct {
	Name   string // of the output
	Reason string
}

// Error says which output, and why.
func (e *Inexpressible) Error() string { return "output " + e.Name + ": " + e.Reason }

// Grouper folds log lines under a title. Groups do not nest.
type Grouper interface {
	StartGroup(w io.Writer, title string)
	EndGroup(w io.Writer)
}

// Level is how grave a notice is.
type Level string

// The levels.
const (
	Info    Level = "notice"
	Warning Level = "warning"
	Failure Level = "error"
)

// Notice is a mark in the CI system's own view of a job: what its users see
// beside the code or on the job's page.
type Notice struct {
	Level   Level
	Message string
	Title   string
	File    string // relative to the workspace; empty is no place
	Line    int    // from 1; 0 is none
}

// placed is the message with its place before it, for systems that show no
// place of their own.
func (n Notice) placed() string {
	switch {
	case n.File == "":
		return n.Message
	case n.Line == 0:
		return n.File + ": " + n.Message
	}
	return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Message)
}

// Noticer shows notices.
type Noticer interface {
	Notice(n Notice)
}

// Summarizer shows Markdown on the job's page.
type Summarizer interface {
	Summary(markdown string) error
}

// StateSaver keeps a value for the clean-up step of this same action.
type StateSaver interface {
	SaveState(name, value string) error
}

// Exporter sets a variable in the environment of the job's later steps. Only
// names that begin with DOCKER_METADATA_OUTPUT_ or HULLWRIGHT_ can be set, whose
// value may come from a stranger, and DOCKER_CONFIG and BUILDX_CONFIG, whose value
// must be ours: other names steer programs.
type Exporter interface {
	ExportEnv(name, value string) error
}

// Describer asks the forge's API what the event does not tell. token may be
// empty where the API answers without one. Errors are errdefs.Denied or
// errdefs.Environment; an [*Unanswered] is in the chain where the API gave no
// answer at all.
type Describer interface {
	// Describe tells the repository that the event belongs to.
	Describe(ctx context.Context, e Event, token string) (Repository, error)
	// CommitTime tells when a commit of that repository was committed.
	CommitTime(ctx context.Context, e Event, sha, token string) (time.Time, error)
}

// Unanswered is an API that could not be reached, or did not answer in time.
type Unanswered struct{ Err error }

func (u *Unanswered) Error() string { return u.Err.Error() }

// Unwrap gives the cause.
func (u *Unanswered) Unwrap() error { return u.Err }

// Fencer writes foreign text (a build's log) so that the system does not obey
// commands in it. Close must be called to end the fence.
type Fencer interface {
	Fence(w io.Writer) (io.WriteCloser, error)
}
