package ci

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// system is what the providers without a payload have in common. Each embeds
// one.
type system struct {
	name string
	host Host
}

// Name is the system's name in lower case.
func (s system) Name() string { return s.name }

// Mask tells the host's streams, where those hide secrets themselves: the
// system can't be told of a secret while a job runs.
func (s system) Mask(value string) { s.host.redact(value) }

// env is a variable of the job, and the first of several that is set.
func (s system) env(keys ...string) string {
	for _, key := range keys {
		if v := s.host.Environ[key]; v != "" {
			return v
		}
	}
	return ""
}

// isTrue reads a switch: Azure writes True where others write true.
func (s system) isTrue(key string) bool { return strings.EqualFold(s.host.Environ[key], "true") }

// alsoDotenv writes an output to the dotenv file where one is named.
func (s system) alsoDotenv(name, value string) error {
	if s.host.DotenvFile == "" {
		return nil
	}
	return dotenv{path: within(s.host.Dir, s.host.DotenvFile)}.set(name, value)
}

var zeroTime time.Time

// mergeRef is the ref of a request, the same on every system, so that one rule
// serves all.
func mergeRef(n int) GitRef { return GitRef("refs/pull/" + strconv.Itoa(n) + "/merge") }

// onRequest makes e a request's event. told is its number, from variable.
func (e *Event) onRequest(variable, told string, r ChangeRequest) error {
	n, err := number(told)
	if err != nil {
		return errdefs.New(errdefs.BadInput, "%s: %w", variable, err)
	}
	r.Number = n
	r.Source, r.Target = shortBranch(r.Source), shortBranch(r.Target)
	e.Request, e.Ref, e.Kind = &r, mergeRef(n), Request
	return nil
}

// onTagOrBranch sets the ref of an event that is no request's; a tag, where
// one is named, beats a branch. Empty names are none.
func (e *Event) onTagOrBranch(tag, branch string) {
	switch {
	case tag != "":
		e.Ref, e.Kind = GitRef("refs/tags/"+strings.TrimPrefix(tag, "refs/tags/")), Tag
	case branch != "":
		e.Ref, e.Kind = GitRef("refs/heads/"+shortBranch(branch)), Branch
	}
}

func shortBranch(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// settle completes an event that a system told: what a person gave goes over
// it, and the checkout is asked for what nobody told. variable is where the
// commit was told.
func (s system) settle(ctx context.Context, e Event, variable string) (Event, error) {
	e.Provider = s.name
	if err := e.give(s.host.Environ); err != nil {
		return Event{}, err
	}
	if !commitForm.MatchString(e.SHA) {
		return Event{}, errdefs.New(errdefs.BadInput, "%s %q: not a commit's hash", variable, e.SHA)
	}
	if e.HeadSHA != "" && !shaForm.MatchString(e.HeadSHA) {
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: fmt.Sprintf("head of the request %q: not a commit's hash", e.HeadSHA)})
		e.HeadSHA = ""
	}
	if e.Ref == "" || !shaForm.MatchString(e.SHA) {
		s.askCheckout(ctx, &e)
	}
	e.HeadSHA = first(e.HeadSHA, e.SHA)
	if !strings.HasPrefix(e.JobURL, "http://") && !strings.HasPrefix(e.JobURL, "https://") {
		e.JobURL = "" // without a server, only a path
	}
	if e.Kind == "" {
		e.Kind = refKind(e.Ref)
	}
	if e.Kind == Branch && strings.HasPrefix(e.Branch(), mergeQueueBranch) {
		e.Kind = MergeQueue
	}
	s.describe(ctx, &e)
	return e, nil
}

// mergeQueueBranch begins the names of the branches on which GitHub tries a
// merge queue: to other systems they are pushes.
const mergeQueueBranch = "gh-readonly-queue/"

// commitForm is a commit as systems tell it: whole, cut (Bitbucket), "HEAD"
// (Buildkite, when a person starts a build), or not at all.
var commitForm = regexp.MustCompile(`^(?:HEAD|[0-9a-f]{7,64})?$`)

// askCheckout fills in what the repository in the working directory knows: the
// whole hash, and the ref where the system told none.
func (s system) askCheckout(ctx context.Context, e *Event) {
	head, err := Head(ctx, s.host)
	var unnamed *unnamedHead
	if err != nil && !errors.As(err, &unnamed) {
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: fmt.Sprintf("event not told whole, and no checkout to ask: %v", err)})
		if e.SHA == "HEAD" {
			e.SHA = ""
		}
		return
	}
	if told := e.SHA; told == "HEAD" || strings.HasPrefix(head.SHA, told) {
		e.SHA, e.CommitTime = head.SHA, head.CommitTime
	}
	if e.Ref != "" || e.SHA != head.SHA || e.Request != nil {
		return // a request without a number is still none of its target's builds
	}
	e.Ref = head.Ref
	if unnamed != nil {
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: unnamed.Error()})
	}
	if n, err := number(refNumber(e.Ref)); err == nil {
		e.Request = &ChangeRequest{Number: n, Fork: true} // no telling whose it is
		e.Ref = mergeRef(n)
	}
}

// describe fills in the repository's names and the forge from its address. Of
// a system that tells none, the checkout's origin is taken.
func (s system) describe(ctx context.Context, e *Event) {
	r := &e.Repository
	r.URL = withoutUser(r.URL)
	if r.URL == "" {
		if origin, err := runGit(ctx, s.host, "remote", "get-url", "origin"); err == nil {
			r.URL = withoutUser(origin)
		}
	}
	r.Slug = first(r.Slug, slugOf(r.URL))
	r.Name = first(r.Name, lastSegment(r.Slug))
	if e.ServerURL == "" && strings.HasPrefix(r.URL, "https://") {
		host, _, _ := strings.Cut(strings.TrimPrefix(r.URL, "https://"), "/")
		e.ServerURL = "https://" + host
	}
}

// slugOf is the path of a repository's address.
func slugOf(address string) string {
	_, rest, _ := strings.Cut(withoutUser(address), "://")
	_, path, _ := strings.Cut(rest, "/")
	return path
}

// sameRepository says whether two addresses are known to lead to one
// repository, whatever protocol each is written for.
func sameRepository(a, b string) bool {
	a, b = withoutUser(a), withoutUser(b)
	_, a, _ = strings.Cut(a, "://")
	_, b, _ = strings.Cut(b, "://")
	return a != "" && strings.EqualFold(a, b)
}

func lastSegment(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// atHome is a path whose "~" the system left to a shell.
func (s system) atHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && s.env("HOME") != "" {
		return filepath.Join(s.env("HOME"), rest)
	}
	return path
}
