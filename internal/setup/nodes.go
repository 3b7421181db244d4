package setup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// shaped is a node of a new group, with what it takes to reach it.
type shaped struct {
	groupNode
	driver string
}

// newGroup is the builder that spec describes. It makes nothing.
func (m *Manager) newGroup(ctx context.Context, spec Spec, state *State) (*group, error) {
	first, err := m.firstNode(ctx, spec)
	if err != nil {
		return nil, err
	}
	g := &group{Name: spec.Name, Made: newMaker(state)}
	var nodes []shaped
	var faults []error
	for i, want := range append([]NodeSpec{first}, spec.Nodes...) {
		node, err := m.newNode(ctx, g, spec, want, nodes)
		if i > 0 {
			err = inAppend(err, want.line, "node")
		}
		faults = append(faults, err)
		nodes = append(nodes, node)
	}
	faults = append(faults, m.checkUse(ctx, spec, nodes))
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	g.settle(nodes)
	return g, nil
}

// firstNode is spec's own node, its driver and endpoint decided.
func (m *Manager) firstNode(ctx context.Context, spec Spec) (NodeSpec, error) {
	n := NodeSpec{DriverOpts: spec.DriverOpts, Flags: spec.Flags, Platforms: spec.Platforms, TLS: spec.TLS}
	if spec.Driver == Remote {
		n.Driver, n.Endpoint = Remote, spec.Endpoint
		return n, nil
	}
	var err error
	if n.Endpoint, err = m.endpoint(spec.Endpoint); err != nil {
		return n, err
	}
	n.Driver, err = m.chooseDriver(ctx, spec, n.Endpoint)
	return n, err
}

// newNode is the node that want describes, beside those that are before it.
func (m *Manager) newNode(ctx context.Context, g *group, spec Spec, want NodeSpec, before []shaped) (shaped, error) {
	n := shaped{driver: want.Driver}
	if n.driver == "" {
		n.driver = before[0].driver
		if n.driver == Process {
			n.driver = Remote // a machine has one process of a builder
		}
	}
	var err error
	if n.Name, err = nodeName(g.Name, want.Name, before); err != nil {
		return n, err
	}
	n.Platforms = allToOCI(want.Platforms)
	switch {
	case n.driver == DockerContainer:
		err = m.completeContainer(ctx, &n.groupNode, spec, want, len(before) > 0)
	case n.driver == Remote:
		err = m.completeRemote(g, &n.groupNode, want, len(before))
	case n.driver == Process && len(before) == 0:
		err = m.completeProcess(ctx, g, &n.groupNode, spec, want.Endpoint)
	default:
		return n, errdefs.BadInputf("driver", 0, "a further node has no driver %q", n.driver).
			WithHint("one of %s, %s", DockerContainer, Remote)
	}
	if err != nil {
		return n, err
	}
	for _, o := range before {
		if o.Endpoint == n.Endpoint { // buildx would change no such builder
			return n, errdefs.BadInputf("endpoint", 0, "%s is node %s already", n.Endpoint, o.Name)
		}
	}
	return n, nil
}

// nodeName is buildx's name for a node: the builder's, and the first number
// that is free.
func nodeName(builder, given string, before []shaped) (string, error) {
	taken := func(name string) bool {
		return slices.ContainsFunc(before, func(n shaped) bool { return n.Name == name })
	}
	if given == "" {
		for i := 0; ; i++ {
			if name := fmt.Sprintf("%s%d", builder, i); !taken(name) {
				return name, nil
			}
		}
	}
	name, err := validName("name", given)
	if err == nil && taken(name) {
		err = errdefs.BadInputf("name", 0, "%q is another node's", name)
	}
	return name, err
}

// completeContainer describes a node in a container. What is said of the
// builder's configuration holds for every such node; options and flags are its
// own.
func (m *Manager) completeContainer(ctx context.Context, node *groupNode, spec Spec, want NodeSpec, further bool) error {
	m.skipTLS(want, DockerContainer)
	var err error
	if node.Endpoint, err = m.endpoint(want.Endpoint); err != nil {
		return err
	}
	if further {
		if err := m.ping(ctx, node.Endpoint, pingLimitNamed); err != nil {
			return err
		}
	}
	spec.DriverOpts, spec.Flags = want.DriverOpts, want.Flags
	if spec, err = m.configure(ctx, spec, DockerContainer, node.Endpoint); err != nil {
		return err
	}
	if _, err := parseContainerOpts(spec.DriverOpts); err != nil {
		return err
	}
	node.DriverOpts = spec.DriverOpts
	if node.Flags, err = daemonFlags(spec.Flags, DockerContainer, spec.DriverOpts, spec.Config); err != nil {
		return err
	}
	if spec.Config != nil {
		node.Files, err = containerFiles(spec.Config, m.host.Dir)
	}
	return err
}

// completeRemote describes a node that somebody else runs. i is its number, by
// which its certificates' variables are named.
func (m *Manager) completeRemote(g *group, node *groupNode, want NodeSpec, i int) error {
	if want.Flags != nil {
		return errdefs.BadInputf("buildkitd-flags", 0, "driver %s uses a buildkitd as it is", Remote)
	}
	var err error
	if node.Endpoint, err = remoteEndpoint(want.Endpoint); err != nil {
		return err
	}
	node.DriverOpts = want.DriverOpts
	u, err := parseRemote(node.Endpoint)
	if err != nil {
		return err
	}
	if want.TLS.empty() || u.Scheme != "tcp" {
		m.skipTLS(want, u.Scheme+"://")
		_, err := m.newRemote(*node)
		return err
	}
	node.DriverOpts = maps.Clone(want.DriverOpts)
	if node.DriverOpts == nil {
		node.DriverOpts = map[string]string{}
	}
	for _, part := range want.TLS.parts() {
		if *part.pem == nil {
			continue
		}
		if _, twice := node.DriverOpts[part.option]; twice {
			return errdefs.BadInputf("driver-opts", 0, "%s is given by BUILDER_NODE_%d_AUTH_TLS_%s too", part.option, i, part.variable)
		}
		path := m.certificatePath(part.option, u.Hostname(), u.Port(), g.Made.Nonce)
		node.DriverOpts[part.option] = path
		g.certs = append(g.certs, certificate{path: path, pem: *part.pem})
	}
	if len(want.TLS.Cert) > 0 && len(want.TLS.Key) > 0 {
		if _, err := tls.X509KeyPair(want.TLS.Cert, want.TLS.Key); err != nil {
			return errdefs.BadInputf(fmt.Sprintf("BUILDER_NODE_%d_AUTH_TLS_KEY", i), 0, "%w", err)
		}
	}
	_, err = parseRemoteOpts(node.DriverOpts)
	return err
}

// skipTLS tells that certificates of the environment are of no use to a node.
// docker/setup-buildx-action says nothing then.
func (m *Manager) skipTLS(want NodeSpec, what string) {
	if !want.TLS.empty() {
		m.stepf("skipping the certificates of a node, which are for driver %s at tcp:// and not for %s", Remote, what)
	}
}

// checkUse refuses what none of the nodes has a use for.
func (m *Manager) checkUse(ctx context.Context, spec Spec, nodes []shaped) error {
	has := func(driver string) bool {
		return slices.ContainsFunc(nodes, func(n shaped) bool { return n.driver == driver })
	}
	var faults []error
	if spec.KeepState && !has(DockerContainer) && !has(Process) {
		faults = append(faults, errdefs.BadInputf("keep-state", 0, "driver %s keeps no state", nodes[0].driver))
	}
	if !has(Process) {
		faults = append(faults, spec.processOptions().refuse(nodes[0].driver))
	}
	if has(DockerContainer) || has(Process) {
		return errors.Join(faults...)
	}
	if spec.Config != nil {
		faults = append(faults, errdefs.BadInputf("buildkitd-config", 0, "driver %s uses a buildkitd as it is, and does not configure it", Remote))
	}
	_, err := m.configure(ctx, spec, Remote, "")
	return errors.Join(append(faults, err)...)
}

// settle makes the nodes the group's, in shapes that buildx reads. It has one
// driver a builder. Where ours has two it is driver remote there, which reaches
// into a container by its name; what the container is made from is kept in our
// own part.
func (g *group) settle(nodes []shaped) {
	for i := range nodes { // of two nodes for a platform the later one has it, as in buildx
		nodes[i].Platforms = slices.DeleteFunc(nodes[i].Platforms, func(p ocispecs.Platform) bool {
			return slices.ContainsFunc(nodes[i+1:], func(n shaped) bool { return n.isFor(p) })
		})
	}
	g.Driver = nodes[0].driver
	mixed := slices.ContainsFunc(nodes, func(n shaped) bool { return n.driver != g.Driver })
	if mixed || g.Driver == Process {
		g.Made.Driver, g.Driver = g.Driver, Remote
	}
	for _, n := range nodes {
		if mixed && n.driver == DockerContainer {
			if g.Made.Nodes == nil {
				g.Made.Nodes = map[string]groupNode{}
			}
			g.Made.Nodes[n.Name] = n.groupNode
			n.groupNode = groupNode{Name: n.Name, Endpoint: addressIn(n.groupNode), Platforms: n.Platforms}
		}
		g.Nodes = append(g.Nodes, n.groupNode)
	}
}

// isFor is whether the node is said to run p.
func (n groupNode) isFor(p ocispecs.Platform) bool {
	return slices.ContainsFunc(n.Platforms, func(o ocispecs.Platform) bool { return same(fromOCI(o), fromOCI(p)) })
}

// addressIn is how buildx's driver remote reaches a node in a container.
// docker exec takes the engine from a context, or from the environment where
// the endpoint is an address.
func addressIn(n groupNode) string {
	address := inContainer + "://" + containerOf(n.Name)
	if strings.Contains(n.Endpoint, "://") {
		return address
	}
	return address + "?context=" + n.Endpoint
}

// containerOf is buildx's name for a node's container.
func containerOf(node string) string { return "buildx_buildkit_" + node }

// own is a node as it is made, where that differs from what buildx reads.
func (g *group) own(n groupNode) (node groupNode, driver string) {
	if g.Made != nil {
		if own, ok := g.Made.Nodes[n.Name]; ok {
			own.Platforms = n.Platforms
			return own, DockerContainer
		}
		if g.Made.Driver == Process && n.Name == g.Nodes[0].Name {
			return n, Process
		}
	}
	return n, g.Driver
}

// checkNodes refuses a builder that is there and lacks a node that is asked
// for: it is not changed, and a build would go elsewhere than was said.
func (m *Manager) checkNodes(spec Spec, g *group) error {
	var faults []error
	for _, want := range spec.Nodes {
		endpoint, err := m.endpointOf(want, g)
		if err != nil {
			faults = append(faults, inAppend(err, want.line, "node"))
			continue
		}
		if !slices.ContainsFunc(g.Nodes, func(n groupNode) bool { own, _ := g.own(n); return own.Endpoint == endpoint }) {
			faults = append(faults, errdefs.BadInputf("append", want.line, "builder %q is there without a node at %s", g.Name, endpoint).
				WithHint("take another name, or remove that builder: docker buildx rm %s", g.Name))
		}
	}
	return errors.Join(faults...)
}

func (m *Manager) endpointOf(want NodeSpec, g *group) (string, error) {
	driver := want.Driver
	if driver == "" {
		driver = g.driver()
	}
	if driver == DockerContainer {
		return m.endpoint(want.Endpoint)
	}
	return remoteEndpoint(want.Endpoint)
}

// certificate is a file of a new group: a part of what a node is spoken to with.
type certificate struct {
	path string
	pem  []byte
}

var notInFileName = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// certificatePath is where docker/setup-buildx-action would put a node's
// certificate, or a path beside it where another builder's is there.
func (m *Manager) certificatePath(part, host, port, nonce string) string {
	name := part + "_" + notInFileName.ReplaceAllString(host, "_")
	if port != "" {
		name += "-" + port
	}
	dir := filepath.Join(m.store().dir, "certs")
	path := filepath.Join(dir, name+".pem")
	if _, err := os.Lstat(path); err == nil {
		path = filepath.Join(dir, name+"_"+nonce[:8]+".pem")
	}
	return path
}

// mark is the line before a certificate that tells whose it is. A reader of PEM
// skips what is outside of the blocks.
func mark(nonce string) string { return "hullwright " + nonce + "\n" }

// keepCertificates writes a new group's certificates.
func keepCertificates(g *group, state *State) error {
	for _, c := range g.certs {
		if err := state.record(entry{Kind: kindCertificate, ID: c.path, Builder: g.Name}); err != nil {
			return err
		}
		if err := c.write(state.nonce()); err != nil {
			return errdefs.New(errdefs.Environment, "keep a node's certificate: %w", err)
		}
	}
	return nil
}

func (c certificate) write(nonce string) error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(mark(nonce)), c.pem...))
	return errors.Join(err, f.Close())
}

// removeCertificate removes a certificate that has the nonce, and the directory
// with the last one.
func removeCertificate(path, nonce string) error {
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errGone
	case err != nil:
		return err
	case !strings.HasPrefix(string(raw), mark(nonce)):
		return errNotOurs
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	os.Remove(filepath.Dir(path)) // fails where it is not empty, as it should
	return nil
}
