package builder

import (
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// Plan is all that a build will do, in full and printable: it holds the ids of
// secrets and none of their values.
type Plan struct {
	// Solves are the requests to BuildKit, one a node; all run at the same time.
	Solves []Solve `json:"solves"`
	// Merge is whether the images of several solves become one index, in the
	// first repository.
	Merge bool `json:"merge,omitempty"`
	// Align are the repositories that get the first one's index by a copy of what
	// they lack, which is attestations: see docs/decisions/0004-one-digest.md.
	Align []string `json:"align,omitempty"`
	// Release are the tags in the order of their writes: every tag of a step
	// stands before the first of the next is written.
	Release []ReleaseStep `json:"release,omitempty"`
	// Verify are the repositories whose index is read back at the end.
	Verify []string `json:"verify,omitempty"`
}

// Solve is one request to BuildKit.
type Solve struct {
	Node          string            `json:"node,omitempty"`     // empty is whichever node there will be
	BuildKit      string            `json:"buildkit,omitempty"` // the node's version, which says what it is able to do; empty has it asked
	Platforms     []string          `json:"platforms,omitempty"`
	Frontend      string            `json:"frontend"`
	FrontendAttrs map[string]string `json:"frontendAttrs"`
	LocalMounts   map[string]string `json:"localMounts,omitempty"` // absolute directories by name
	// Stdin is what standard input is: "context", a tar or a Dockerfile whose
	// context is empty, which shows when it is read; or "dockerfile".
	Stdin         string            `json:"stdin,omitempty"`
	DockerfileURL string            `json:"dockerfileURL,omitempty"` // fetched before the build
	Layouts       map[string]string `json:"ociLayouts,omitempty"`    // absolute directories by store id
	SharedKey     string            `json:"sharedKey,omitempty"`
	Exports       []Export          `json:"exports,omitempty"`
	CacheImports  []Cache           `json:"cacheImports,omitempty"`
	CacheExports  []Cache           `json:"cacheExports,omitempty"`
	Secrets       []string          `json:"secrets,omitempty"` // ids
	SSH           []Agent           `json:"ssh,omitempty"`
	Entitlements  []string          `json:"entitlements,omitempty"`
	Compatibility int               `json:"compatibility,omitempty"`
	Call          string            `json:"call,omitempty"`
	Policies      []Policy          `json:"policies,omitempty"`
}

// Export is one exporter of a solve.
type Export struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
	Dest  string            `json:"dest,omitempty"` // as of [Output]
}

// ReleaseStep are tags that are written at the same time.
type ReleaseStep struct {
	Rank int      `json:"rank"`
	Tags []string `json:"tags"` // full references
}

// NewPlan says how to build req on nodes: each platform on the node that runs it
// natively, else on one that emulates it. With no nodes it plans for whichever
// there will be. It is pure. A platform that no node runs is an
// errdefs.BadInput of input "platforms".
func NewPlan(req Request, nodes []setup.Node) (Plan, error) {
	parts, err := assign(req, nodes)
	if err != nil {
		return Plan{}, err
	}
	if req.Call.Method != "" {
		parts = parts[:1] // one answer is enough
	}
	shares, err := split(req, parts)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Merge: req.Push && len(parts) > 1}
	for i, p := range parts {
		plan.Solves = append(plan.Solves, newSolve(shares[i], p, len(parts) > 1))
	}
	if !req.Push {
		return plan, nil
	}
	for i, repo := range req.Destinations() {
		if i > 0 {
			plan.Align = append(plan.Align, repo.Name())
		}
		plan.Verify = append(plan.Verify, repo.Name())
	}
	plan.Release = releaseSteps(req)
	return plan, nil
}

// newSolve is what one node does. several is whether there are other nodes.
func newSolve(req Request, p part, several bool) Solve {
	solve := Solve{
		Node:          p.node.Name,
		Platforms:     platformNames(p.platforms),
		Frontend:      frontend(req),
		FrontendAttrs: frontendAttrs(req, p.platforms, several),
		LocalMounts:   localMounts(req),
		Stdin:         stdinOf(req.Context),
		DockerfileURL: req.Context.DockerfileURL,
		Layouts:       layouts(req.Named),
		CacheImports:  cacheImports(req.CacheFrom),
		Secrets:       slices.Sorted(maps.Keys(req.Secrets)),
		SSH:           req.SSH,
		Entitlements:  entitlements(req),
		Compatibility: req.Compatibility,
		Call:          req.Call.Method,
		Policies:      req.Policies,
	}
	if req.Call.Method == "" { // a question leaves nothing behind
		solve.Exports = exports(req, p.node.Images)
		solve.CacheExports = cacheExports(withInlineCache(req))
	}
	if p.node.Images == "" { // an engine's own may lack what its version has
		solve.BuildKit = p.node.Version
	}
	if p.node.Images != "" && !req.Pull {
		solve.FrontendAttrs["image-resolve-mode"] = "local" // what the engine has, it has for builds
	}
	if req.Context.Dir != "" {
		// BuildKit finds the files that a build of the same directory sent
		// before by this key.
		solve.SharedKey = sharedKey(req.Context.Dir)
	}
	allowInsecure(&solve, req.Insecure)
	return solve
}

func releaseSteps(req Request) []ReleaseStep {
	byRank := map[int][]string{}
	for _, t := range req.Tags {
		rank := registry.Rank(t.TagStr())
		byRank[rank] = append(byRank[rank], t.Name())
	}
	var steps []ReleaseStep
	for _, rank := range slices.Sorted(maps.Keys(byRank)) {
		steps = append(steps, ReleaseStep{Rank: rank, Tags: byRank[rank]})
	}
	return steps
}

func platformNames(platforms []v1.Platform) []string {
	var names []string
	for _, p := range platforms {
		names = append(names, p.String())
	}
	return names
}
