package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// install registers emulators for platforms that could not be proved: the
// host's own, where the node shares its kernel and we may, else the image's
// through the engine. A platform that somebody registered already, and that yet
// does not work, is left as it is and reported.
func (m *Manager) install(ctx context.Context, b *Builder, broken []*proof, image string, state *State) error {
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

// sharesKernel is whether a registration on this machine is one for the node.
func (m *Manager) sharesKernel(ctx context.Context, n *Node) (bool, error) {
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
	p.retry = binfmt.Run(ctx, m.tmp(), p.row.Platform.Architecture) == nil
}

func (m *Manager) tmp() string {
	if dir := m.host.Environ["TMPDIR"]; dir != "" {
		return dir
	}
	return os.TempDir()
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
		err = binfmt.Run(ctx, m.tmp(), p.row.Platform.Architecture)
	}
	if err == nil || errors.Is(err, binfmt.ErrUnproved) { // the build will tell
		p.retry, p.row.Added, p.row.Emulator = true, true, l.Interpreter
		return nil
	}
	p.err = fmt.Errorf("%s with flags %s: %w", l.Interpreter, l.Flags, err)
	p.next = "install other emulators, or name an image with image"
	m.stepf("taking back %s: %v", l.Name, err)
	if err := removeLine(l, state.nonce()); err != nil && !errors.Is(err, errGone) {
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

// engineOf is the engine whose machine runs a node: its own, or for a node that
// runs beside us the current one, if that is here.
func (m *Manager) engineOf(ctx context.Context, n *Node) (string, error) {
	if endpoint, ok, err := m.engineRunning(n); ok || err != nil {
		return endpoint, err
	}
	if r, far := n.conn.(*remoteNode); far && !r.beside() {
		return "", fmt.Errorf("node %s at %s is on another machine, for all that its address tells; emulators are to be registered there", n.Name, n.Endpoint)
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

func (m *Manager) installImage(ctx context.Context, endpoint string, proofs []*proof, image string, state *State) error {
	r := imageRunner{m: m, endpoint: endpoint, image: image, state: state}
	if err := r.pull(ctx); err != nil {
		return err
	}
	before, err := r.run(ctx)
	if err != nil {
		return err
	}
	archs := absent(proofs, before, image)
	if len(archs) == 0 {
		return nil
	}
	names := make([]string, len(archs))
	for i, arch := range archs {
		names[i] = binfmt.Name(arch)
	}
	err = state.record(entry{Kind: kindBinfmtImage, ID: strings.Join(names, ","), Where: endpoint, Detail: image})
	if err != nil {
		return err
	}
	m.stepf("registering %s with image %s", strings.Join(archs, ","), image)
	after, err := r.run(ctx, "--install", strings.Join(archs, ","))
	if err != nil {
		return err
	}
	judge(proofs, after, image)
	return nil
}

// absent marks the platforms whose registration is to be added, and gives their
// architectures. What is registered already is not ours to replace.
func absent(proofs []*proof, before listing, image string) (archs []string) {
	for _, p := range proofs {
		arch := p.row.Platform.Architecture
		name := binfmt.Name(arch)
		if slices.Contains(before.Emulators, name) {
			p.row.Emulator = name
			p.next = fmt.Sprintf("remove that registration (docker run --rm --privileged %s --uninstall %s), then try again", image, name)
			continue
		}
		p.row.Added = true
		if !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
	}
	return archs
}

// judge reads back what was registered: the image's program ends well even
// where it registered nothing.
func judge(proofs []*proof, after listing, image string) {
	for _, p := range proofs {
		name := binfmt.Name(p.row.Platform.Architecture)
		switch {
		case !p.row.Added:
		case slices.Contains(after.Emulators, name):
			p.retry, p.row.Emulator = true, name+" of "+image
		default:
			p.row.Added = false
			p.next = fmt.Sprintf("image %s registered no %s: name another with image, or install qemu-user-static", image, name)
		}
	}
}

// imageRunner runs the binfmt image's program on an engine's machine.
type imageRunner struct {
	m        *Manager
	endpoint string
	image    string
	state    *State
}

// listing is what the program prints at its end.
type listing struct {
	Supported []string `json:"supported"`
	Emulators []string `json:"emulators"`
}

func (r imageRunner) pull(ctx context.Context) error {
	api, err := r.m.engine(r.endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	// A tag that is here already is good enough to register from; unlike a
	// builder's image it is not one that moves.
	if _, err := api.ImageInspect(ctx, r.image); err == nil {
		return nil
	}
	r.m.stepf("pulling image %s", r.image)
	if err := r.m.pull(ctx, api, r.image); err != nil {
		return errdefs.New(errdefs.Environment, "pull image %s: %w", r.image, err).
			WithHint("install qemu-user-static on the builder's machine, or name another image with image")
	}
	return nil
}

func (r imageRunner) run(ctx context.Context, args ...string) (listing, error) {
	var found listing
	out, err := r.output(ctx, args)
	if err != nil {
		return found, errdefs.New(errdefs.Environment, "run image %s: %w", r.image, err)
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return found, errdefs.New(errdefs.Environment, "run image %s: expected a list of emulators, found %q: %w", r.image, out, err)
	}
	return found, nil
}

func (r imageRunner) output(ctx context.Context, args []string) (_ string, err error) {
	api, err := r.m.engine(r.endpoint)
	if err != nil {
		return "", err
	}
	defer api.Close()
	nonce := r.state.nonce()
	name := "hullwright-binfmt-" + nonce[:8] + "-" + newNonce(3)
	e := entry{Kind: kindContainer, ID: name, Where: r.endpoint}
	if err := r.state.record(e); err != nil {
		return "", err
	}
	defer func() {
		rmErr := r.m.removeContainer(context.WithoutCancel(ctx), r.endpoint, name, nonce)
		if rmErr == nil || errors.Is(rmErr, errGone) {
			rmErr = r.state.forget(e)
		}
		err = errors.Join(err, rmErr)
	}()
	_, err = api.ContainerCreate(ctx, engine.ContainerCreateOptions{
		Name:       name,
		Config:     &container.Config{Image: r.image, Cmd: args, Labels: r.state.mark().labels()},
		HostConfig: &container.HostConfig{Privileged: true, NetworkMode: "none"},
	})
	if err != nil {
		return "", err
	}
	return runToEnd(ctx, api, name)
}

// runToEnd runs a container that was made, and gives what it wrote on its
// standard output.
func runToEnd(ctx context.Context, api *engine.Client, name string) (string, error) {
	wait := api.ContainerWait(ctx, name, engine.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := api.ContainerStart(ctx, name, engine.ContainerStartOptions{}); err != nil {
		return "", err
	}
	var code int64
	select {
	case err := <-wait.Error:
		return "", err
	case end := <-wait.Result:
		code = end.StatusCode
	}
	out, complaints, err := containerLog(ctx, api, name, "")
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, lastLines(complaints))
	}
	return out, err
}

// undoBinfmt removes a registration that this program wrote, or leaves it to
// another run that uses it.
func undoBinfmt(ctx context.Context, e entry, nonce string) error {
	line, err := binfmt.ParseLine(e.Detail)
	if err != nil || line.Name != e.ID {
		return errdefs.New(errdefs.Denied, "registration %s: the state file does not say what it was", e.ID)
	}
	return hostLeases.locked(ctx, func() error { return removeLine(line, nonce) })
}

// removeLine must be called with the leases locked.
func removeLine(line binfmt.Line, nonce string) error {
	if err := hostLeases.release(line.Name, nonce); err != nil {
		return err
	}
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
func undoMount(ctx context.Context, e entry, nonce string) error {
	if e.ID != binfmt.Dir {
		return errdefs.New(errdefs.Denied, "%s is no mount point of binfmt_misc", e.ID)
	}
	return hostLeases.locked(ctx, func() error {
		if err := hostLeases.release(mountLease, nonce); err != nil {
			return err
		}
		registry := binfmt.Registry{}
		if !registry.Mounted() {
			return errGone
		}
		err := registry.Unmount()
		if errors.Is(err, binfmt.ErrOther) {
			return errNotOurs
		}
		return err
	})
}

// undoBinfmtImage has the image remove what it registered.
func (m *Manager) undoBinfmtImage(ctx context.Context, e entry, state *State) error {
	for name := range strings.SplitSeq(e.ID, ",") {
		if arch, ok := strings.CutPrefix(name, "qemu-"); !ok || strings.ContainsAny(arch, "*?[") {
			return errdefs.New(errdefs.Denied, "%q is no registration of the binfmt image", e.ID)
		}
	}
	r := imageRunner{m: m, endpoint: e.Where, image: e.Detail, state: state}
	after, err := r.run(ctx, "--uninstall", e.ID)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(e.ID, ",") {
		if slices.Contains(after.Emulators, name) {
			return errdefs.New(errdefs.Environment, "image %s did not remove %s", e.Detail, name)
		}
	}
	return nil
}
