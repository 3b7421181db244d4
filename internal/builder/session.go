package builder

import (
	"context"
	"io"
	"net"

	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// Session is what a build may ask of this process while it runs.
type Session struct {
	Secrets map[string][]byte
	// Credentials gives a registry's credentials; BuildKit has its client fetch
	// the tokens, so they never reach the daemon.
	Credentials authprovider.AuthConfigProvider
	// Tokens gets the tokens; nil leaves it to BuildKit's client.
	Tokens func(context.Context, registry.TokenRequest) (registry.Token, error)
	// Progress receives the build's display, in the way that Display says.
	Progress io.Writer
	Display  progress.Mode
	// Stdin is read where the context or the Dockerfile is on standard input.
	Stdin io.Reader
	// Stdout receives the one output that goes to standard output.
	Stdout io.Writer
	// Load gives what the engine reads an image from: a docker or oci export
	// without a destination is written to it; Close ends the load and gives its
	// error.
	Load func(ctx context.Context) (io.WriteCloser, error)
	// CacheSecrets gives the attributes of a cache that no plan may show: tokens
	// and keys. They are added to the cache's own.
	CacheSecrets func(ctx context.Context, c Cache) (map[string]string, error)
	// Environ is the environment: SSH_AUTH_SOCK, proxies, and what policies may
	// ask for.
	Environ map[string]string
	// Dial makes a further connection to the daemon of a node, for policies.
	Dial func(ctx context.Context, node string) (net.Conn, error)
	// Executable is the running program's path: programs of the same release are
	// looked for beside it.
	Executable string
	// Machine tells this machine from others that share the daemon; empty is none
	// that does. Two that have a directory of one path are not to be taken for one.
	Machine string
	// Secrecy are the values that are hidden in all that the build prints.
	Secrecy *ci.Secrets
	// Logs keep the whole output of every step; nil keeps none.
	Logs *progress.Logs
}
