package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// bootLimit is how long a buildkitd may take until it answers.
const bootLimit = 20 * time.Second

// tailLimit is how long the end of a log is waited for.
const tailLimit = 5 * time.Second

// tailLines is how many of its log's last lines an error has.
const tailLines = 20

// connector reaches a node's buildkitd.
type connector interface {
	dial(ctx context.Context) (net.Conn, error)
	// gone says why the node will never answer; nil where it may yet.
	gone(ctx context.Context) error
	// tail is the end of its log; empty where it has none that we can read.
	tail(ctx context.Context) string
}

// starter is a connector whose buildkitd can be brought up from here.
type starter interface {
	// up brings it up where it is down. What it makes it writes to state
	// first; a nil state is a builder that somebody else made.
	up(ctx context.Context, state *State) error
}

// reasoner is a connector that knows why it could not connect. gRPC makes a
// text of what it is told, without hints.
type reasoner interface{ why() error }

// named is a connector whose daemon is told by its name from others behind one
// address.
type named interface{ authority() string }

func (m *Manager) stepf(format string, args ...any) {
	fmt.Fprintf(m.host.Stderr, "setup: "+format+"\n", args...)
}

// Ensure gives the builder of spec's name, booted: the one that is there, made
// by hullwright or by buildx, or a new one. What it makes it writes to state
// first; where it fails it undoes that again. Errors are errdefs.BadInput for a
// spec that can't be, and errdefs.Environment for a host that can't run it,
// with the container's or the process's own last log lines.
func (m *Manager) Ensure(ctx context.Context, spec Spec, state *State) (*Builder, error) {
	if err := state.begin(spec, m.host.Environ, m.host.Now()); err != nil {
		return nil, errdefs.New(errdefs.Environment, "state file: %w", err)
	}
	mark := state.length()
	b, err := m.ensure(ctx, spec, state)
	if err = canceled(ctx, "make builder", err); err != nil {
		// A canceled run has seconds left; what they don't suffice for stays in
		// the state file for teardown.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, m.undo(ctx, state, mark))
	}
	return b, nil
}

// canceled puts in the place of an error that a cancellation caused, and that
// blames whatever was under way, one that says so.
func canceled(ctx context.Context, doing string, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return errdefs.New(errdefs.Canceled, "%s: %w", doing, ctx.Err())
	}
	return err
}

func (m *Manager) ensure(ctx context.Context, spec Spec, state *State) (*Builder, error) {
	if spec.Driver == Docker {
		return m.ensureEngine(ctx, spec, state)
	}
	if spec.Name == "" {
		spec.Name, spec.unnamed = "hullwright-"+newNonce(4), true
	}
	name, err := validName("name", spec.Name)
	if err != nil {
		return nil, err
	}
	spec.Name = name
	if spec.bin, err = m.programsOf(ctx, spec); err != nil {
		return nil, err
	}
	g, made, err := m.findOrMake(ctx, spec, state)
	if err != nil {
		return nil, err
	}
	if !made {
		m.stepf("using builder %s, which is there (driver %s)", g.Name, g.driver())
		m.Keeps(g.Name, spec.Settings)
		state = nil
	}
	b, err := m.boot(ctx, g, state, spec.KeepState)
	if err != nil {
		return nil, err
	}
	b.Made = made
	return b, nil
}

// findOrMake looks the builder up in the store and writes it there where it is
// missing, under one lock: of two that want the same name one makes it.
func (m *Manager) findOrMake(ctx context.Context, spec Spec, state *State) (g *group, made bool, err error) {
	s := m.store()
	err = s.locked(ctx, func() error {
		g, err = s.read(spec.Name)
		if err == nil {
			if err := errors.Join(checkDriver(spec, g), m.checkNodes(spec, g)); err != nil {
				return err
			}
			return m.join(s, g, state)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if g, err = m.newGroup(ctx, spec, state); err != nil {
			return err
		}
		made = true
		return m.enter(s, g, spec.Use, state)
	})
	return g, made, err
}

// enter writes a new builder to the store.
func (m *Manager) enter(s *store, g *group, use bool, state *State) error {
	if err := errors.Join(keepCertificates(g, state), m.keepContext(g, state)); err != nil {
		return err
	}
	if err := state.record(entry{Kind: kindBuilder, ID: g.Name, Where: s.dir}); err != nil {
		return err
	}
	m.stepf("making builder %s (driver %s)", g.Name, g.driver())
	before, err := s.readCurrentRaw()
	if err != nil {
		return err
	}
	g.Made.Before = string(before)
	if err := s.write(g); err != nil {
		return errdefs.New(errdefs.Environment, "builder store: %w", err)
	}
	if !use {
		return nil
	}
	key, err := m.currentEndpoint()
	if err != nil {
		return err
	}
	if err := state.record(entry{Kind: kindCurrent, ID: g.Name, Where: s.dir, Detail: string(before), Builder: g.Name}); err != nil {
		return err
	}
	return s.use(key, g.Name)
}

func checkDriver(spec Spec, g *group) error {
	if spec.Driver == "" || spec.Driver == g.driver() {
		return nil
	}
	return errdefs.BadInputf("driver", 0, "builder %q is there with driver %s, not %s", g.Name, g.driver(), spec.Driver).
		WithHint("take another name, or remove that builder: docker buildx rm %s", g.Name)
}

// driver is the group's driver in our words.
func (g *group) driver() string {
	if g.Made != nil && g.Made.Driver != "" {
		return g.Made.Driver
	}
	return g.Driver
}

// chooseDriver is the driver of spec, or the one that this machine can run.
func (m *Manager) chooseDriver(ctx context.Context, spec Spec, endpoint string) (string, error) {
	switch spec.Driver {
	case Process:
		if spec.Endpoint != "" {
			return "", errdefs.BadInputf("endpoint", 0, "driver %s has none: it runs beside the program", Process)
		}
		return Process, nil
	case DockerContainer:
		return DockerContainer, m.ping(ctx, endpoint, pingLimitNamed)
	case "":
	default:
		drivers := []string{DockerContainer, Process, Remote, Docker}
		bad := errdefs.BadInputf("driver", 0, "unknown driver %q", spec.Driver)
		if near := errdefs.Nearest(spec.Driver, drivers); near != "" {
			return "", bad.WithHint("did you mean %s?", near)
		}
		return "", bad.WithHint("one of %s", strings.Join(drivers, ", "))
	}
	if spec.processOptions() != (ProcessOptions{}) {
		return Process, nil
	}
	if spec.Endpoint != "" {
		return DockerContainer, m.ping(ctx, endpoint, pingLimitNamed)
	}
	err := m.ping(ctx, endpoint, pingLimit)
	if err == nil {
		return DockerContainer, nil
	}
	m.stepf("skipping driver %s: %s", DockerContainer, firstLine(err.Error()))
	return Process, nil
}

// Find gives the builder of a name, booted: one of the store or, by the name of
// a docker context or "default", an engine's own. An empty name is buildx's
// current one, and an engine's own only where driver docker was asked for. It is
// an errdefs.BadInput of input "builder", with ErrNoBuilder in its tree, where
// there is none.
func (m *Manager) Find(ctx context.Context, name string) (*Builder, error) {
	if name == "" {
		var err error
		if name, err = m.currentBuilder(); err != nil {
			return nil, err
		}
	}
	g, err := m.stored(name)
	if !errors.Is(err, ErrNoBuilder) {
		if err != nil {
			return nil, err
		}
		b, err := m.boot(ctx, g, nil, false)
		return b, canceled(ctx, "find builder "+name, err)
	}
	own, ok, engineErr := m.engineContext(name)
	switch {
	case engineErr != nil:
		return nil, engineErr
	case !ok:
		return nil, err
	}
	b, err := m.findEngine(ctx, own)
	return b, canceled(ctx, "find builder "+name, err)
}

// currentBuilder is the name of the builder to use where none is named.
func (m *Manager) currentBuilder() (string, error) {
	key, err := m.currentEndpoint()
	if err != nil {
		return "", err
	}
	s := m.store()
	name, err := s.currentEngine(key)
	if name == "" && err == nil {
		name, err = s.currentName(key)
	}
	if err == nil && name == "" {
		err = errdefs.BadInputf("builder", 0, "%w: none is chosen", ErrNoBuilder).
			WithHint("hullwright setup makes one; docker buildx ls lists those that are there; driver %s uses the engine's own", Docker)
	}
	return name, err
}

// stored gives the builder of a name in the store.
func (m *Manager) stored(given string) (*group, error) {
	s := m.store()
	if given == defaultBuilder {
		return nil, errdefs.BadInputf("builder", 0, "%w: %q is the engine's own", ErrNoBuilder, given)
	}
	name, invalid := validName("builder", given)
	if invalid == nil {
		g, err := s.read(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return g, err
		}
		invalid = errdefs.BadInputf("builder", 0, "%q is neither in %s nor a docker context", name, s.dir).
			WithHint("hullwright setup --name %s makes it; docker buildx ls lists those that are there", name)
	}
	return nil, asMissing(invalid)
}

// asMissing puts ErrNoBuilder into a fault's tree.
func asMissing(err error) error {
	var bad *errdefs.Error
	if errors.As(err, &bad) {
		told := *bad
		told.Err = fmt.Errorf("%w: %w", ErrNoBuilder, bad.Err)
		return &told
	}
	return err
}

// IsEngine is whether the builder of a name is an engine's own; an empty name is
// the one that [Manager.Find] takes then.
func (m *Manager) IsEngine(name string) (bool, error) {
	if name == "" {
		var err error
		if name, err = m.currentBuilder(); err != nil {
			if errors.Is(err, ErrNoBuilder) {
				err = nil
			}
			return false, err
		}
	}
	if _, err := m.stored(name); !errors.Is(err, ErrNoBuilder) {
		return false, nil // Find tells what is wrong with it
	}
	_, ok, err := m.engineContext(name)
	return ok, err
}

// boot brings up every node of a builder and asks each what it can do. Of a
// builder that was there some may be lost; one that is made is made whole.
func (m *Manager) boot(ctx context.Context, g *group, state *State, keep bool) (*Builder, error) {
	b := &Builder{Name: g.Name, Driver: g.driver()}
	nodes, faults := make([]Node, len(g.Nodes)), make([]error, len(g.Nodes))
	eg, limited := errgroup.WithContext(ctx)
	eg.SetLimit(8)
	for i, n := range g.Nodes {
		eg.Go(func() error {
			own, driver := g.own(n)
			conn, err := m.connector(g, own, driver, keep)
			if err == nil {
				nodes[i], err = m.bootNode(limited, g.Name, own, conn, state)
			}
			faults[i] = err
			if state != nil {
				return err // the others need not be waited for
			}
			return nil
		})
	}
	err := eg.Wait()
	if err == nil {
		err = errors.Join(ctx.Err(), b.keepReached(g, nodes, faults))
	}
	if err != nil {
		(&Builder{Nodes: nodes}).Close() // those that were reached; why it is of no use is told
		return nil, fmt.Errorf("boot builder %s: %w", g.Name, err)
	}
	return b, nil
}

func (m *Manager) connector(g *group, n groupNode, driver string, keep bool) (connector, error) {
	switch {
	case driver == Process && g.start != nil:
		return g.start, nil
	case driver == Process:
		return &socketNode{path: strings.TrimPrefix(n.Endpoint, "unix://"), nonce: g.Made.Nonce}, nil
	case driver == DockerContainer:
		c := &containerNode{m: m, builder: g.Name, node: n, keep: keep, mark: g.mark(m.storeDir())}
		if g.Made != nil {
			c.nonce = g.Made.Nonce
		}
		return c, nil
	case driver == Remote:
		return m.newRemote(n)
	}
	return nil, errdefs.BadInputf("builder", 0, "builder %q has driver %s at %q, which is not supported", g.Name, g.Driver, n.Endpoint).
		WithHint("hullwright setup makes one with driver %s, %s or %s", DockerContainer, Process, Remote)
}

func (m *Manager) bootNode(ctx context.Context, builder string, n groupNode, conn connector, state *State) (Node, error) {
	if s, ok := conn.(starter); ok {
		if err := s.up(ctx, state); err != nil {
			return Node{}, err
		}
	}
	node := Node{
		Name: n.Name, Endpoint: n.Endpoint, Flags: n.Flags, DriverOpts: n.DriverOpts,
		Platforms: allFromOCI(n.Platforms), Fixed: allFromOCI(n.Platforms), conn: conn, more: &nodeMore{},
	}
	own, isEngine := conn.(*engineNode)
	if isEngine {
		node.Images = own.images
	}
	if err := await(ctx, &node); err != nil {
		err := errdefs.New(errdefs.Environment, "node %s at %s: %w", n.Name, n.Endpoint, err)
		if log := tailOf(ctx, conn); log != "" {
			err.Err = fmt.Errorf("%w\n%s", err.Err, indent(log))
			err = err.WithHint("%s", explainLog(log))
		}
		if state == nil && !isEngine {
			err = err.WithHint("remove it if it is broken for good: hullwright teardown --name %[1]s where hullwright made it, else docker buildx rm %[1]s", builder)
		}
		return Node{}, err
	}
	if isEngine && node.Version == "" {
		node.Version = own.buildkit()
	}
	return node, nil
}

// tailOf is the end of a daemon's log, if who has it answers soon.
func tailOf(ctx context.Context, conn connector) string {
	ctx, cancel := context.WithTimeout(ctx, tailLimit)
	defer cancel()
	return conn.tail(ctx)
}

// await asks a node what it is until it answers. It waits short at first: a
// daemon that is up already, or nearly, should cost nothing.
func await(ctx context.Context, n *Node) error {
	limited, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for wait := 25 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		err := inspect(limited, n)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if limited.Err() != nil {
			if r, ok := n.conn.(reasoner); ok && r.why() != nil {
				err = r.why()
			}
			return fmt.Errorf("no answer within %s: %w", bootLimit, err)
		}
		if gone := n.conn.gone(limited); gone != nil {
			return gone
		}
		select {
		case <-limited.Done():
		case <-time.After(wait):
		}
	}
}

// inspect connects, and fills in what the daemon says of itself.
func inspect(ctx context.Context, n *Node) error {
	c, err := dial(ctx, n.conn)
	if err != nil {
		return err
	}
	if err := n.ask(ctx, c); err != nil {
		c.Close()
		return err
	}
	n.client = c
	return nil
}

func (n *Node) ask(ctx context.Context, c *client.Client) error {
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return err
	}
	if len(workers) == 0 {
		return errors.New("buildkitd has no worker")
	}
	// The worker's first platform is the machine's own. Platforms that the
	// store fixes come before those that are found, as in buildx.
	found := allFromOCI(workers[0].Platforms)
	n.Platforms = merge(merge(merge(nil, found[:min(1, len(found))]), n.Platforms), found)
	n.Version = workers[0].BuildkitVersion.Version
	n.HostGateway = workers[0].Labels[gatewayLabel]
	return nil
}

// Client is the connection to a node's buildkitd. It is the builder's: one for
// all, since each costs a process in the node's container.
func (b *Builder) Client(n Node) *client.Client { return n.client }

// Dial makes a further connection to a node's buildkitd, which the caller closes.
func (b *Builder) Dial(ctx context.Context, n Node) (net.Conn, error) { return n.conn.dial(ctx) }

// Close ends the connections to all nodes.
func (b *Builder) Close() error {
	var faults []error
	for _, n := range b.Nodes {
		if n.client != nil {
			faults = append(faults, n.client.Close())
		}
		if c, ok := n.conn.(io.Closer); ok {
			faults = append(faults, c.Close())
		}
	}
	return errors.Join(faults...)
}

func dial(ctx context.Context, conn connector) (*client.Client, error) {
	opts := []client.ClientOpt{
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return conn.dial(ctx)
		}),
		// gRPC waits a second after a first failure, as for a far server; this one
		// is on this machine and may be up a moment later.
		client.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: bootLimit,
		})),
	}
	if e, ok := conn.(*engineNode); ok {
		opts = append(opts, client.WithSessionDialer(e.dialSession))
	}
	if n, ok := conn.(named); ok && n.authority() != "" {
		opts = append(opts, client.WithGRPCDialOption(grpc.WithAuthority(n.authority())))
	}
	return client.New(ctx, "", opts...)
}

// socketNode is a buildkitd that hullwright started, at its unix socket.
type socketNode struct {
	path  string
	nonce string
}

func (s *socketNode) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", s.path)
}

func (s *socketNode) gone(context.Context) error {
	if found, err := findDaemon(s.nonce); err != nil || len(found) > 0 {
		return err
	}
	return errors.New("buildkitd is not running")
}

func (s *socketNode) tail(context.Context) string {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(s.path), processLog))
	if err != nil {
		return "" // it went with its directory
	}
	return lastLines(string(raw))
}

func allToOCI(list []v1.Platform) []ocispecs.Platform {
	out := make([]ocispecs.Platform, len(list))
	for i, p := range list {
		out[i] = toOCI(p)
	}
	return out
}

func allFromOCI(list []ocispecs.Platform) []v1.Platform {
	out := make([]v1.Platform, len(list))
	for i, p := range list {
		out[i] = fromOCI(p)
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// lastLines are a log's last lines.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
