package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Severity is how grave a finding is.
type Severity string

// The severities, the least first.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // good to know
	Warning Severity = "warning" // a build may end otherwise than was meant
	Failure Severity = "error"   // a build will fail
)

// Finding is what a check found.
type Finding struct {
	Check    string   `json:"check"`
	ID       string   `json:"id"` // of a row of Catalog, or ok
	Severity Severity `json:"severity"`
	On       string   `json:"on,omitempty"` // a registry, a node, a file; empty where there is only one
	Found    string   `json:"found"`
	Expected string   `json:"expected,omitempty"`
	Next     string   `json:"next,omitempty"` // what to do

	kind errdefs.Kind
}

// find is a finding as the catalog has it.
func find(id, on, format string, args ...any) Finding {
	for _, k := range Catalog() {
		if k.ID == id {
			return Finding{ID: id, Severity: k.Severity, On: on, Found: fmt.Sprintf(format, args...), Expected: k.Expected, Next: k.Next, kind: errdefs.Environment}
		}
	}
	panic("doctor: no finding " + id) // a slip that every test of the finding finds
}

// then is the finding with another next move than the catalog's.
func (f Finding) then(next string) Finding {
	if next != "" {
		f.Next = next
	}
	return f
}

// because is the finding of an error: with its text, its hint and its kind.
func because(id, on string, err error) Finding {
	f := find(id, on, "%v", err)
	f.kind = errdefs.KindOf(err)
	return f.then(strings.Join(errdefs.Hints(err), "; "))
}

// Report is what all checks found.
type Report struct {
	Findings []Finding
	Took     time.Duration
}

// Clean is the report with every text that may quote a stranger, as a registry's
// words, made harmless by clean.
func (r Report) Clean(clean func(string) string) Report {
	list := slices.Clone(r.Findings)
	for i, f := range list {
		list[i].On, list[i].Found, list[i].Expected, list[i].Next = clean(f.On), clean(f.Found), clean(f.Expected), clean(f.Next)
	}
	r.Findings = list
	return r
}

// Count is how many findings have a severity.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Err is nil where a build may begin. Else it is errdefs.Denied where all that
// stands in the way is a refusal, and errdefs.Environment otherwise. With strict
// a warning stands in the way too.
func (r Report) Err(strict bool) error {
	kind := errdefs.Denied
	bad := 0
	for _, f := range r.Findings {
		if f.Severity != Failure && !(strict && f.Severity == Warning) {
			continue
		}
		bad++
		if f.kind != errdefs.Denied {
			kind = errdefs.Environment
		}
	}
	if bad == 0 {
		return nil
	}
	return errdefs.New(kind, "the checks found %s", r.sum())
}

// sum is "1 error and 2 warnings".
func (r Report) sum() string {
	var parts []string
	for _, s := range []Severity{Failure, Warning} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, count(n, string(s)))
		}
	}
	if len(parts) == 0 {
		return "nothing that stands in the way of a build"
	}
	return strings.Join(parts, " and ")
}

// Worst is the gravest severity.
func (r Report) Worst() Severity {
	for _, s := range []Severity{Failure, Warning, Note} {
		if r.Count(s) > 0 {
			return s
		}
	}
	return OK
}

// Wrong are the findings that are not ok.
func (r Report) Wrong() []Finding {
	list := []Finding{}
	for _, f := range r.Findings {
		if f.Severity != OK {
			list = append(list, f)
		}
	}
	return list
}

// JSON writes the report as one object.
func (r Report) JSON(w io.Writer) error {
	raw, err := json.MarshalIndent(struct {
		Result   Severity  `json:"result"`
		Errors   int       `json:"errors"`
		Warnings int       `json:"warnings"`
		Seconds  float64   `json:"seconds"`
		Findings []Finding `json:"findings"`
	}{r.Worst(), r.Count(Failure), r.Count(Warning), r.Took.Round(time.Millisecond).Seconds(), r.Findings}, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// hint is an error's own next move, and empty where it has none.
func hint(err error) string {
	var e *errdefs.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
