// Package meta derives an image's tags, labels and annotations from what
// happened: a branch, a git tag, a request.
//
// Begin with [Parse], which reads the rules that a person wrote, and [Compute],
// which applies them to [Facts]. Both are pure. The rules, and what they give,
// are those of docker/metadata-action, to the byte; where they differ,
// docs/compatibility.md says why.
package meta

import (
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
)

// Facts are what rules are applied to. Begin with [NewFacts].
type Facts struct {
	Event ci.Event
	// Ref and SHA are the event's as the rules see them.
	Ref ci.GitRef
	SHA string
	// Repository is what the forge says of the repository.
	Repository ci.Repository
	Now        time.Time
	// CommitTime is when SHA was committed. The zero time is one that nobody
	// can read, and shows as "Invalid date".
	CommitTime time.Time
	// CommitCount is how many commits led to SHA, itself among them. 0 is
	// unknown.
	CommitCount int
	// Versions are the repository's git tags, for Options.Guard.
	Versions []string
	// Published are the tags that the images have, for Options.Guard.
	Published []string
	// ImageLabels are the keys of labels that the image gets elsewhere, by its
	// Dockerfile: labels that were not asked for do not take their place.
	ImageLabels []string
	// Local is the zone of a time whose own is not known. The default is UTC.
	Local *time.Location
}

// NewFacts are the facts of an event at a time. Who knows more of the
// repository or the commit sets it afterwards.
func NewFacts(e ci.Event, now time.Time) Facts {
	f := Facts{Event: e, Ref: requestRef(e), SHA: e.SHA, Repository: e.Repository, Now: now, CommitTime: now, Local: time.UTC}
	if t, known := e.CommitTimeAt(e.SHA); known {
		f.CommitTime = t
	}
	return f
}

// requestRef is the ref of an event. On every system a request's is
// refs/pull/N/merge, so that one rule serves all. On pull_request_target GitHub
// gives the base branch, whose name would be the wrong tag.
func requestRef(e ci.Event) ci.GitRef {
	if e.Request == nil {
		return e.Ref
	}
	switch ref := string(e.Ref); {
	case strings.Contains(e.Name, "pull_request_target"):
	case strings.HasPrefix(ref, "refs/heads/"), strings.HasPrefix(ref, "refs/tags/"):
		return e.Ref
	case strings.HasPrefix(ref, "refs/pull/") && !strings.HasPrefix(e.Name, "external_"):
		return e.Ref
	}
	return ci.GitRef("refs/pull/" + requestNumber(e) + "/merge")
}

// requestNumber is "undefined" where the event has none, as docker's action
// says it.
func requestNumber(e ci.Event) string {
	if e.Request.Number == 0 {
		return "undefined"
	}
	return itoa(e.Request.Number)
}

// Tag is a tag that the rules gave.
type Tag struct {
	Name string
	// Moving is whether the same rule gives this name again for another
	// commit: latest, 1.2, a branch. A full version and a commit do not move.
	Moving bool
}

// Pair is a label or an annotation.
type Pair struct{ Key, Value string }

// Result is what rules made of facts.
type Result struct {
	Version string   // the first tag's name; empty where there is none
	Images  []string // repositories, as written but in lower case
	Tags    []Tag    // each name once; latest is last, of each set of rules
	Labels  []Pair   // sorted by key
	// Annotations are sorted by key; Levels are where they go ("manifest",
	// "index", ...), each on every level.
	Annotations []Pair
	Levels      []string
	// Warnings are what a person should know: rules that did not apply, names
	// that were changed.
	Warnings []string
	// Notes are of less weight.
	Notes []string
	// Outcomes are what became of every rule, in the order of evaluation.
	Outcomes []Outcome

	// PerImage are each image's tags, in the order of Images.
	PerImage []ImageTags
}

// ImageTags are the tags of one image.
type ImageTags struct {
	Target string // the bake target that the image belongs to; empty is every one
	Tags   []Tag
}

// Compute applies rules to facts. Errors are errdefs.BadInput that name input
// and line: an expression that can't be evaluated.
func Compute(f Facts, r Rules) (Result, error) {
	result, err := r.Tag(f)
	if err != nil {
		return Result{}, err
	}
	if result.Labels, err = r.Label(f, result.Version); err != nil {
		return Result{}, err
	}
	result.Annotations, err = r.Annotate(f, result.Version)
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// Names are the tags' names.
func (r Result) Names() []string {
	names := make([]string, len(r.Tags))
	for i, t := range r.Tags {
		names[i] = t.Name
	}
	return names
}

// References are the tags of every image, as image:tag; without an image they
// are bare names.
func (r Result) References() []string {
	if len(r.Images) == 0 {
		return r.Names()
	}
	return r.references(r.imageIndexes(""))
}

// imageIndexes are those of the images of a bake target, and of no one's; of
// all images for an empty target.
func (r Result) imageIndexes(target string) (indexes []int) {
	for i := range r.Images {
		if own := r.PerImage[i].Target; own == "" || target == "" || own == target {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func (r Result) references(indexes []int) []string {
	references := []string{}
	for _, i := range indexes {
		for _, t := range r.PerImage[i].Tags {
			if r.Images[i] == "" {
				references = append(references, t.Name)
				continue
			}
			references = append(references, r.Images[i]+":"+t.Name)
		}
	}
	return references
}

// LabelMap are the labels by key.
func (r Result) LabelMap() map[string]string {
	m := make(map[string]string, len(r.Labels))
	for _, l := range r.Labels {
		m[l.Key] = l.Value
	}
	return m
}

// LevelAnnotations are the annotations of every level, as level:key=value.
func (r Result) LevelAnnotations() []string { return leveled(r.Levels, r.Annotations) }

func leveled(levels []string, pairs []Pair) []string {
	lines := []string{}
	for _, level := range levels {
		for _, p := range pairs {
			lines = append(lines, level+":"+p.Key+"="+p.Value)
		}
	}
	return lines
}
