package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// Result is what a build gave.
type Result struct {
	Parts []Part // one a solve, in the plan's order; of a build that failed those that did not
	// Digest is the image's: the pushed index's, or the manifest's where there
	// is one platform and no attestation; zero where nothing was exported. Of
	// several parts it is that of the index that [Merge] made.
	Digest v1.Hash
	// Descriptor is that of the index that [Merge] made, with the annotations of
	// index-descriptor; nil of one part, whose Response has it.
	Descriptor *ocispecs.Descriptor
	// Begun are all solves that the nodes have records of, in the plan's order;
	// one that failed has no more than Node, Platforms and Ref.
	Begun   []Part
	Summary progress.Summary
}

// ImageDigest is Digest as text; empty where nothing was exported.
func (r Result) ImageDigest() string {
	if r.Digest.Hex == "" {
		return ""
	}
	return r.Digest.String()
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
	// Provenance are the SLSA predicates of the part, by platform, or by "" where
	// the part has no more than one; nil until [Result.AskProvenance].
	Provenance map[string]json.RawMessage
}

// Build does the plan's solves, all at the same time; nodes gives the connection
// to a node. The first that fails stops the others. Errors are classified:
// errdefs.Build with the Dockerfile's excerpt where a step failed,
// errdefs.Denied and errdefs.Environment where a registry or a node did; of
// several nodes they name the one and its platforms.
//
// A solve is done once more where the node's daemon went away before a step
// failed, and is back.
func Build(ctx context.Context, nodes func(name string) (*client.Client, error), plan Plan, s Session) (Result, error) {
	in, err := openInputs(ctx, plan, s)
	if err != nil {
		return Result{}, err
	}
	result, err := in.build(ctx, nodes, plan)
	if closeErr := in.close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	return result, err
}

func (in *inputs) build(ctx context.Context, nodes func(name string) (*client.Client, error), plan Plan) (Result, error) {
	solves := make([]*solving, len(plan.Solves))
	streams := make([]progress.Stream, len(plan.Solves))
	for i, solve := range plan.Solves {
		news := make(chan *client.SolveStatus)
		solves[i] = &solving{in: in, plan: solve, news: news}
		streams[i].Status = news
		if len(plan.Solves) > 1 {
			streams[i].Node = solve.Node
		}
	}
	var result Result
	status := make(chan *client.SolveStatus)
	var display errgroup.Group
	display.Go(func() error { progress.Join(streams, status); return nil })
	display.Go(func() error {
		var err error
		result.Summary, err = progress.Show(ctx, in.session.Progress, in.session.Display, in.session.screened(status))
		return err
	})
	group, gctx := errgroup.WithContext(ctx)
	for _, s := range solves {
		group.Go(func() error {
			defer close(s.news)
			return s.do(gctx, nodes)
		})
	}
	err := group.Wait()
	showErr := display.Wait()
	for _, s := range solves {
		if s.part.Ref != "" {
			result.Begun = append(result.Begun, s.part)
		}
		if s.done {
			result.Parts = append(result.Parts, s.part)
		}
	}
	if len(solves) == 1 {
		result.Digest = solves[0].part.Digest
	}
	if err != nil {
		return result, tell(ctx, plan, result.Summary, err)
	}
	return result, showErr
}

// solving is one solve of a plan at work.
type solving struct {
	in   *inputs
	plan Solve
	news chan *client.SolveStatus // all that the daemon tells; its reader outlives the solve
	part Part
	done bool // part is whole
}

// solveError is which solve failed.
type solveError struct {
	plan Solve
	err  error
}

func (e *solveError) Error() string { return e.err.Error() }

func (e *solveError) Unwrap() error { return e.err }

// tell says why a build failed in a person's terms: the first failure, since it
// stopped the rest.
func tell(ctx context.Context, plan Plan, shown progress.Summary, err error) error {
	var failed *solveError
	if !errors.As(err, &failed) {
		return err
	}
	say := func() error { return classify(ctx, failed.plan, shown, failed.err) }
	if ctx.Err() != nil {
		return say()
	}
	err = toldOr(failed.err, say)
	if len(plan.Solves) > 1 {
		return fmt.Errorf("%s: %w", nodeName(failed.plan.Node, failed.plan.Platforms), err)
	}
	return err
}

// do solves, once more where the daemon went away without anything having
// failed, and answers again.
func (s *solving) do(ctx context.Context, nodes func(name string) (*client.Client, error)) error {
	node, err := nodes(s.plan.Node)
	if err != nil {
		return &solveError{s.plan, err}
	}
	seen, err := s.attempt(ctx, node)
	if err != nil && !seen.failed && lostNode(err) && s.plan.repeatable() && isBack(ctx, node) {
		if !seen.last.IsZero() {
			s.news <- seen.returned(s.plan.Node)
		}
		seen, err = s.attempt(ctx, node)
	}
	if err != nil {
		if rest, missed, ok := s.plan.withoutCache(err, seen.last); ok {
			s.plan = rest
			s.news <- missed
			_, err = s.attempt(ctx, node)
		}
	}
	if err != nil {
		return &solveError{s.plan, err}
	}
	s.done = true
	return nil
}

// attempt solves once.
func (s *solving) attempt(ctx context.Context, node *client.Client) (watch, error) {
	var seen watch
	r, err := s.in.prepare(ctx, node, s.plan, func(st *client.SolveStatus) { s.news <- st })
	if err != nil {
		return seen, err
	}
	s.part = Part{Node: s.plan.Node, Platforms: s.plan.Platforms, Ref: r.opt.Ref}
	status := make(chan *client.SolveStatus)
	var relay errgroup.Group
	relay.Go(func() error {
		for st := range status { // which the solve closes in any case
			s.plan.calm(st)
			seen.see(st)
			s.news <- st
		}
		return nil
	})
	response, err := r.run(ctx, node, status)
	relay.Wait() // it never fails
	if endErr := r.end(err); endErr != nil {
		err = errors.Join(err, endErr)
	}
	if err != nil {
		return seen, err
	}
	s.part.Response = response
	if d := response[digestKey]; d != "" {
		if s.part.Digest, err = v1.NewHash(d); err != nil {
			return seen, errdefs.New(errdefs.Environment, "the builder gave the digest %q: %w", d, err)
		}
	}
	return seen, nil
}

// repeatable is whether the solve can be done again: what went to standard
// output can't be taken back.
func (s Solve) repeatable() bool {
	return !slices.ContainsFunc(s.Exports, func(e Export) bool { return e.Dest == Stdout })
}

// returnLimit is how long a daemon that went away may take to be back. One that
// its supervisor starts again is there within it, on a busy machine too; of one
// that is gone for good a job should hear soon.
const returnLimit = 5 * time.Second

// isBack is whether the daemon is there, by a new connection: the client makes
// one as soon as it finds the old one broken.
func isBack(ctx context.Context, node *client.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, returnLimit)
	defer cancel()
	for {
		if _, err := node.ListWorkers(ctx); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// importingCache begins the name of the step that looks for a cache.
const importingCache = "importing cache manifest from "

// calm shows no error where a cache is not there that nobody named.
func (s Solve) calm(st *client.SolveStatus) {
	for _, v := range st.Vertexes {
		extra := func(c Cache) bool {
			return c.Extra && c.Type == "registry" && v.Name == importingCache+c.Attrs["ref"]
		}
		if strings.HasSuffix(v.Error, ": not found") && slices.ContainsFunc(s.CacheImports, extra) {
			v.Error = ""
			if v.Completed != nil {
				st.Logs = append(st.Logs, &client.VertexLog{Vertex: v.Digest, Data: []byte("not there yet\n"), Timestamp: *v.Completed})
			}
		}
	}
}

// watch is what an attempt has shown.
type watch struct {
	failed bool      // a step did
	last   time.Time // by the daemon's clock
}

func (w *watch) see(st *client.SolveStatus) {
	later := func(t *time.Time) {
		if t != nil && t.After(w.last) {
			w.last = *t
		}
	}
	for _, v := range st.Vertexes {
		later(v.Started)
		later(v.Completed)
		// A cache that is not there fails no build, and what a daemon stops as it
		// ends has not failed.
		harmless := strings.HasPrefix(v.Name, importingCache) || strings.HasSuffix(v.Error, "context canceled")
		if v.Error != "" && !harmless {
			w.failed = true
		}
	}
}

// returned tells on the display that the solve begins again.
func (w *watch) returned(node string) *client.SolveStatus {
	name := fmt.Sprintf("node %s went away and is back: building once more", node)
	at := w.last // the display reads it while the next attempt is watched
	return &client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: digest.FromString(name), Name: name, Started: &at, Completed: &at},
	}}
}
