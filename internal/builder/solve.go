package builder

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// Session is what a build may ask of this process while it runs.
type Session struct {
	Secrets map[string][]byte
	// Credentials gives a registry's credentials; BuildKit has its client fetch
	// the tokens, so they never reach the daemon.
	Credentials authprovider.AuthConfigProvider
	// Progress receives the build's display; live where Terminal is set.
	Progress io.Writer
	Terminal bool
	// Stdin is read where the context or the Dockerfile is on standard input.
	Stdin io.Reader
	// Stdout receives the one output that goes to standard output.
	Stdout io.Writer
	// Load gives what the engine reads an image from: a docker export without a
	// destination is written to it; Close ends the load and gives its error.
	Load func(ctx context.Context) (io.WriteCloser, error)
	// CacheSecrets gives the attributes of a cache that no plan may show: tokens
	// and keys. They are added to the cache's own.
	CacheSecrets func(ctx context.Context, c Cache) (map[string]string, error)
	// Environ is the environment: SSH_AUTH_SOCK and what policies may ask for.
	Environ map[string]string
	// Logs receives the whole output of every step; nil keeps none.
	Logs io.Writer
}

// Result is what a build gave.
type Result struct {
	Parts []Part // one a solve, in the plan's order
	// Digest is the image's: the pushed index's, or the manifest's where there
	// is one platform and no attestation; zero where nothing was exported. Of
	// several parts it is that of the index that [Merge] made.
	Digest  v1.Hash
	Summary progress.Summary
}

// Part is what one node gave.
type Part struct {
	Node      string
	Platforms []string
	// Ref is the solve's id in the node's history.
	Ref    string
	Digest v1.Hash // zero where nothing was exported
	// Response is BuildKit's exporter response as it came.
	Response map[string]string
}

// Build does the plan's solves, all at the same time; nodes gives the connection
// to a node. Errors are classified: errdefs.Build with the Dockerfile's excerpt
// where a step failed, errdefs.Denied and errdefs.Environment where a registry
// or a node did.
func Build(ctx context.Context, nodes func(name string) (*client.Client, error), plan Plan, s Session) (Result, error) {
	solve := plan.Solves[0]
	node, err := nodes(solve.Node)
	if err != nil {
		return Result{}, err
	}
	opt, err := solveOpt(solve, s)
	if err != nil {
		return Result{}, err
	}
	part := Part{Node: solve.Node, Platforms: solve.Platforms, Ref: opt.Ref}
	var result Result
	status := make(chan *client.SolveStatus)
	var group errgroup.Group
	group.Go(func() error {
		var err error
		result.Summary, err = progress.Show(ctx, s.Progress, s.Terminal, status)
		return err
	})
	// Solve closes the channel, also when it fails.
	resp, solveErr := node.Solve(ctx, nil, opt, status)
	showErr := group.Wait()
	if solveErr != nil {
		return result, classify(ctx, solve, solveErr)
	}
	if showErr != nil {
		return result, showErr
	}
	part.Response = resp.ExporterResponse
	if d := resp.ExporterResponse["containerimage.digest"]; d != "" {
		if part.Digest, err = v1.NewHash(d); err != nil {
			return result, errdefs.New(errdefs.Environment, "the builder gave the digest %q: %w", d, err)
		}
	}
	result.Parts, result.Digest = []Part{part}, part.Digest
	return result, nil
}

func solveOpt(plan Solve, s Session) (client.SolveOpt, error) {
	opt := client.SolveOpt{
		Ref:           identity.NewID(),
		Frontend:      plan.Frontend,
		FrontendAttrs: plan.FrontendAttrs,
		LocalMounts:   map[string]fsutil.FS{},
		SharedKey:     plan.SharedKey,
		CacheImports:  cacheEntries(plan.CacheImports),
		CacheExports:  cacheEntries(plan.CacheExports),
		Session: []session.Attachable{
			secretsprovider.FromMap(s.Secrets),
			authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: s.Credentials}),
		},
	}
	for name, dir := range plan.LocalMounts {
		fs, err := fsutil.NewFS(dir)
		if err != nil {
			return client.SolveOpt{}, errdefs.BadInputf("context", 0, "read %s: %w", dir, err)
		}
		opt.LocalMounts[name] = fs
	}
	for _, e := range plan.Exports {
		opt.Exports = append(opt.Exports, client.ExportEntry{Type: e.Type, Attrs: e.Attrs})
	}
	return opt, nil
}

func cacheEntries(caches []Cache) []client.CacheOptionsEntry {
	var entries []client.CacheOptionsEntry
	for _, c := range caches {
		entries = append(entries, client.CacheOptionsEntry{Type: c.Type, Attrs: c.Attrs})
	}
	return entries
}
