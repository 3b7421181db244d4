package setup

import (
	"strings"
	"testing"
)

// TestRealEngine builds with the engine's own BuildKit, which hullwright and
// buildx know by one name, and finds an emulated platform on it.
func TestRealEngine(t *testing.T) {
	m := real(t)
	ctx, state := limited(t), newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Docker}, state)
	check(t, err)
	defer b.Close()
	node := b.Nodes[0]
	if b.Name != "default" || b.Driver != Docker || b.Made || node.Name != "default" || node.Endpoint != "default" {
		t.Errorf("builder %+v", b)
	}
	if node.Images != ClassicStore && node.Images != ContainerdStore || len(node.Platforms) == 0 || !strings.HasPrefix(node.Version, "v0.") {
		t.Errorf("node %+v", node)
	}
	solve(ctx, t, b)
	rows, err := m.Emulate(ctx, b, platforms3(t), "", state)
	check(t, err)
	emulated(t, rows)
	if shown := buildx(ctx, t, m, "inspect", "default"); !strings.Contains(shown, "docker") || !strings.Contains(shown, node.Version) {
		t.Errorf("buildx shows it otherwise:\n%s", shown)
	}
	found, err := m.Find(ctx, "default")
	check(t, err)
	check(t, found.Close())
}
