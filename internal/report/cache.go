package report

import (
	"github.com/hullwright/hullwright/internal/progress"
)

// cache says what came from where, and what did not.
func (b Build) cache() cache {
	var c cache
	for _, s := range b.Summary.CacheImports() {
		c.Imports = append(c.Imports, b.step(s))
	}
	for _, s := range b.Summary.CacheExports() {
		c.Exports = append(c.Exports, b.step(s))
	}
	for _, m := range b.Summary.Missed() {
		c.Missed = append(c.Missed, b.miss(m))
	}
	return c
}

func (b Build) miss(m progress.Miss) miss {
	place, name := b.place(m.Step)
	shown := miss{Place: place, Name: name, Why: b.why(m)}
	if m.After > 0 {
		shown.After = count(m.After, "step") + " after it ran again"
	}
	return shown
}

// why says all that is known of a miss. BuildKit tells no reason, so more than
// this would be a guess.
func (b Build) why(m progress.Miss) string {
	cached, _ := b.Summary.Cached()
	switch {
	case b.NoCache:
		return "no-cache is set"
	case cached == 0 && b.NewBuilder && !b.imported():
		return "the builder is new, and no cache was imported"
	case cached == 0 && !b.imported():
		return "neither the builder nor an imported cache has it"
	case m.Files:
		return "the files that it takes differ from those in the cache, or the cache does not have it"
	default:
		return "the instruction, an argument or the base image differs from what is in the cache, or the cache does not have it"
	}
}

// imported is whether a cache was there to import.
func (b Build) imported() bool {
	for _, s := range b.Summary.CacheImports() {
		if s.Error == "" {
			return true
		}
	}
	return false
}
