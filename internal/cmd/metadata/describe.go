package metadata

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// Described are the inputs that describe an event, for explain.
type Described struct {
	Event     string `env:"EVENT" help:"For explain: the event's name, as push, pull_request, schedule or merge_group."`
	Ref       string `env:"REF" help:"For explain: the event's ref, as refs/heads/main, refs/tags/v1.4.2 or refs/pull/7/merge."`
	SHA       string `env:"SHA" help:"For explain: the event's commit."`
	HeadRef   string `env:"HEAD-REF" help:"For explain: the branch that a request comes from."`
	BaseRef   string `env:"BASE-REF" help:"For explain: the branch that a request goes to, or that a tag was pushed from."`
	AllEvents bool   `env:"ALL-EVENTS" help:"For explain: what the rules give for a branch push, a version tag, a prerelease tag, a pull request, a schedule and a merge queue."`
}

// given are the inputs that describe one event.
func (d Described) given() map[string]string {
	given := map[string]string{"event": d.Event, "ref": d.Ref, "sha": d.SHA, "head-ref": d.HeadRef, "base-ref": d.BaseRef}
	for name, value := range given {
		if value == "" {
			delete(given, name)
		}
	}
	return given
}

// beyond leaves out what the environment tells by HULLWRIGHT_EVENT, _REF and
// _SHA: that is the run's own event, which internal/ci has read.
func (d Described) beyond(environ map[string]string) Described {
	for name, field := range map[string]*string{"HULLWRIGHT_EVENT": &d.Event, "HULLWRIGHT_REF": &d.Ref, "HULLWRIGHT_SHA": &d.SHA} {
		if *field == strings.TrimSpace(environ[name]) {
			*field = ""
		}
	}
	return d
}

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// check refuses a description that nobody would look at, or that describes no
// event.
func (d Described) check(explains bool) error {
	var faults []error
	given := d.given()
	for _, name := range []string{"event", "ref", "sha", "head-ref", "base-ref"} {
		switch {
		case given[name] == "":
		case !explains:
			faults = append(faults, errdefs.BadInputf(name, 0, "describes an event, which only explain takes").
				WithHint("hullwright metadata explain --%s=%s", name, given[name]))
		case d.AllEvents && name != "sha":
			faults = append(faults, errdefs.BadInputf(name, 0, "describes one event, and all-events shows several").WithHint("leave one of them out"))
		}
	}
	if d.AllEvents && !explains {
		faults = append(faults, errdefs.BadInputf("all-events", 0, "only explain takes it").WithHint("hullwright metadata explain --all-events"))
	}
	if d.Ref != "" && !strings.HasPrefix(d.Ref, "refs/") {
		faults = append(faults, errdefs.BadInputf("ref", 0, "%q is no full ref", d.Ref).WithHint("refs/heads/BRANCH, refs/tags/TAG or refs/pull/N/merge"))
	}
	if d.SHA != "" && !commitForm.MatchString(d.SHA) {
		faults = append(faults, errdefs.BadInputf("sha", 0, "%q is no commit's hash", d.SHA).WithHint("40 or 64 hexadecimal digits"))
	}
	return errors.Join(faults...)
}

// sampleSHA is the commit of an event that has none.
const sampleSHA = "0123456789abcdef0123456789abcdef01234567"

// sample is an event and what a person calls it.
type sample struct {
	title string
	event ci.Event
}

// samples are the events that rules are tried on, in the repository of base.
func samples(base ci.Event) []sample {
	main := base.Repository.DefaultBranch
	of := func(title, name, ref string) sample {
		return sample{title: title, event: Described{Event: name, Ref: ref}.of(base)}
	}
	return []sample{
		of("a push to the default branch", "push", "refs/heads/"+main),
		of("a version tag", "push", "refs/tags/v1.4.2"),
		of("a prerelease tag", "push", "refs/tags/v1.5.0-rc.1"),
		of("a pull request", "pull_request", "refs/pull/7/merge"),
		of("a schedule", "schedule", "refs/heads/"+main),
		of("a merge queue", "merge_group", "refs/heads/gh-readonly-queue/"+main+"/pr-7-"+sampleSHA),
	}
}

// of is the event that is described, in the repository of base.
func (d Described) of(base ci.Event) ci.Event {
	e := ci.Event{
		Provider: base.Provider, Repository: base.Repository, Described: true, RunID: cmp.Or(base.RunID, "1"),
		Name: d.Event, Ref: ci.GitRef(d.Ref), SHA: cmp.Or(d.SHA, base.SHA, sampleSHA), CommitTime: base.CommitTime,
	}
	if e.Provider == "git" { // whose events have one name
		e.Provider = "github"
	}
	e.Name = cmp.Or(e.Name, usualName(d.Ref))
	e.Ref = cmp.Or(e.Ref, usualRef(e))
	e.Kind = kindOf(e)
	e.HeadSHA = e.SHA
	switch e.Kind {
	case ci.Request:
		e.Request = &ci.ChangeRequest{
			Number: requestNumber(e.Ref),
			Source: cmp.Or(strings.TrimPrefix(d.HeadRef, "refs/heads/"), "feature/x"),
			Target: cmp.Or(strings.TrimPrefix(d.BaseRef, "refs/heads/"), base.Repository.DefaultBranch),
		}
	case ci.Tag:
		e.BaseRef = strings.TrimPrefix(d.BaseRef, "refs/heads/")
	}
	return e
}

var requestRef = regexp.MustCompile(`^refs/(?:pull|merge-requests)/([0-9]{1,9})/`)

// requestNumber is a request's number by its ref; of one that does not tell it
// (pull_request_target has the base branch) it is 7.
func requestNumber(ref ci.GitRef) int {
	m := requestRef.FindStringSubmatch(string(ref))
	if m == nil {
		return 7
	}
	n, _ := strconv.Atoi(m[1]) // nine digits
	return n
}

func usualName(ref string) string {
	switch {
	case requestRef.MatchString(ref):
		return "pull_request"
	case strings.HasPrefix(ref, "refs/heads/gh-readonly-queue/"):
		return "merge_group"
	}
	return "push"
}

func usualRef(e ci.Event) ci.GitRef {
	switch main := ci.GitRef("refs/heads/" + e.Repository.DefaultBranch); {
	case strings.Contains(e.Name, "pull_request_target"):
		return main
	case strings.Contains(e.Name, "pull_request"), strings.Contains(e.Name, "merge_request"):
		return "refs/pull/7/merge"
	case e.Name == "merge_group":
		return ci.GitRef("refs/heads/gh-readonly-queue/" + e.Repository.DefaultBranch + "/pr-7-" + sampleSHA)
	case e.Name == "release", e.Name == "tag":
		return "refs/tags/v1.4.2"
	default:
		return main
	}
}

func kindOf(e ci.Event) ci.Kind {
	switch {
	case strings.Contains(e.Name, "schedule"):
		return ci.Schedule
	case e.Name == "merge_group":
		return ci.MergeQueue
	case strings.Contains(e.Name, "pull_request"), strings.Contains(e.Name, "merge_request"), requestRef.MatchString(string(e.Ref)):
		return ci.Request
	case strings.HasPrefix(string(e.Ref), "refs/tags/"):
		return ci.Tag
	case strings.HasPrefix(string(e.Ref), "refs/heads/"):
		return ci.Branch
	}
	return ci.Other
}
