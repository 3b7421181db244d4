package progress

import (
	"regexp"
	"slices"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Summary is what a build's stream said.
type Summary struct {
	Steps    []Step // in the order of their first appearance
	Warnings []client.VertexWarning
}

// Cached counts the steps of a Dockerfile that do work, and those of them that
// came from the cache.
func (s Summary) Cached() (cached, total int) {
	for _, step := range s.Steps {
		if in, ok := step.Instruction(); !ok || !in.Works() {
			continue
		}
		total++
		if step.Cached {
			cached++
		}
	}
	return cached, total
}

// Slowest are the n steps that ran longest, longest first. Steps that did not
// run are none of them.
func (s Summary) Slowest(n int) []Step {
	steps := slices.DeleteFunc(slices.Clone(s.Steps), func(s Step) bool { return s.Duration() == 0 })
	slices.SortStableFunc(steps, func(a, b Step) int { return int(b.Duration() - a.Duration()) })
	return steps[:min(n, len(steps))]
}

// cacheExport and cacheImport are the names of the steps that carry caches, on
// one of several nodes too. Each of BuildKit's exporters has its own words:
// https://github.com/moby/buildkit/tree/master/cache/remotecache
var (
	cacheExport = regexp.MustCompile(`^(\[\S+\] )?exporting (cache to|to GitHub Actions Cache)`)
	cacheImport = regexp.MustCompile(`^(\[\S+\] )?importing cache manifest from `)
)

// ImportsCache is whether the step looks for a cache.
func (s Step) ImportsCache() bool { return cacheImport.MatchString(s.Name) }

// CacheExports are the steps that exported caches.
func (s Summary) CacheExports() []Step { return s.named(cacheExport) }

// CacheImports are the steps that looked for caches. One that failed, since
// there is none yet or it can't be read, is no failure of the build.
func (s Summary) CacheImports() []Step { return s.named(cacheImport) }

func (s Summary) named(name *regexp.Regexp) []Step {
	var steps []Step
	for _, step := range s.Steps {
		if name.MatchString(step.Name) {
			steps = append(steps, step)
		}
	}
	return steps
}

// CacheExportError is the error of a cache export that failed, and empty where
// none did. A solve does not fail for it where ignore-error is set, so the
// stream is the only place that tells.
func (s Summary) CacheExportError() string {
	for _, step := range s.CacheExports() {
		if step.Error != "" {
			return step.Name + ": " + step.Error
		}
	}
	return ""
}

// Miss is a step that the cache did not have, though it had all that the step
// builds on.
type Miss struct {
	Step
	// Files is whether the step takes files of a context, which may have changed.
	Files bool
	// After counts the steps that ran again because this one did.
	After int
}

// Missed are the first steps of each chain that ran though they might have come
// from the cache.
func (s Summary) Missed() []Miss {
	g := newGraph(s.Steps)
	var missed []Miss
	for i, step := range s.Steps {
		if !ranAgain(step) || slices.ContainsFunc(g.inputs[i], func(in int) bool { return ranAgain(s.Steps[in]) }) {
			continue
		}
		missed = append(missed, Miss{
			Step:  step,
			Files: slices.ContainsFunc(g.inputs[i], func(in int) bool { return isContext.MatchString(s.Steps[in].Name) }),
			After: g.after(i, ranAgain),
		})
	}
	return missed
}

// isContext is the name of a step that loads files from outside of the image.
var isContext = regexp.MustCompile(`^\[(\S+ )?internal\] load (build context|git source|remote build context)|^\[(\S+ )?context [^\]]+\] `)

// ranAgain is whether a Dockerfile's step did its work in this build.
func ranAgain(s Step) bool {
	in, ok := s.Instruction()
	return ok && in.Works() && !s.Cached && !s.Completed().IsZero()
}

// graph is the steps with what each builds on, by position.
type graph struct {
	steps  []Step
	inputs [][]int
}

func newGraph(steps []Step) graph {
	at := map[digest.Digest]int{}
	for i, s := range steps {
		at[s.Digest] = i
	}
	g := graph{steps: steps, inputs: make([][]int, len(steps))}
	for i, s := range steps {
		for _, in := range s.Inputs {
			if j, ok := at[in]; ok && j != i {
				g.inputs[i] = append(g.inputs[i], j)
			}
		}
	}
	return g
}

// after counts the steps that build on one, directly or not, and are such.
func (g graph) after(one int, such func(Step) bool) int {
	reached := map[int]bool{one: true}
	for grown := true; grown; {
		grown = false
		for i, inputs := range g.inputs {
			if !reached[i] && slices.ContainsFunc(inputs, func(in int) bool { return reached[in] }) {
				reached[i], grown = true, true
			}
		}
	}
	n := 0
	for i := range reached {
		if i != one && such(g.steps[i]) {
			n++
		}
	}
	return n
}
