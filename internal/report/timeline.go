package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hullwright/hullwright/internal/progress"
)

// timeline is every step on a common axis. Places are in percent of its width.
type timeline struct {
	Took   string
	Ticks  []tick
	Groups []group
}

type tick struct {
	At    string
	Label string
}

// group is the lanes of one platform, or of what is done for all.
type group struct {
	Title string
	Lanes []lane
}

// lane is one step.
type lane struct {
	step
	Tip  string
	Wait *bar // from its first start to its last end, where it paused
	Bars []bar
}

type bar struct{ X, Width string }

// forAll is the group of steps that are no platform's.
const forAll = "the whole build"

// timeline lays out the steps, in each group by the order of their stages' first
// starts, and in a stage as the Dockerfile has them.
func (b Build) timeline() timeline {
	if len(b.Summary.Steps) == 0 {
		return timeline{}
	}
	axis := newAxis(b.Summary.Steps)
	critical := map[digest.Digest]bool{}
	for _, s := range b.Summary.CriticalPath() {
		critical[s.Digest] = true
	}
	t := timeline{Took: took(axis.length), Ticks: axis.ticks()}
	for _, s := range inOrder(b.Summary.Steps) {
		title := b.groupOf(s)
		at := slices.IndexFunc(t.Groups, func(g group) bool { return g.Title == title })
		if at < 0 {
			at = len(t.Groups)
			t.Groups = append(t.Groups, group{Title: title})
		}
		l := b.lane(s, axis)
		l.Critical = critical[s.Digest]
		l.Place = strings.TrimPrefix(l.Place, title+" ")
		t.Groups[at].Lanes = append(t.Groups[at].Lanes, l)
	}
	return t
}

// inOrder are steps by the first start of their stage, then by their place in it.
// Steps of stages that never ran are last.
func inOrder(steps []progress.Step) []progress.Step {
	type stage struct{ platform, name string }
	of := func(s progress.Step) (stage, int) {
		if in, ok := s.Instruction(); ok {
			return stage{in.Platform, in.Stage}, in.Index
		}
		return stage{name: s.Name}, 0
	}
	first := map[stage]time.Time{}
	for _, s := range steps {
		key, _ := of(s)
		if at := s.Started(); !at.IsZero() && (first[key].IsZero() || at.Before(first[key])) {
			first[key] = at
		}
	}
	return slices.SortedStableFunc(slices.Values(steps), func(a, b progress.Step) int {
		one, i := of(a)
		other, j := of(b)
		switch {
		case one == other:
			return cmp.Compare(i, j)
		case first[one].IsZero() != first[other].IsZero():
			return first[other].Compare(first[one])
		case !first[one].Equal(first[other]):
			return first[one].Compare(first[other])
		default:
			return cmp.Or(cmp.Compare(one.platform, other.platform), cmp.Compare(one.name, other.name))
		}
	})
}

// groupOf is the platform that a step is for.
func (b Build) groupOf(s progress.Step) string {
	if in, ok := s.Instruction(); ok && in.Platform != "" {
		return b.text(in.Platform)
	}
	return forAll
}

func (b Build) lane(s progress.Step, a axis) lane {
	l := lane{step: b.step(s)}
	for _, r := range s.Runs {
		l.Bars = append(l.Bars, a.bar(r))
	}
	l.Tip = l.State
	if len(s.Runs) > 0 {
		l.Tip += fmt.Sprintf(", %s, began at %s", l.Took, took(s.Started().Sub(a.start)))
	}
	if len(s.Runs) > 1 {
		wait := a.bar(progress.Run{Started: s.Started(), Completed: s.Completed()})
		l.Wait = &wait
	}
	return l
}

// axis is the time from the first step's start to the last one's end.
type axis struct {
	start  time.Time
	length time.Duration
}

func newAxis(steps []progress.Step) axis {
	var start, end time.Time
	for _, s := range steps {
		for _, r := range s.Runs {
			if start.IsZero() || r.Started.Before(start) {
				start = r.Started
			}
			for _, t := range []time.Time{r.Started, r.Completed} {
				if t.After(end) {
					end = t
				}
			}
		}
	}
	return axis{start: start, length: max(end.Sub(start), time.Millisecond)}
}

// bar is a run on the axis. One that did not end lasts to the axis' end; one that
// was too short to be seen is a thin line.
func (a axis) bar(r progress.Run) bar {
	from, to := r.Started.Sub(a.start), a.length
	if !r.Completed.IsZero() {
		to = r.Completed.Sub(a.start)
	}
	return bar{X: a.percent(from), Width: a.percent(max(to-from, a.length/5000))}
}

func (a axis) percent(d time.Duration) string {
	return strconv.FormatFloat(100*float64(d)/float64(a.length), 'f', 2, 64) + "%"
}

// maxTicks is how many spaces between marks an axis has, at most.
const maxTicks = 5

// rounds are the times between two marks that people count in.
var rounds = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// ticks are marks at round times. One at the very end would have no room for
// its label.
func (a axis) ticks() []tick {
	every := a.length / maxTicks // of a build of many days
	for _, round := range rounds {
		if a.length/round < maxTicks {
			every = round
			break
		}
	}
	var ticks []tick
	for at := time.Duration(0); at < a.length*93/100; at += every {
		ticks = append(ticks, tick{At: a.percent(at), Label: mark(at)})
	}
	return ticks
}

// mark is a round time as the axis shows it: 20s, 1m, 1m20s, 2h.
func mark(d time.Duration) string {
	text := d.String()
	if d%time.Minute == 0 && d > 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d%time.Hour == 0 && d > 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
