package meta

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
)

// The types of rules that look at no version.

func applySchedule(x *evaluation, t tagRule) (verdict, error) {
	if !strings.Contains(x.facts.Event.Name, "schedule") && x.facts.Event.Kind != ci.Schedule {
		return skip("the event is no schedule"), nil
	}
	dates := map[string]any{"date": x.globals["date"], "commit_date": x.globals["commit_date"]}
	text, err := x.attributeIn(t, "pattern", dates)
	return verdict{text: text, moving: true}, err
}

func applyEdge(x *evaluation, t tagRule) (verdict, error) {
	branch := t.attributes["branch"]
	if branch == "" {
		branch = x.facts.Repository.DefaultBranch
	}
	if on, ok := strings.CutPrefix(string(x.facts.Ref), "refs/heads/"); !ok || on != branch {
		return skip("the event is not on the branch %s", branch), nil
	}
	return verdict{text: "edge", moving: true}, nil
}

func applyRef(x *evaluation, t tagRule) (verdict, error) {
	event, given := t.attributes["event"]
	ref := string(x.facts.Ref)
	if !given {
		return x.anyRef(ref), nil
	}
	switch event {
	case "branch":
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			return verdict{text: name, moving: true}, nil
		}
		return skip("the event is not on a branch"), nil
	case "tag":
		if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
			return verdict{text: name, latest: true}, nil
		}
		return skip("the event is not on a git tag"), nil
	}
	if name, ok := strings.CutPrefix(ref, "refs/pull/"); ok {
		return verdict{text: strings.TrimSuffix(name, "/merge"), moving: true}, nil
	}
	n := x.queued()
	switch {
	case n == 0:
		return skip("the event is no request"), nil
	case t.attributes["queue"] != "true":
		return skip("the event is a merge queue's; queue=true gives the tag of its request"), nil
	}
	return verdict{text: strconv.Itoa(n), moving: true}, nil
}

// anyRef is the verdict of a rule that takes what there is: a request, also in
// a merge queue, a branch or a git tag.
func (x *evaluation) anyRef(ref string) verdict {
	if n := x.queued(); n != 0 {
		return verdict{text: strconv.Itoa(n), moving: true, prefix: "pr-"}
	}
	if name, ok := strings.CutPrefix(ref, "refs/pull/"); ok {
		return verdict{text: strings.TrimSuffix(name, "/merge"), moving: true, prefix: "pr-"}
	}
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return verdict{text: name, moving: true}
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return verdict{text: name, latest: true}
	}
	return skip("the event is on no branch, git tag or request")
}

// queueBranch is the branch on which GitHub tries an entry of a merge queue.
// The payload has no number; the branch is all that tells it.
var queueBranch = regexp.MustCompile(`^refs/heads/gh-readonly-queue/.+/pr-([0-9]+)-[0-9a-f]+$`)

// queued is the number of the request that a merge queue or merge train tries,
// 0 where the event is none.
func (x *evaluation) queued() int {
	e := x.facts.Event
	if e.Kind != ci.MergeQueue && e.Name != "merge_group" {
		return 0
	}
	if e.Request != nil && e.Request.Number > 0 {
		return e.Request.Number
	}
	if m := queueBranch.FindStringSubmatch(string(x.facts.Ref)); m != nil {
		n, _ := strconv.Atoi(m[1]) // one that is too large is none
		return n
	}
	return 0
}

func applyRaw(x *evaluation, t tagRule) (verdict, error) {
	text, err := x.attribute(t, "value")
	fixed := x.facts.SHA != "" && strings.Contains(text, x.facts.SHA)
	return verdict{text: text, moving: !fixed}, err
}

func applySHA(x *evaluation, t tagRule) (verdict, error) {
	if x.facts.SHA == "" {
		return skip("the commit is not known"), nil
	}
	if t.attributes["format"] == "long" {
		return verdict{text: x.facts.SHA}, nil
	}
	text, err := x.shortSHA()
	return verdict{text: text}, err
}
