package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// install registers emulators for platforms that could not be proved: the
// host's own, where the node shares its kernel and we may, else the image's
// through the engine. A platform that somebody registered already, and that yet
// does not work, is left as it is and reported.
func (m *Manager) install(ctx context.Context, broken []*proof, image string, state *State) error {
	var foreign []*proof
	for _, p := range broken {
		local, err := m.sharesKernel(ctx, p.node)
		if err != nil {
			return err
		}
		if !local {
			foreign = append(foreign, p)
			continue
		}
		done, err := m.installHost(ctx, p, state)
		if err != nil {
			return err
		}
		if !done {
			foreign = append(foreign, p)
		}
	}
	return m.installImages(ctx, foreign, image, state)
}

// sharesKernel is whether a registration on this machine is one for the node,
// whose engine is asked once.
func (m *Manager) sharesKernel(ctx context.Context, n *Node) (bool, error) {
	if n.more == nil { // a node that is none yet
		return m.isBeside(ctx, n)
	}
	n.more.mu.Lock()
	defer n.more.mu.Unlock()
	if n.more.beside != nil {
		return *n.more.beside, nil
	}
	beside, err := m.isBeside(ctx, n)
	if err == nil {
		n.more.beside = &beside
	}
	return beside, err
}

func (m *Manager) isBeside(ctx context.Context, n *Node) (bool, error) {
	endpoint, ok, err := m.engineRunning(n)
	if err != nil {
		return false, err
	}
	if r, far := n.conn.(*remoteNode); !ok {
		return kernel() != "" && (!far || r.beside()), nil
	}
	api, err := m.engine(endpoint)
	if err != nil {
		return false, err
	}
	defer api.Close()
	info, err := api.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return false, errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	// An engine on a local socket may live in a virtual machine, and we in a
	// container: both show in the names of host and kernel.
	name, err := os.Hostname()
	return err == nil && info.Info.Name == name && info.Info.KernelVersion == kernel(), nil
}

// engineRunning is the engine in a container of which a node is; it is not ok
// where the node is in none that we know.
func (m *Manager) engineRunning(n *Node) (endpoint string, ok bool, err error) {
	switch c := n.conn.(type) {
	case *containerNode:
		return c.node.Endpoint, true, nil
	case *engineNode:
		return c.endpoint, true, nil
	case *remoteNode:
		if c.address.Scheme == inContainer {
			endpoint, err = m.endpoint(c.engine())
			return endpoint, err == nil, err
		}
	}
	return "", false, nil
}

// installHost registers the host's own emulator for a platform. It is false
// where the host has none, or we have no right to.
func (m *Manager) installHost(ctx context.Context, p *proof, state *State) (bool, error) {
	registry, arch := binfmt.Registry{}, p.row.Platform.Architecture
	handler, found, err := registry.Handler(arch)
	if err != nil {
		return false, errdefs.New(errdefs.Environment, "binfmt_misc: %w", err)
	}
	if found {
		m.found(ctx, p, handler)
		return true, nil
	}
	lines := binfmt.Emulators("/", arch)
	if len(lines) == 0 {
		p.next = "install emulators (apt-get install qemu-user-static), or start an engine that can run the binfmt image"
		return false, nil
	}
	if os.Geteuid() != 0 {
		p.next = "run once as root, who may register the emulators that are installed, or use driver docker-container"
		return false, nil
	}
	return true, hostLeases.locked(ctx, func() error {
		if err := m.mountRegistry(registry, state); err != nil {
			return err
		}
		for _, l := range lines {
			if err := m.tryLine(ctx, registry, l, p, state); err != nil || p.retry {
				return err
			}
		}
		return nil
	})
}

// found judges an entry that is there. One that this run added for another
// platform of the architecture serves this one too.
func (m *Manager) found(ctx context.Context, p *proof, e binfmt.Entry) {
	p.row.Emulator = fmt.Sprintf("%s (flags %s)", e.Interpreter, e.Flags)
	p.next = fmt.Sprintf("remove that registration (echo -1 > %s/%s), then try again", binfmt.Dir, e.Name)
	if !strings.Contains(e.Flags, "F") {
		p.next += "; without flag F it does not work in containers"
	}
	p.retry = m.runCheck(ctx, p.row.Platform.Architecture) == nil
}

func (m *Manager) tmp() string {
	if dir := m.host.Environ["TMPDIR"]; dir != "" {
		return dir
	}
	return os.TempDir()
}

// runCheck proves an architecture on this machine, as [binfmt.Run] does, from a
// directory that is known for ours if this process is killed meanwhile.
func (m *Manager) runCheck(ctx context.Context, arch string) error {
	dir, err := TempDir(m.tmp(), "check")
	if err != nil {
		return fmt.Errorf("%w: %w", binfmt.ErrUnproved, err)
	}
	defer os.RemoveAll(dir) // what stays has our mark, and says nothing of the check
	return binfmt.Run(ctx, dir, arch)
}

func (m *Manager) mountRegistry(r binfmt.Registry, state *State) error {
	e := entry{Kind: kindMount, ID: binfmt.Dir}
	if r.Mounted() {
		return m.lease(mountLease, e, state)
	}
	if err := state.record(e); err != nil {
		return err
	}
	if err := hostLeases.hold(mountLease, state.mark(), ""); err != nil {
		return err
	}
	m.stepf("mounting binfmt_misc on %s", binfmt.Dir)
	if err := r.Mount(); err != nil {
		return errdefs.New(errdefs.Environment, "%w", err).
			WithHint("run on the machine itself or in a privileged container; the kernel module is binfmt_misc")
	}
	return nil
}

// tryLine registers one line, and takes it back where it does not work.
func (m *Manager) tryLine(ctx context.Context, r binfmt.Registry, l binfmt.Line, p *proof, state *State) error {
	if _, err := r.Entry(l.Name); err == nil { // another run was quicker, or the name means something else
		p.retry, p.row.Emulator = true, l.Name
		return m.lease(l.Name, entry{Kind: kindBinfmt, ID: l.Name, Detail: l.String()}, state)
	}
	e := entry{Kind: kindBinfmt, ID: l.Name, Detail: l.String()}
	if err := state.record(e); err != nil {
		return err
	}
	if err := hostLeases.hold(l.Name, state.mark(), l.String()); err != nil {
		return err
	}
	m.stepf("registering %s for %s (flags %s)", l.Interpreter, p.row.Platform, l.Flags)
	err := r.Register(l)
	if err == nil {
		err = m.runCheck(ctx, p.row.Platform.Architecture)
	}
	if err == nil || errors.Is(err, binfmt.ErrUnproved) { // the build will tell
		p.retry, p.row.Added, p.row.Emulator = true, true, l.Interpreter
		return nil
	}
	p.err = fmt.Errorf("%s with flags %s: %w", l.Interpreter, l.Flags, err)
	p.next = "install other emulators, or name an image with image"
	m.stepf("taking back %s: %v", l.Name, err)
	if err := m.removeLine(l, state.nonce()); err != nil && !errors.Is(err, errGone) {
		return err
	}
	return state.forget(e)
}

// installImages registers the image's emulators, an engine at a time.
func (m *Manager) installImages(ctx context.Context, list []*proof, image string, state *State) error {
	byEngine := map[string][]*proof{}
	for _, p := range list {
		endpoint, err := m.engineOf(ctx, p.node)
		if err != nil {
			p.next = strings.Trim(p.next+"; no engine for the binfmt image: "+firstLine(err.Error()), "; ")
			continue
		}
		byEngine[endpoint] = append(byEngine[endpoint], p)
	}
	for endpoint, proofs := range byEngine {
		if err := m.installImage(ctx, endpoint, proofs, image, state); err != nil {
			return err
		}
	}
	return nil
}

// ErrElsewhere is that a node is on another machine, where nobody registers
// emulators from here.
var ErrElsewhere = errors.New("another machine")

// Registers says where [Manager.Emulate] would register an emulator for a node of
// b that is called so: here is in the kernel of this machine, else it is an
// engine's. Nothing is changed. ErrElsewhere is in the error's tree where Emulate
// would refuse to; any other error is that of an engine which does not answer.
func (m *Manager) Registers(ctx context.Context, b *Builder, node string) (here bool, err error) {
	n := b.node(node)
	if here, err = m.sharesKernel(ctx, n); here || err != nil {
		return here, err
	}
	_, err = m.engineOf(ctx, n)
	return false, err
}

// engineOf is the engine whose machine runs a node: its own, or for a node that
// runs beside us the current one, if that is here.
func (m *Manager) engineOf(ctx context.Context, n *Node) (string, error) {
	if endpoint, ok, err := m.engineRunning(n); ok || err != nil {
		return endpoint, err
	}
	if r, far := n.conn.(*remoteNode); far && !r.beside() {
		return "", fmt.Errorf("node %s at %s is on %w, for all that its address tells; emulators are to be registered there", n.Name, n.Endpoint, ErrElsewhere)
	}
	endpoint, err := m.currentEndpoint()
	if err != nil {
		return "", err
	}
	if err := m.ping(ctx, endpoint, pingLimit); err != nil {
		return "", err
	}
	here, err := m.sharesKernel(ctx, &Node{conn: &containerNode{m: m, node: groupNode{Endpoint: endpoint}}})
	if err == nil && !here {
		err = fmt.Errorf("engine %s is on another machine", endpoint)
	}
	return endpoint, err
}

// undoBinfmt removes a registration that this program wrote, or leaves it to
// another run that uses it.
func (m *Manager) undoBinfmt(ctx context.Context, e entry, nonce string) error {
	line, err := binfmt.ParseLine(e.Detail)
	if err != nil || line.Name != e.ID {
		return errdefs.New(errdefs.Denied, "registration %s: the state file does not say what it was", e.ID)
	}
	return hostLeases.locked(ctx, func() error { return m.removeLine(line, nonce) })
}

// removeLine must be called with the leases locked.
func (m *Manager) removeLine(line binfmt.Line, nonce string) error {
	if err := hostLeases.release(line.Name, nonce, m.leaseGone); err != nil {
		return err
	}
	return unregister(line)
}

func unregister(line binfmt.Line) error {
	err := binfmt.Registry{}.Remove(line)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errGone
	case errors.Is(err, binfmt.ErrOther):
		return errNotOurs
	}
	return err
}

// undoMount unmounts binfmt_misc where nobody else needs it.
func (m *Manager) undoMount(ctx context.Context, e entry, nonce string) error {
	if e.ID != binfmt.Dir {
		return errdefs.New(errdefs.Denied, "%s is no mount point of binfmt_misc", e.ID)
	}
	return hostLeases.locked(ctx, func() error {
		if err := hostLeases.release(mountLease, nonce, m.leaseGone); err != nil {
			return err
		}
		return unmount()
	})
}

func unmount() error {
	registry := binfmt.Registry{}
	if !registry.Mounted() {
		return errGone
	}
	err := registry.Unmount()
	if errors.Is(err, binfmt.ErrOther) {
		return errNotOurs
	}
	return err
}
