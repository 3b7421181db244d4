package meta

import (
	"errors"
	"fmt"
	"slices"
)

// evaluation is a set of rules on its way through facts.
type evaluation struct {
	facts   Facts
	rules   Rules
	set     ruleSet
	globals map[string]any
	result  Result // its part of it

	latest bool   // whether the first tag makes this the latest
	main   string // the rule that gave the first tag
	held   string // why latest may not move, empty where it may
}

// Outcome is what became of a rule.
type Outcome struct {
	// Rule is the rule as it was written; "latest" is the tag latest.
	Rule  string
	Line  int    // of the rule, from 1; 0 is unknown
	Image string // whose rule it is; empty for one that all images share
	// Tag is the name that the rule gave, empty where it gave none.
	Tag    string
	Moving bool
	// Reason is why there is no tag, or no second one of that name, or where
	// latest came from. Empty is a tag that needs no reason.
	Reason string
}

// Tag evaluates the tag rules: Version, Images, Tags, Levels, Outcomes and
// Warnings of a Result. It gives every fault at once.
func (r Rules) Tag(f Facts) (Result, error) {
	result := Result{Levels: r.levels, Warnings: slices.Clone(r.warnings), Notes: slices.Clone(r.notes), Tags: []Tag{}}
	var faults []error
	var common *Result
	evaluate := func(set ruleSet) Result {
		part, err := r.evaluate(set, f)
		faults = append(faults, err)
		result.join(part)
		return part
	}
	images := r.enabledImages()
	for _, i := range images {
		result.Images = append(result.Images, i.name)
		var part Result
		switch {
		case i.own != nil:
			part = evaluate(*i.own)
		case common == nil:
			part = evaluate(r.common)
			common = &part
		default:
			part = *common
		}
		result.PerImage = append(result.PerImage, ImageTags{Target: i.target, Tags: part.Tags})
	}
	if len(images) == 0 {
		evaluate(r.common)
	}
	if err := errors.Join(faults...); err != nil {
		return Result{}, err
	}
	result.warnNone(images)
	return result, nil
}

// warnNone tells of images without a tag.
func (r *Result) warnNone(images []image) {
	if len(r.Tags) == 0 {
		r.Warnings = append(r.Warnings,
			"No Docker image version has been generated. Check tags input.",
			"No Docker tag has been generated. Check tags input.")
		return
	}
	r.Version = r.Tags[0].Name
	for i, own := range r.PerImage {
		if len(own.Tags) == 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("No Docker tag has been generated for %s. Check tags input.", images[i].name))
		}
	}
}

// join adds what another set of rules gave.
func (r *Result) join(part Result) {
	for _, t := range part.Tags {
		if !slices.ContainsFunc(r.Tags, func(there Tag) bool { return there.Name == t.Name }) {
			r.Tags = append(r.Tags, t)
		}
	}
	r.Outcomes = append(r.Outcomes, part.Outcomes...)
	r.Warnings = append(r.Warnings, part.Warnings...)
	r.Notes = append(r.Notes, part.Notes...)
}

// evaluate applies one set of rules.
func (r Rules) evaluate(set ruleSet, f Facts) (Result, error) {
	x := &evaluation{facts: f, rules: r, set: set, result: Result{Tags: []Tag{}}}
	x.globals = x.expressions()
	x.held = x.holdLatest()
	known := kinds()
	var faults []error
	for _, t := range set.tags {
		outcome, err := x.rule(t, known[t.kind])
		if err != nil {
			faults = append(faults, wrap(t.entry, 0, err))
		}
		outcome.Rule, outcome.Line, outcome.Image = t.text, t.line, set.image
		x.result.Outcomes = append(x.result.Outcomes, outcome)
	}
	x.result.Outcomes = append(x.result.Outcomes, x.giveLatest())
	return x.result, errors.Join(faults...)
}

// giveLatest adds the tag latest where it is due.
func (x *evaluation) giveLatest() Outcome {
	o := Outcome{Rule: "latest", Image: x.set.image}
	name := x.set.flavor.latestTag()
	byFlavor := x.set.flavor.latest != "auto"
	switch {
	case x.main == "":
		o.Reason = "there is no other tag"
	case x.held != "" && x.latest:
		o.Reason = x.held
	case x.latest:
		o.Tag, o.Moving = x.valid(name), true
		o.Reason = "the first tag is of " + x.main
		if byFlavor {
			o.Reason = "the flavor says latest=true"
		}
		if !x.add(o.Tag, true) {
			o.Reason = "another rule gave it"
		}
	case byFlavor:
		o.Reason = "the flavor says latest=false"
	default:
		o.Reason = "the first tag is of " + x.main + ", which makes no latest"
	}
	return o
}

func (x *evaluation) warnf(format string, args ...any) {
	x.result.Warnings = append(x.result.Warnings, fmt.Sprintf(format, args...))
}

// rule evaluates one rule.
func (x *evaluation) rule(t tagRule, kind kindOf) (Outcome, error) {
	enabled, err := x.attribute(t, "enable")
	if err != nil {
		return Outcome{}, err
	}
	switch enabled {
	case "true":
	case "false":
		return Outcome{Reason: "enable is false"}, nil
	default:
		return Outcome{}, t.fault(t.columns["enable"], "Invalid value for enable attribute: %s", enabled).
			WithHint("enable is true or false, or an expression that gives one")
	}
	v, err := kind.apply(x, t)
	if err != nil || v.skip != "" {
		return Outcome{Reason: v.skip}, err
	}
	text, err := x.decorate(t, v)
	if err != nil {
		return Outcome{}, err
	}
	if text == "" {
		return Outcome{Reason: "it gives an empty text"}, nil
	}
	name := x.valid(sanitize(text))
	if name == "" {
		return Outcome{Reason: fmt.Sprintf("%q can't be made a tag", text)}, nil
	}
	return x.take(t, v, name), nil
}

// take adds a rule's tag. The first one decides on latest.
func (x *evaluation) take(t tagRule, v verdict, name string) Outcome {
	if x.held != "" && (name == "latest" || name == x.set.flavor.latestTag()) {
		return Outcome{Reason: x.held}
	}
	if x.main == "" {
		x.main = t.text
		x.latest = v.latest
		if said := x.set.flavor.latest; said != "auto" {
			x.latest = said == "true"
		}
	}
	o := Outcome{Tag: name, Moving: v.moving}
	if !x.add(name, v.moving) {
		o.Reason = "another rule gave it"
	}
	return o
}

// add takes a tag, unless it is there.
func (x *evaluation) add(name string, moving bool) bool {
	if name == "" || slices.ContainsFunc(x.result.Tags, func(t Tag) bool { return t.Name == name }) {
		return false
	}
	x.result.Tags = append(x.result.Tags, Tag{Name: name, Moving: moving})
	return true
}

// attribute evaluates an attribute of a rule. Errors name its place.
func (x *evaluation) attribute(t tagRule, key string) (string, error) {
	return x.attributeIn(t, key, x.globals)
}

func (x *evaluation) attributeIn(t tagRule, key string, context map[string]any) (string, error) {
	text, err := x.render(t.attributes[key], context)
	var missing *missingPart
	if err == nil || errors.As(err, &missing) {
		return text, err
	}
	return "", wrap(t.entry, t.columns[key], err)
}

// quiet runs do and forgets its warnings.
func (x *evaluation) quiet(do func()) {
	warnings, notes := len(x.result.Warnings), len(x.result.Notes)
	do()
	x.result.Warnings, x.result.Notes = x.result.Warnings[:warnings], x.result.Notes[:notes]
}
