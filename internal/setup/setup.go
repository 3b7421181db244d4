// Package setup provides builders: it finds or makes them, boots them, and
// removes what it made.
//
// Begin with [Manager.Ensure], which gives a booted [Builder] for a [Spec], and
// [Teardown], which undoes what a [State] file says was made. A builder is kept
// in buildx's store, so that docker buildx and hullwright see the same ones.
package setup

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"golang.org/x/sync/singleflight"
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
	Settings   []Setting     // of buildkitd, added to the configuration and to driver-opts' env
	Endpoint   string        // engine address or docker context; empty is the current one
	Platforms  []v1.Platform // what the node is said to run; nil is what it reports
	TLS        NodeTLS       // driver remote at a tcp address; the zero value is driver-opts' files, or none
	Nodes      []NodeSpec    // further ones; they are of the same builder
	Buildkitd  string        // process driver: path of buildkitd; empty is found in PATH
	Release    Release       // process driver: where buildkitd comes from, instead of Buildkitd
	RootDir    string        // process driver: where images and cache are, and stay; empty goes with the builder
	// BinfmtImage is for Emulate: the image that registers emulators.
	BinfmtImage string
	Emulators   Emulators // for Register
	Use         bool      // make it buildx's current builder
	KeepState   bool      // keep images and cache at teardown, for a builder of the same name
	// Lifetime is after what time the builder, and what is made beside it, counts
	// as left behind; zero is never.
	Lifetime time.Duration

	unnamed bool   // the name was made up
	bin     string // programs of Release
}

// Host is what setup may touch of the process.
type Host struct {
	Environ map[string]string
	Stderr  io.Writer // progress, one line a step
	Dir     string
	Now     func() time.Time
	// Transport gets releases of buildkitd; nil is the default one.
	Transport http.RoundTripper
	// ImageCache is the directory that keeps the image which registers emulators,
	// for when it can't be pulled; empty is none.
	ImageCache string
	// Keychain has the credentials with which engines pull images; nil has none.
	Keychain authn.Keychain
}

// ErrNoBuilder is in the tree of Find's error where there is no such builder.
var ErrNoBuilder = errors.New("no such builder")

// Manager finds and makes builders on one host.
type Manager struct {
	host    Host
	pulling singleflight.Group // of images, by engine and name
}

// New is a manager of the host's builders.
func New(h Host) *Manager { return &Manager{host: h} }

// Node is one buildkitd of a builder.
type Node struct {
	Name       string
	Endpoint   string
	Platforms  []v1.Platform // native and emulated, as the node reports; first is its own
	Fixed      []v1.Platform // that buildx's store says the node is for; in Platforms too
	Version    string        // BuildKit's, as v0.33.1; empty where it does not say
	Flags      []string
	DriverOpts map[string]string
	// Images is the engine's image store where the node is an engine's own
	// BuildKit, which builds into it; empty elsewhere.
	Images ImageStore
	// HostGateway is the address by which steps reach the engine's machine, where
	// the node is an engine's own BuildKit that tells it.
	HostGateway string

	conn   connector
	client *client.Client // open until Builder.Close
	more   *nodeMore
}

// nodeMore is what is found out about a node when it is needed, also beside a build
// that uses the node.
type nodeMore struct {
	mu      sync.Mutex
	session *session.Session // open until Builder.Close; nil until there is one
	beside  *bool            // it shares this machine's kernel; nil until that is known
}

// Builder is a booted builder.
type Builder struct {
	Name   string
	Driver string
	Nodes  []Node
	// Lost are nodes of a builder that was there which could not be reached. They
	// are not among Nodes; what needs one of them [Manager.Emulate] refuses.
	Lost []Lost
	// Made is whether this run made it; false is a builder that was there.
	Made bool
}

// Emulation is how a platform runs on a builder.
type Emulation struct {
	Platform v1.Platform
	Node     string // of Builder.Nodes
	Native   bool
	Added    bool   // this run registered the emulator
	Emulator string // the interpreter, for people; empty where native or where nothing runs it
	Err      error  // why nothing is known to run it; binfmt.ErrUnproved where that can't be known

	image string // whose emulator was registered for it; its tag has the version
}
