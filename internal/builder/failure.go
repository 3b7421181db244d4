package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	hull "github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// BuildKit's errors cross the daemon's socket as text with a few typed
// details, so what failed at a registry is told by its words alone.
var (
	denied      = regexp.MustCompile(`(?i)\b401\b|\b403\b|unauthorized|forbidden|insufficient_scope|access denied|authorization failed|denied:`)
	unreachable = regexp.MustCompile(`(?i)connection refused|connection reset|no such host|server misbehaving|i/o timeout|network is unreachable|tls: |x509: |EOF$|\b50[0234]\b|\b429\b`)
	registryOp  = regexp.MustCompile(`(?i)failed to (push|do request|resolve source metadata|fetch oauth token|fetch anonymous token|authorize|copy|load cache key)|error writing (manifest|layer|config) blob|pull access`)
	noFile      = regexp.MustCompile(`(?i)failed to read dockerfile: .*(no such file|not found)`)
	diskFull    = regexp.MustCompile(`(?i)no space left on device`)
)

// classify says a solve's failure in a person's terms.
func classify(ctx context.Context, plan Solve, shown progress.Summary, err error) error {
	if cause := ctx.Err(); cause != nil {
		return &hull.Error{Kind: hull.Canceled, Err: fmt.Errorf("the build was stopped: %w", cause)}
	}
	text := strings.TrimPrefix(err.Error(), "failed to solve: ")
	excerpt := dockerfileExcerpt(err)
	says := errors.New(text + excerpt)
	atRegistry := registryOp.MatchString(text)
	switch {
	case diskFull.MatchString(text):
		return hull.New(hull.Environment, "the builder's disk is full: %w", says).
			WithHint("free space on the builder, for instance with docker buildx prune")
	case noFile.MatchString(text):
		return hull.BadInputf("file", 0, "%w", says).
			WithHint("name the Dockerfile with file; it is looked for in the context")
	case atRegistry && denied.MatchString(text):
		return hull.New(hull.Denied, "%w", says).
			WithHint("log in to the registry with an account that may do this; on GitHub the job needs permissions: packages: write")
	case atRegistry && unreachable.MatchString(text):
		return hull.New(hull.Environment, "%w", says).
			WithHint("the builder must reach the registry: check its address, network and certificates")
	case lostNode(err):
		return hull.New(hull.Environment, "node %s went away during the build: %w", plan.Node, says).
			WithHint("read the builder's log; a daemon that is killed is often out of memory")
	default:
		return &hull.Error{Kind: hull.Build, Err: says, Hint: buildHint(text)}
	}
}

// lostNode is whether the connection broke, and not the build.
func lostNode(err error) bool {
	return grpcerrors.Code(err) == codes.Unavailable && len(errdefs.Sources(err)) == 0
}

// dockerfileExcerpt is BuildKit's own picture of the lines at fault.
func dockerfileExcerpt(err error) string {
	var b bytes.Buffer
	for _, source := range errdefs.Sources(err) {
		b.WriteByte('\n')
		if source.Print(&b) != nil { // a bytes.Buffer takes all
			return ""
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func buildHint(text string) string {
	switch {
	case strings.Contains(text, "exec format error"):
		return "the platform is not emulated on this node: hullwright setup --platforms registers emulators"
	case strings.Contains(text, "exit code: 137"):
		return "137 is a process that was killed, most likely for want of memory"
	default:
		return ""
	}
}
