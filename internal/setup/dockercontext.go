package setup

import (
	"os"
	"path/filepath"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/cli/cli/context/docker"
	contextstore "github.com/docker/cli/cli/context/store"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// keepContext makes a docker context of the environment's engine where that is
// spoken to with TLS, and has the nodes there name it: buildx's store keeps no
// certificates, so that buildx refuses such a builder itself, and
// docker/setup-buildx-action makes a context for it.
func (m *Manager) keepContext(g *group, state *State) error {
	host := m.host.Environ["DOCKER_HOST"]
	if !strings.HasPrefix(host, "tcp://") {
		return nil
	}
	ep, err := m.resolve(host)
	if err != nil || ep.TLSData == nil {
		return err
	}
	name := contextFor(g.Name, state.nonce())
	if !g.rename(host, name) {
		return nil
	}
	if err := state.record(entry{Kind: kindContext, ID: name, Where: m.dockerDir(), Builder: g.Name}); err != nil {
		return err
	}
	m.stepf("making docker context %s of %s", name, host)
	contexts := contextsIn(m.dockerDir())
	err = contexts.CreateOrUpdate(contextstore.Metadata{
		Name:      name,
		Metadata:  map[string]any{"Description": describe(state.nonce())},
		Endpoints: map[string]any{docker.DockerEndpoint: ep.EndpointMeta},
	})
	if err == nil {
		err = contexts.ResetEndpointTLSMaterial(name, docker.DockerEndpoint, ep.TLSData.ToStoreTLSData())
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "make docker context %s: %w", name, err)
	}
	return nil
}

// rename gives nodes in containers of one engine another endpoint. It is false
// where there are none.
func (g *group) rename(from, to string) bool {
	done := false
	for i, n := range g.Nodes {
		own, driver := g.own(n)
		if driver != DockerContainer || own.Endpoint != from {
			continue
		}
		done = true
		own.Endpoint = to
		if _, mixed := g.Made.Nodes[n.Name]; mixed {
			g.Made.Nodes[n.Name] = own
			own = groupNode{Name: n.Name, Endpoint: addressIn(own), Platforms: n.Platforms}
		}
		g.Nodes[i] = own
	}
	return done
}

// contextFor is the name of the context that is made for a builder.
func contextFor(builder, nonce string) string {
	return "hullwright-" + builder + "-" + nonce[:min(8, len(nonce))]
}

// describe is what a context of ours says of itself. It tells whose it is.
func describe(nonce string) string { return "made by hullwright " + nonce }

// removeContext removes a docker context that has the nonce.
func removeContext(dir, name, nonce string) error {
	contexts := contextsIn(dir)
	meta, err := contexts.GetMetadata(name)
	if cerrdefs.IsNotFound(err) {
		return errGone
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "docker context %q: %w", name, err)
	}
	told, ok := meta.Metadata.(map[string]any)
	if !ok || told["Description"] != describe(nonce) {
		return errdefs.New(errdefs.Denied, "docker context %s is not the one that was made", name)
	}
	if err := contexts.Remove(name); err != nil {
		return errdefs.New(errdefs.Environment, "remove docker context %s: %w", name, err)
	}
	for _, empty := range []string{"contexts/meta", "contexts/tls", "contexts"} {
		os.Remove(filepath.Join(dir, empty)) // fails where it is not empty, as it should
	}
	return nil
}
