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
}

// Result is what a solve gave.
type Result struct {
	// Ref is the build's id in the node's history.
	Ref string
	// Digest is the pushed index's, or the manifest's where there is one
	// platform and no attestation; zero where nothing was exported.
	Digest v1.Hash
	// Response is BuildKit's exporter response as it came.
	Response map[string]string
	Summary  progress.Summary
}

// Build does the plan's solve on a node. Errors are classified: errdefs.Build
// with the Dockerfile's excerpt where a step failed, errdefs.Denied and
// errdefs.Environment where a registry or the node did.
func Build(ctx context.Context, node *client.Client, plan Solve, s Session) (Result, error) {
	opt, err := solveOpt(plan, s)
	if err != nil {
		return Result{}, err
	}
	result := Result{Ref: opt.Ref}
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
		return result, classify(ctx, plan, solveErr)
	}
	if showErr != nil {
		return result, showErr
	}
	result.Response = resp.ExporterResponse
	if d := resp.ExporterResponse["containerimage.digest"]; d != "" {
		if result.Digest, err = v1.NewHash(d); err != nil {
			return result, errdefs.New(errdefs.Environment, "the builder gave the digest %q: %w", d, err)
		}
	}
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
