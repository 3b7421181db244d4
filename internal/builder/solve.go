package builder

import (
	"context"
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

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
	in, err := openInputs(ctx, plan, s)
	if err != nil {
		return Result{}, err
	}
	defer in.close() // temporary files
	req, err := in.prepare(ctx, node, solve)
	if err != nil {
		return Result{}, toldOr(err, func() error { return classify(ctx, solve, progress.Summary{}, err) })
	}
	part := Part{Node: solve.Node, Platforms: solve.Platforms, Ref: req.opt.Ref}
	var result Result
	status := make(chan *client.SolveStatus)
	var group errgroup.Group
	group.Go(func() error {
		var err error
		result.Summary, err = progress.Show(ctx, s.Progress, s.Terminal, s.screened(status))
		return err
	})
	// It closes the channel, also when it fails.
	response, solveErr := req.run(ctx, node, status)
	endErr := req.end(solveErr)
	showErr := group.Wait()
	if solveErr != nil {
		return result, toldOr(solveErr, func() error { return classify(ctx, solve, result.Summary, solveErr) })
	}
	if err := errors.Join(endErr, showErr); err != nil {
		return result, err
	}
	part.Response = response
	if d := response["containerimage.digest"]; d != "" {
		if part.Digest, err = v1.NewHash(d); err != nil {
			return result, errdefs.New(errdefs.Environment, "the builder gave the digest %q: %w", d, err)
		}
	}
	result.Parts, result.Digest = []Part{part}, part.Digest
	return result, nil
}
