package setup

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Place says which of nodes builds each platform of want, by its index; -1 where
// none runs it. A node that the store fixes to the platform comes first, then
// one that runs it natively, then one that emulates it; among equals the one
// that has the least to do. It is pure, and what [Manager.Emulate] proved it
// places where it was proved.
func Place(nodes []Node, want []v1.Platform) []int { return place(nodes, want, false) }

// fitness is how well a node suits a platform; less is better.
type fitness int

const (
	fixed         fitness = iota // the store says so
	runs                         // natively
	runsAside                    // natively, and the store fixes the node to others
	emulates                     // it says
	emulatesAside                // and the store fixes the node to others
	unsuited
)

// place is Place. anywhere has platforms that no node lists go to one that is
// to learn them.
func place(nodes []Node, want []v1.Platform, anywhere bool) []int {
	at := slices.Repeat([]int{-1}, len(want))
	load := make([]int, len(nodes))
	take := func(i int, suits fitness) {
		for n, node := range nodes {
			if node.fitness(want[i]) == suits && (at[i] < 0 || load[n] < load[at[i]]) {
				at[i] = n
			}
		}
		load[at[i]]++
	}
	// What has its node by nature is placed before what can be spread.
	for _, spread := range []bool{false, true} {
		for i, p := range want {
			suits := best(nodes, p)
			if spread == (suits >= emulates) && (suits < unsuited || anywhere && len(nodes) > 0) {
				take(i, suits)
			}
		}
	}
	return at
}

func best(nodes []Node, p v1.Platform) fitness {
	suits := unsuited
	for _, n := range nodes {
		suits = min(suits, n.fitness(p))
	}
	return suits
}

func (n Node) fitness(p v1.Platform) fitness {
	isFixed := func(o v1.Platform) bool { return same(o, p) }
	switch {
	case slices.ContainsFunc(n.Fixed, isFixed):
		return fixed
	case !n.lists(p):
		return unsuited
	case n.native(p) && len(n.Fixed) == 0:
		return runs
	case n.native(p):
		return runsAside
	case len(n.Fixed) == 0:
		return emulates
	}
	return emulatesAside
}

// lists is whether the node says that it runs p. Some arm64 machines have no
// 32-bit mode: kinship of architectures is not enough.
func (n Node) lists(p v1.Platform) bool {
	return slices.ContainsFunc(n.Platforms, func(o v1.Platform) bool {
		return o.Architecture == p.Architecture && native(o, p)
	})
}

// native is whether the node runs p without an emulator.
func (n Node) native(p v1.Platform) bool {
	return len(n.Platforms) > 0 && native(n.Platforms[0], p) && n.lists(p)
}
