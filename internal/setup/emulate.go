package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// DefaultBinfmtImage is the image that registers emulators on a machine that
// has none of its own. docker/setup-qemu-action takes :latest of it.
const DefaultBinfmtImage = "docker.io/tonistiigi/binfmt:qemu-v10.2.3-68"

// Emulate makes every platform in want buildable that no node of b runs, and
// proves each by running a program in a build. It gives what it found and did,
// a row a platform in want; those that are proved it adds to the node's
// platforms. image is the binfmt image for hosts without emulators of their
// own; empty is DefaultBinfmtImage.
//
// A platform that can't be emulated is an errdefs.Environment, joined with the
// others; its row has no emulator. A builder is not restarted for a new
// registration: buildkitd lists it late (it keeps the list for up to an hour)
// but runs it at once. Of nodes that are lost it warns; where a platform has
// nowhere else to go it is an error, with why they are lost. What is known
// against an emulator that was there [Manager.Advise] tells.
func (m *Manager) Emulate(ctx context.Context, b *Builder, want []v1.Platform, image string, state *State) ([]Emulation, error) {
	if err := m.spare(b, want); err != nil {
		return nil, err
	}
	rows, todo := m.todo(b, want)
	for _, r := range rows {
		if r.Err != nil {
			m.stepf("skipping emulation of %s: %v", r.Platform, r.Err)
		}
	}
	located := m.locate(ctx, todo)
	defer located()
	if err := m.leaseAll(ctx, todo, state); err != nil {
		return rows, canceled(ctx, "emulate", err)
	}
	if err := m.sweepLeases(ctx); err != nil {
		return rows, canceled(ctx, "emulate", err)
	}
	prove(ctx, todo)
	located()
	broken := slices.DeleteFunc(slices.Clone(todo), func(p *proof) bool { return p.err == nil })
	if len(broken) > 0 && ctx.Err() == nil {
		if err := m.install(ctx, broken, binfmtImage(image), state); err != nil {
			return rows, canceled(ctx, "emulate", err)
		}
		prove(ctx, slices.DeleteFunc(slices.Clone(broken), func(p *proof) bool { return !p.retry }))
	}
	if ctx.Err() != nil {
		return rows, canceled(ctx, "emulate", ctx.Err())
	}
	m.settle(ctx, rows, todo)
	var faults []error
	for _, p := range broken {
		if p.err != nil {
			p.row.Err = p.fault()
			faults = append(faults, p.row.Err)
		}
	}
	return rows, errors.Join(faults...)
}

// Prove says how every platform in want runs on b, a row each, by running a
// program in a build, and changes nothing: it registers no emulator, and no run
// takes part in a registration by it. What does not run has its reason in Err;
// binfmt.ErrUnproved is in that error's tree where nothing can be run for the
// platform at all, which says nothing against it.
func (m *Manager) Prove(ctx context.Context, b *Builder, want []v1.Platform) []Emulation {
	rows, todo := m.todo(b, want)
	prove(ctx, todo)
	for _, p := range todo {
		switch {
		case p.err != nil && ctx.Err() != nil:
			p.row.Err = canceled(ctx, "prove "+p.row.Platform.String(), ctx.Err())
		case p.err != nil:
			p.row.Err = p.fault()
		default:
			p.row.Emulator = m.emulatorOf(ctx, p)
		}
	}
	return rows
}

// todo are the rows of want, and what of it is to be proved.
func (m *Manager) todo(b *Builder, want []v1.Platform) ([]Emulation, []*proof) {
	rows := b.rows(want)
	var todo []*proof
	for i, p := range want {
		switch _, ok := binfmt.Check(p.Architecture); {
		case rows[i].Native:
		case p.OS != "linux":
			rows[i].Err = fmt.Errorf("only Linux programs can be emulated: %w", binfmt.ErrUnproved)
		case !ok:
			rows[i].Err = fmt.Errorf("there is no program to prove it with: %w", binfmt.ErrUnproved)
		default:
			todo = append(todo, &proof{row: &rows[i], node: b.node(rows[i].Node)})
		}
	}
	return rows, todo
}

// locate begins to ask whose kernel nodes run on, which takes an engine longer than
// a program takes to be proved; the function that it gives waits for the answers.
// What could not be found out is asked again by who needs it.
func (m *Manager) locate(ctx context.Context, todo []*proof) func() {
	var asked sync.WaitGroup
	seen := map[*Node]bool{}
	for _, p := range todo {
		if n := p.node; n != nil && !seen[n] {
			seen[n] = true
			asked.Go(func() { m.sharesKernel(ctx, n) })
		}
	}
	return asked.Wait
}

// leaseAll takes part in what other runs registered, before anything relies on it.
func (m *Manager) leaseAll(ctx context.Context, todo []*proof, state *State) error {
	for _, p := range todo {
		if err := m.leaseEmulator(ctx, p.row.Platform.Architecture, state); err != nil {
			return err
		}
	}
	return m.leaseNodes(ctx, todo, state)
}

// proof is one platform that is to be emulated, and how that went.
type proof struct {
	row  *Emulation
	node *Node // on which; nil is the machine itself
	err  error // why it does not work
	next string
	// known is what is known against the emulator.
	known string
	// retry is whether there is reason to think that it works by now.
	retry bool
}

// fault tells what was found, and what to do.
func (p *proof) fault() error {
	what := "emulation of " + p.row.Platform.String()
	if p.node != nil {
		what += " on node " + p.node.Name
	}
	if p.row.Emulator != "" {
		what += " is broken: registered is " + p.row.Emulator
	}
	if p.known != "" {
		what += ", " + p.known
	}
	p.row.Emulator = ""
	return errdefs.New(errdefs.Environment, "%s: %w", what, p.err).WithHint("%s", p.next)
}

// rows says for each platform on which node it is to run: where [Place] puts it,
// also once more is proved.
func (b *Builder) rows(want []v1.Platform) []Emulation {
	rows := make([]Emulation, len(want))
	for i, at := range place(b.Nodes, want, true) {
		n := b.Nodes[at]
		rows[i] = Emulation{Platform: want[i], Node: n.Name, Native: n.native(want[i])}
	}
	return rows
}

func (b *Builder) node(name string) *Node {
	i := slices.IndexFunc(b.Nodes, func(n Node) bool { return n.Name == name })
	return &b.Nodes[i]
}

// prove tries all at the same time.
func prove(ctx context.Context, list []*proof) {
	for _, p := range list {
		if p.err = p.node.openSession(ctx); p.err != nil {
			return
		}
	}
	var eg errgroup.Group
	eg.SetLimit(4)
	for _, p := range list {
		eg.Go(func() error {
			p.err = proveOne(ctx, p.node, p.row.Platform, hangLimit)
			return nil
		})
	}
	eg.Wait()
}

// hangLimit is how long a program may run that takes less than a second.
const hangLimit = 2 * time.Minute

// errHangs is that a program ran for as long as it may.
func errHangs(limit time.Duration) error {
	return fmt.Errorf("the program did not end within %s", limit)
}

// proveOne runs the check in a build, which leaves no trace in the builder's
// history.
func proveOne(ctx context.Context, n *Node, p v1.Platform, limit time.Duration) error {
	def, err := checkBuild(ctx, p, n.emulator(p.Architecture))
	if err != nil {
		return err
	}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	status := make(chan *client.SolveStatus)
	go limitSteps(status, limit, cancel) // until the solve closes it
	_, err = n.client.Solve(limited, def, client.SolveOpt{Internal: true, SharedSession: n.more.session, SessionPreInitialized: true}, status)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	var exit *gateway.ExitError
	if errors.As(err, &exit) && exit.ExitCode < gateway.UnknownExitStatus {
		return errors.New(binfmt.Explain(int(exit.ExitCode)))
	}
	return err
}

// limitSteps cancels a solve of which a step hangs. A step that has not begun may
// wait for as long as others' do with which the builder is busy.
func limitSteps(status <-chan *client.SolveStatus, limit time.Duration, cancel context.CancelCauseFunc) {
	running := map[digest.Digest]*time.Timer{}
	for news := range status {
		for _, v := range news.Vertexes {
			timer, known := running[v.Digest]
			switch {
			case v.Completed != nil && known:
				timer.Stop()
				delete(running, v.Digest)
			case v.Completed == nil && v.Started != nil && !known:
				running[v.Digest] = time.AfterFunc(limit, func() { cancel(errHangs(limit)) })
			}
		}
	}
	for _, timer := range running {
		timer.Stop()
	}
}

// openSession opens the session that all proofs on a node share. A session of
// its own would cost each a second now and then: closed as soon as it is open,
// as after an answer from the cache, HTTP/2 waits for a last word.
func (n *Node) openSession(ctx context.Context) error {
	n.more.mu.Lock()
	defer n.more.mu.Unlock()
	if n.more.session != nil {
		return nil
	}
	s, err := session.NewSession(ctx, "")
	if err != nil {
		return err
	}
	n.more.session = s
	// It ends with the connection, by Builder.Close.
	go s.Run(context.WithoutCancel(ctx), grpchijack.Dialer(n.client.ControlClient()))
	return nil
}

// emulator describes all that the outcome of a check on the node depends on:
// the registration, its interpreter's file and the boot since which both hold.
// It is empty where that can't be seen from here, as on a node that is reached
// over the network.
func (n *Node) emulator(arch string) string {
	if !strings.HasPrefix(n.Endpoint, "unix://") {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	entry, ok, err := (binfmt.Registry{}).Handler(arch)
	if err != nil || !ok {
		return ""
	}
	file, err := os.Stat(entry.Interpreter)
	if err != nil {
		return "" // of a container's: what its name means is not seen here
	}
	return fmt.Sprintf("%s %s %t %d %d", boot, entry.Line, entry.Enabled, file.Size(), file.ModTime().UnixNano())
}

// checkBuild is the build that runs the check. A builder takes it from its
// cache where it proved this same emulator before.
func checkBuild(ctx context.Context, p v1.Platform, emulator string) (*llb.Definition, error) {
	var cache llb.RunOption = llb.AddEnv("EMULATOR", emulator)
	if emulator == "" {
		cache = llb.IgnoreCache
	}
	file, ok := binfmt.Check(p.Architecture)
	if !ok {
		return nil, fmt.Errorf("no check for architecture %s", p.Architecture)
	}
	const path = "/check"
	return llb.Scratch().
		File(llb.Mkfile(path, 0o755, file)).
		Run(
			llb.Args(append([]string{path}, binfmt.Args...)),
			llb.Network(pb.NetMode_NONE),
			cache,
			llb.WithCustomNamef("prove that %s runs", p),
		).
		Marshal(ctx, llb.Platform(toOCI(p)))
}

// settle completes the rows and the nodes with what was proved, and prints it.
func (m *Manager) settle(ctx context.Context, rows []Emulation, todo []*proof) {
	for i := range rows {
		if r := &rows[i]; r.Native {
			m.stepf("%s: native on %s", r.Platform, r.Node)
		}
	}
	for _, p := range todo {
		r := p.row
		if p.err == nil && r.Emulator == "" {
			r.Emulator = m.emulatorOf(ctx, p)
		}
		if p.err != nil {
			m.warnOf(ctx, p) // which the error then tells
			continue
		}
		if !p.node.lists(r.Platform) { // else a build may be reading them
			p.node.Platforms = merge(p.node.Platforms, []v1.Platform{r.Platform})
		}
		m.stepf("%s: emulated on %s by %s", r.Platform, r.Node, r.Emulator)
	}
}

// emulatorOf names what ran a check that needed no registration of ours. BuildKit
// takes an emulator of its own, which its images have, for a platform that its
// kernel did not run when it last looked; only a node that shares our kernel is
// answered from our table.
// https://github.com/moby/buildkit/blob/v0.33.1/solver/llbsolver/ops/exec_binfmt.go
func (m *Manager) emulatorOf(ctx context.Context, p *proof) string {
	arch := p.row.Platform.Architecture
	own := "buildkit-" + binfmt.Name(arch) + ", which its BuildKit brings"
	listed := p.node.lists(p.row.Platform)
	if local, err := m.sharesKernel(ctx, p.node); err == nil && local {
		e, ok, err := (binfmt.Registry{}).Handler(arch)
		switch {
		case err != nil || !ok:
			return own
		case !listed && slices.Contains(bundled, arch):
			return e.Interpreter + ", or by " + own
		}
		return e.Interpreter
	}
	if listed {
		return "its machine's kernel"
	}
	return own
}

// Advise warns of emulators that were there and of whose version it is known that
// it breaks programs now and then; [Manager.Emulate] proved that they run one. It
// starts each emulator to ask for its version, which takes longer than the proof
// did, and may do so beside a build.
func (m *Manager) Advise(ctx context.Context, b *Builder, rows []Emulation) {
	for i := range rows {
		if r := &rows[i]; r.Err == nil && !r.Native {
			m.warnOf(ctx, &proof{row: r, node: b.node(r.Node)})
		}
	}
}

// warnOf says what is known against the emulator that runs a platform, by its
// version where that can be found out.
func (m *Manager) warnOf(ctx context.Context, p *proof) {
	version, ok := m.versionOf(ctx, p)
	if !ok {
		return
	}
	trouble, ok := binfmt.Known(p.row.Platform.Architecture, version)
	if !ok {
		return
	}
	p.known = fmt.Sprintf("of QEMU %s, of which it is known that %s (%s)", version, trouble.What, trouble.Source)
	if p.err == nil {
		m.stepf("warning: %s is emulated by QEMU %s, of which it is known that %s (%s); a newer one is in image %s",
			p.row.Platform, version, trouble.What, trouble.Source, DefaultBinfmtImage)
	}
}

// versionOf is the version of QEMU that runs a platform. It is known of the
// interpreter that our kernel starts, and of an image by its tag.
func (m *Manager) versionOf(ctx context.Context, p *proof) (binfmt.Version, bool) {
	if p.row.image != "" {
		return binfmt.ParseVersion(p.row.image)
	}
	if p.node != nil {
		if local, err := m.sharesKernel(ctx, p.node); err != nil || !local {
			return binfmt.Version{}, false
		}
	}
	e, ok, err := binfmt.Registry{}.Handler(p.row.Platform.Architecture)
	if err != nil || !ok || p.row.Native {
		return binfmt.Version{}, false
	}
	version, err := binfmt.VersionOf(ctx, e.Interpreter)
	return version, err == nil // a container's interpreter can't be asked
}
