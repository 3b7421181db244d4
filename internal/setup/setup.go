// Package setup provides builders: it finds or makes them, boots them, and
// removes what it made.
//
// Begin with [Manager.Ensure], which gives a booted [Builder] for a [Spec], and
// [Teardown], which undoes what a [State] file says was made. A builder is kept
// in buildx's store, so that docker buildx and hullwright see the same ones.
package setup

import (
	"context"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
)

// The drivers.
const (
	DockerContainer = "docker-container" // buildkitd in a container of the local engine
	Process         = "process"          // buildkitd as a child process
)

// Spec is the builder that is wanted. The zero value is a builder of its own
// name with the driver that the machine can run.
type Spec struct {
	Name       string // empty is hullwright-<random>
	Driver     string // empty is docker-container where an engine answers, else process
	DriverOpts map[string]string
	Flags      []string      // buildkitd flags; nil is the driver's default
	Config     []byte        // buildkitd.toml; nil is the store's default, where there is one
	Endpoint   string        // engine address or docker context; empty is the current one
	Platforms  []v1.Platform // what the node is said to run; nil is what it reports
	Buildkitd  string        // process driver: path of buildkitd; empty is found in PATH
	Use        bool          // make it buildx's current builder
	KeepState  bool          // keep the state volume at teardown
}

// Host is what setup may touch of the process.
type Host struct {
	Environ map[string]string
	Stderr  io.Writer // progress, one line a step
	Dir     string
	Now     func() time.Time
}

// Manager finds and makes builders on one host.
type Manager struct {
	host Host
}

// New is a manager of the host's builders.
func New(h Host) *Manager { return &Manager{host: h} }

// Node is one buildkitd of a builder.
type Node struct {
	Name       string
	Endpoint   string
	Platforms  []v1.Platform // native and emulated, as the node reports; first is its own
	Version    string        // BuildKit's, as v0.33.1; empty where it does not say
	Flags      []string
	DriverOpts map[string]string
}

// Builder is a booted builder.
type Builder struct {
	Name   string
	Driver string
	Nodes  []Node
	// Made is whether this run made it; false is a builder that was there.
	Made bool

	manager *Manager
}

// Dial connects to a node's buildkitd. The caller closes the client.
func (b *Builder) Dial(ctx context.Context, n Node) (*client.Client, error) { panic("not yet") }

// Ensure gives the builder of spec's name, booted: the one that is there, made
// by hullwright or by buildx, or a new one. What it makes it writes to state
// first. Errors are errdefs.BadInput for a spec that can't be, and
// errdefs.Environment for a host that can't run it, with the container's or the
// process's own last log lines.
func (m *Manager) Ensure(ctx context.Context, spec Spec, state *State) (*Builder, error) {
	panic("not yet")
}

// Find gives the builder of a name, booted; an empty name is buildx's current
// one. It is an errdefs.BadInput of input "builder" where there is none.
func (m *Manager) Find(ctx context.Context, name string) (*Builder, error) { panic("not yet") }

// Emulate makes every platform in want buildable that no node of b runs, and
// proves each by running a program in a build. It gives what it found and did,
// a row a platform in want. image is the binfmt image for hosts without
// emulators of their own.
func (m *Manager) Emulate(ctx context.Context, b *Builder, want []v1.Platform, image string, state *State) ([]Emulation, error) {
	panic("not yet")
}

// Emulation is how a platform runs on a builder.
type Emulation struct {
	Platform v1.Platform
	Node     string // of Builder.Nodes
	Native   bool
	Added    bool   // this run registered the emulator
	Emulator string // the interpreter's path; empty where native
}

// State is the file that says what was made, so that it can be undone.
type State struct{}

// OpenState opens a state file, or makes it where there is none.
func OpenState(path string) (*State, error) { panic("not yet") }

// Path is the state file's path.
func (s *State) Path() string { panic("not yet") }

// Note keeps a value in the state file for whoever reads it after a failure,
// as the tags that a canceled run wrote.
func (s *State) Note(key string, value any) error { panic("not yet") }

// Teardown undoes everything that the state file at path says was made, newest
// first, and removes the file. What is gone already is no error. It goes on
// after a failure, and returns all of them joined; the file then keeps what is
// left.
func (m *Manager) Teardown(ctx context.Context, path string) error { panic("not yet") }
