package progress

import "slices"

// CriticalPath is the chain of steps, each building on the one before, that took
// longest: no build of these steps is quicker than it. It is in the order of the
// work; steps that did not run are left out.
//
// BuildKit does not say what a step waits for that builds on no other, as the
// export or the search for a base image. It is taken to wait for what had ended
// before it began.
func (s Summary) CriticalPath() []Step {
	p := path{graph: newGraph(s.Steps), best: make([]chain, len(s.Steps))}
	p.guess()
	end := -1
	for i := range s.Steps {
		if end < 0 || p.longest(i) > p.best[end].length {
			end = i
		}
	}
	var steps []Step
	for ; end >= 0; end = p.best[end].before {
		if s.Steps[end].Duration() > 0 {
			steps = append(steps, s.Steps[end])
		}
	}
	slices.Reverse(steps)
	return steps
}

// path finds the longest chain.
type path struct {
	graph
	best []chain
}

// chain is the longest one that ends with a step.
type chain struct {
	known  bool
	length int64 // nanoseconds
	before int   // the step before; -1 is none
}

// guess gives steps without inputs those that ended before they began.
func (p *path) guess() {
	for i, s := range p.steps {
		if len(s.Inputs) > 0 || s.Started().IsZero() {
			continue
		}
		for j, earlier := range p.steps {
			if end := earlier.Completed(); j != i && !end.IsZero() && !end.After(s.Started()) {
				p.inputs[i] = append(p.inputs[i], j)
			}
		}
	}
}

// longest is the length of the longest chain that ends with a step. A circle,
// which only a broken clock makes, ends where it closes.
func (p *path) longest(i int) int64 {
	if p.best[i].known {
		return p.best[i].length
	}
	p.best[i] = chain{known: true, before: -1}
	best := chain{known: true, before: -1}
	for _, in := range p.inputs[i] {
		if length := p.longest(in); length > best.length {
			best.length, best.before = length, in
		}
	}
	best.length += int64(p.steps[i].Duration())
	p.best[i] = best
	return best.length
}
