package setup

import (
	"strings"
	"testing"

	contextstore "github.com/docker/cli/cli/context/store"
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

// TestRealEngineFar has the engine's own BuildKit behind TLS, by a docker
// context's name.
func TestRealEngineFar(t *testing.T) {
	m, ctx := real(t), limited(t)
	ca := newCA(t)
	address, client := forwardTLS(t, m, ca), ca.issue(t, "client")
	m.host.Environ["DOCKER_CONFIG"], m.host.Environ["DOCKER_HOST"] = t.TempDir(), ""
	withContext(t, m.dockerDir(), "far", address)
	check(t, m.contexts().ResetEndpointTLSMaterial("far", "docker", &contextstore.EndpointTLSData{
		Files: map[string][]byte{"ca.pem": client.CA, "cert.pem": client.Cert, "key.pem": client.Key},
	}))
	b, err := m.Find(ctx, "far")
	check(t, err)
	defer b.Close()
	if b.Name != "far" || b.Nodes[0].Name != "far" || b.Nodes[0].Endpoint != "far" {
		t.Errorf("builder %+v", b)
	}
	solve(ctx, t, b)
}
