package builder

import (
	"slices"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/setup"
)

// runs is whether a node that reports the platforms in have runs want. A
// variant must be in the list itself: a node that emulates arm64 does not
// thereby run 32-bit arm, as a real arm64 processor mostly does.
func runs(have []v1.Platform, want v1.Platform) bool {
	for _, p := range have {
		if platforms.OnlyStrict(spec(p)).Match(spec(want)) {
			return true
		}
	}
	return false
}

// Lists is whether one of nodes reports all platforms that are wanted, natively
// or by emulators that are there.
func Lists(nodes []setup.Node, want []v1.Platform) bool {
	return slices.ContainsFunc(nodes, func(n setup.Node) bool { return len(lacking(want, n.Platforms)) == 0 })
}

func spec(p v1.Platform) ocispecs.Platform {
	return platforms.Normalize(ocispecs.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion,
	})
}
