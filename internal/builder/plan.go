package builder

import (
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// Plan is all that a build will do, in full and printable: it holds the ids of
// secrets and none of their values.
type Plan struct {
	Solve Solve `json:"solve"`
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
	Node          string            `json:"node,omitempty"` // empty is whichever node there will be
	Platforms     []string          `json:"platforms,omitempty"`
	Frontend      string            `json:"frontend"`
	FrontendAttrs map[string]string `json:"frontendAttrs"`
	LocalMounts   map[string]string `json:"localMounts,omitempty"` // absolute directories by name
	SharedKey     string            `json:"sharedKey,omitempty"`
	Exports       []Export          `json:"exports,omitempty"`
	CacheImports  []Cache           `json:"cacheImports,omitempty"`
	CacheExports  []Cache           `json:"cacheExports,omitempty"`
	Secrets       []string          `json:"secrets,omitempty"` // ids
}

// Export is one exporter of a solve.
type Export struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs"`
}

// ReleaseStep are tags that are written at the same time.
type ReleaseStep struct {
	Rank int      `json:"rank"`
	Tags []string `json:"tags"` // full references
}

// NewPlan says how to build req on one of nodes. With no nodes it plans for
// whichever there will be. It is pure. A platform that no node runs is an
// errdefs.BadInput of input "platforms".
func NewPlan(req Request, nodes []setup.Node) (Plan, error) {
	node, err := chooseNode(req.Platforms, nodes)
	if err != nil {
		return Plan{}, err
	}
	solve := Solve{
		Node:          node.Name,
		Platforms:     platformNames(req.Platforms),
		Frontend:      "dockerfile.v0",
		FrontendAttrs: frontendAttrs(req),
		LocalMounts:   localMounts(req.Context),
		CacheImports:  req.CacheFrom,
		CacheExports:  cacheExports(req.CacheTo),
		Secrets:       slices.Sorted(maps.Keys(req.Secrets)),
	}
	if req.Context.Dir != "" {
		// BuildKit finds the files that a build of the same directory sent
		// before by this key.
		solve.SharedKey = sharedKey(req.Context.Dir)
	}
	plan := Plan{Solve: solve}
	if !req.Push {
		return plan, nil
	}
	repos := req.Repositories()
	// BuildKit answers with the digest of the last exporter's index; the first
	// repository's is the one that all shall have.
	for _, repo := range slices.Backward(repos) {
		plan.Solve.Exports = append(plan.Solve.Exports, pushByDigest(repo.Name(), req.Annotations))
	}
	for i, repo := range repos {
		if i > 0 {
			plan.Align = append(plan.Align, repo.Name())
		}
		plan.Verify = append(plan.Verify, repo.Name())
	}
	plan.Release = releaseSteps(req)
	return plan, nil
}

// chooseNode gives the node that runs most of the platforms natively among
// those that run all of them.
func chooseNode(want []v1.Platform, nodes []setup.Node) (setup.Node, error) {
	if len(nodes) == 0 {
		return setup.Node{}, nil
	}
	var best setup.Node
	bestNative := -1
	var missing []string
	for _, n := range nodes {
		lacks := lacking(want, n.Platforms)
		if len(lacks) > 0 {
			if missing == nil || len(lacks) < len(missing) {
				missing = lacks
			}
			continue
		}
		native := 0
		for _, p := range want {
			if len(n.Platforms) > 0 && runs(n.Platforms[:1], p) {
				native++
			}
		}
		if native > bestNative {
			best, bestNative = n, native
		}
	}
	if bestNative < 0 {
		return setup.Node{}, errdefs.BadInputf("platforms", 0, "no node of the builder runs %s", strings.Join(missing, " and ")).
			WithHint("hullwright setup --platforms registers emulators; all platforms of a build must run on one node")
	}
	return best, nil
}

func lacking(want, have []v1.Platform) []string {
	var names []string
	for _, p := range want {
		if !runs(have, p) {
			names = append(names, p.String())
		}
	}
	return names
}

func frontendAttrs(req Request) map[string]string {
	attrs := map[string]string{"filename": req.Context.Dockerfile}
	if req.Context.URL != "" {
		attrs["context"] = req.Context.URL
		if req.Context.DockerfileDir != "" {
			attrs["dockerfilekey"] = "dockerfile"
		}
	}
	if req.Target != "" {
		attrs["target"] = req.Target
	}
	for k, v := range req.BuildArgs {
		attrs["build-arg:"+k] = v
	}
	for k, v := range req.Labels {
		attrs["label:"+k] = v
	}
	if len(req.Platforms) > 0 {
		attrs["platform"] = strings.Join(platformNames(req.Platforms), ",")
	}
	if req.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	if req.NoCache {
		attrs["no-cache"] = "" // present and empty is every stage
	}
	if req.Provenance != "" {
		attrs["attest:provenance"] = req.Provenance
	}
	if req.Context.Dir != "" && req.VCS.Source != "" {
		attrs["vcs:source"] = req.VCS.Source
	}
	if req.Context.Dir != "" && req.VCS.Revision != "" {
		attrs["vcs:revision"] = req.VCS.Revision
	}
	return attrs
}

func localMounts(c BuildContext) map[string]string {
	mounts := map[string]string{}
	if c.Dir != "" {
		mounts["context"] = c.Dir
	}
	if c.DockerfileDir != "" {
		mounts["dockerfile"] = c.DockerfileDir
	}
	return mounts
}

func sharedKey(dir string) string {
	return dir[strings.LastIndexAny(dir, `/\`)+1:]
}

// cacheExports makes explicit what daemons of different ages decide
// differently, and what a failed export may do.
func cacheExports(entries []Cache) []Cache {
	out := make([]Cache, 0, len(entries))
	for _, e := range entries {
		attrs := map[string]string{}
		if e.Type == "registry" {
			// Before BuildKit 0.21 the default is an index, which ECR refuses:
			// https://github.com/aws/containers-roadmap/issues/876
			attrs["oci-mediatypes"] = "true"
			attrs["image-manifest"] = "true"
		}
		if e.Type != "inline" {
			// The image may be in its registry by the time that the cache export
			// fails: a release does not fail for its cache. The failure shows as
			// a warning.
			attrs["ignore-error"] = "true"
		}
		maps.Copy(attrs, e.Attrs)
		out = append(out, Cache{Type: e.Type, Attrs: attrs})
	}
	return out
}

// pushByDigest exports to one repository without a tag. BuildKit pushes the
// names of one exporter one after the other and several exporters at the same
// time, so each repository gets its own.
func pushByDigest(repo string, annotations []Annotation) Export {
	attrs := map[string]string{
		"name":           repo,
		"push":           "true",
		"push-by-digest": "true",
		"name-canonical": "true",
		"unpack":         "false",
	}
	for _, a := range annotations {
		for _, l := range a.Levels {
			attrs[l.attr()+"."+a.Key] = a.Value
		}
	}
	return Export{Type: "image", Attrs: attrs}
}

func (l Level) attr() string {
	attr := "annotation"
	if l.Type != "manifest" {
		attr += "-" + l.Type
	}
	if l.Platform != "" {
		attr += "[" + l.Platform + "]"
	}
	return attr
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
