package meta

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/meta/handlebars"
	"github.com/hullwright/hullwright/internal/meta/moment"
)

// render evaluates an expression. Most are none, and are not parsed.
func (x *evaluation) render(text string, context map[string]any) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := handlebars.Parse(text)
	if err != nil {
		return "", err
	}
	if x.rules.options.Extended {
		return t.RenderWith(handlebars.TextHelpers(), context)
	}
	return t.Render(context)
}

// expressions are the names that all expressions know.
func (x *evaluation) expressions() map[string]any {
	ref := string(x.facts.Ref)
	return map[string]any{
		"branch":                constant(cut(ref, "refs/heads/")),
		"tag":                   constant(cut(ref, "refs/tags/")),
		"sha":                   handlebars.Func(func(handlebars.Call) (any, error) { return x.shortSHA() }),
		"base_ref":              constant(x.baseRef()),
		"is_default_branch":     constant(fmt.Sprint(x.onDefaultBranch())),
		"is_not_default_branch": constant(fmt.Sprint(!x.onDefaultBranch())),
		"head_ref":              constant(x.headRef()),
		"pr_number":             constant(x.requestNumber()),
		"prerelease":            constant(x.prerelease()),
		"run_id":                constant(x.facts.Event.RunID),
		"commit_count":          handlebars.Func(func(handlebars.Call) (any, error) { return x.commitCount() }),
		"date":                  x.dateExpression(x.facts.Now),
		"commit_date":           x.dateExpression(x.facts.CommitTime),
	}
}

func constant(s string) handlebars.Func {
	return func(handlebars.Call) (any, error) { return s, nil }
}

// cut is s without prefix, and empty where s does not begin with it.
func cut(s, prefix string) string {
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return rest
	}
	return ""
}

// baseRef is the branch that a tag was pushed from, or that a request goes to.
func (x *evaluation) baseRef() string {
	switch ref := string(x.facts.Ref); {
	case strings.HasPrefix(ref, "refs/tags/"):
		return x.facts.Event.BaseRef
	case strings.HasPrefix(ref, "refs/pull/") && x.facts.Event.Request != nil:
		return x.facts.Event.Request.Target
	}
	return ""
}

// headRef is the branch that a request comes from.
func (x *evaluation) headRef() string {
	if x.facts.Event.Request == nil {
		return ""
	}
	return x.facts.Event.Request.Source
}

// requestNumber is the number of the request that is built or queued, empty
// where there is none.
func (x *evaluation) requestNumber() string {
	n := x.queued()
	if r := x.facts.Event.Request; n == 0 && r != nil {
		n = r.Number
	}
	if n == 0 {
		return ""
	}
	return itoa(n)
}

// commitCount is how many commits led to the one that is built.
func (x *evaluation) commitCount() (any, error) {
	if x.facts.CommitCount == 0 {
		return nil, errors.New("commit_count is not known: the whole history must be checked out")
	}
	return float64(x.facts.CommitCount), nil
}

// onDefaultBranch is whether the event is on the default branch. GitHub's
// payload does not always tell its name; some of its events are never
// elsewhere, and are taken so by their name.
func (x *evaluation) onDefaultBranch() bool {
	e := x.facts.Event
	branch := strings.TrimPrefix(string(x.facts.Ref), "refs/heads/")
	if branch == "" {
		return false
	}
	if branch == e.Repository.DefaultBranch {
		return true
	}
	if !e.Actions() {
		return false
	}
	for _, word := range []string{"create", "discussion", "issues", "schedule"} {
		if strings.Contains(e.Name, word) {
			return true
		}
	}
	return false
}

// shortSHA is the beginning of the commit's hash.
func (x *evaluation) shortSHA() (string, error) {
	length := x.rules.options.ShortLength
	if length == "" {
		length = "7"
	}
	n := number(length)
	if math.IsNaN(n) {
		return "", fmt.Errorf("DOCKER_METADATA_SHORT_SHA_LENGTH is not a valid number: %s", length)
	}
	return x.facts.SHA[:int(max(0, min(n, float64(len(x.facts.SHA)))))], nil
}

// dateExpression is {{date 'FORMAT' tz='ZONE'}} for a time.
func (x *evaluation) dateExpression(t time.Time) handlebars.Func {
	return func(c handlebars.Call) (any, error) {
		if len(c.Args) != 1 {
			return nil, errors.New("a date needs one format: {{date 'YYYYMMDD'}}")
		}
		layout, ok := c.Args[0].(string)
		if !ok && c.Args[0] != nil && c.Args[0] != false {
			return nil, errors.New("a date's format is a text in quotes: {{date 'YYYYMMDD'}}")
		}
		zone, options, err := x.zone(c.Hash)
		if err != nil {
			return nil, err
		}
		if t.IsZero() {
			return moment.Invalid, nil
		}
		return moment.Format(t.In(zone), layout, options), nil
	}
}

// zone is the time zone that an expression asks for. A name that is none gives
// the machine's, and no abbreviation.
func (x *evaluation) zone(arguments map[string]any) (*time.Location, moment.Options, error) {
	zone, options := time.UTC, moment.Options{}
	for key, value := range arguments {
		name, ok := value.(string)
		switch {
		case key != "tz":
			//lint:ignore ST1005 the words are those that its users know
			return nil, options, fmt.Errorf("Unknown %s attribute", key)
		case !ok || name == "":
			return nil, options, errors.New("a date's zone is a text in quotes: tz='Europe/Paris'")
		}
		if zone, ok = moment.Zone(name); !ok {
			zone, options.Local = x.facts.Local, true
			x.result.Notes = append(x.result.Notes, fmt.Sprintf("time zone %q is not known: the time is shown in the machine's own", name))
		}
	}
	return zone, options, nil
}
