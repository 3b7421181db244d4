package meta

import (
	"strings"
)

// The types of rules that look at no version.

func applySchedule(x *evaluation, t tagRule) (verdict, bool, error) {
	if !strings.Contains(x.facts.Event.Name, "schedule") && x.facts.Event.Kind != "schedule" {
		return verdict{}, false, nil
	}
	dates := map[string]any{"date": x.globals["date"], "commit_date": x.globals["commit_date"]}
	text, err := x.render(t.attributes["pattern"], dates)
	return verdict{text: text, moving: true}, err == nil, err
}

func applyEdge(x *evaluation, t tagRule) (verdict, bool, error) {
	branch := t.attributes["branch"]
	if branch == "" {
		branch = x.facts.Repository.DefaultBranch
	}
	on, ok := strings.CutPrefix(string(x.facts.Ref), "refs/heads/")
	return verdict{text: "edge", moving: true}, ok && on == branch, nil
}

func applyRef(x *evaluation, t tagRule) (verdict, bool, error) {
	ref := string(x.facts.Ref)
	switch t.attributes["event"] {
	case "branch":
		name, ok := strings.CutPrefix(ref, "refs/heads/")
		return verdict{text: name, moving: true}, ok, nil
	case "tag":
		name, ok := strings.CutPrefix(ref, "refs/tags/")
		return verdict{text: name, latest: true}, ok, nil
	}
	name, ok := strings.CutPrefix(ref, "refs/pull/")
	return verdict{text: strings.TrimSuffix(name, "/merge"), moving: true}, ok, nil
}

func applyRaw(x *evaluation, t tagRule) (verdict, bool, error) {
	text, err := x.render(t.attributes["value"], x.globals)
	fixed := x.facts.SHA != "" && strings.Contains(text, x.facts.SHA)
	return verdict{text: text, moving: !fixed}, err == nil, err
}

func applySHA(x *evaluation, t tagRule) (verdict, bool, error) {
	if x.facts.SHA == "" {
		return verdict{}, false, nil
	}
	if t.attributes["format"] == "long" {
		return verdict{text: x.facts.SHA}, true, nil
	}
	text, err := x.shortSHA()
	return verdict{text: text}, err == nil, err
}
