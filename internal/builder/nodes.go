package builder

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// part is the share of a build that one node does.
type part struct {
	node      setup.Node
	platforms []v1.Platform
}

// assign gives every platform to a node. With no nodes there is one part, for
// whichever node there will be.
func assign(want []v1.Platform, nodes []setup.Node) ([]part, error) {
	node, err := chooseNode(want, nodes)
	if err != nil {
		return nil, err
	}
	return []part{{node: node, platforms: want}}, nil
}

// chooseNode gives the node that runs most of the platforms natively among
// those that run all of them.
func chooseNode(want []v1.Platform, nodes []setup.Node) (setup.Node, error) {
	if len(nodes) == 0 {
		return setup.Node{}, nil
	}
	var best setup.Node
	bestNative := -1
	var missing []string
	for _, n := range nodes {
		lacks := lacking(want, n.Platforms)
		if len(lacks) > 0 {
			if missing == nil || len(lacks) < len(missing) {
				missing = lacks
			}
			continue
		}
		native := 0
		for _, p := range want {
			if len(n.Platforms) > 0 && runs(n.Platforms[:1], p) {
				native++
			}
		}
		if native > bestNative {
			best, bestNative = n, native
		}
	}
	if bestNative < 0 {
		return setup.Node{}, errdefs.BadInputf("platforms", 0, "no node of the builder runs %s", strings.Join(missing, " and ")).
			WithHint("hullwright setup --platforms registers emulators; all platforms of a build must run on one node")
	}
	return best, nil
}

func lacking(want, have []v1.Platform) []string {
	var names []string
	for _, p := range want {
		if !runs(have, p) {
			names = append(names, p.String())
		}
	}
	return names
}
