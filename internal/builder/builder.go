// Package builder is the engine: it turns what is wanted into an index in
// registries.
//
// Begin with [NewPlan], which is pure and says in full what will be done, then
// [Build], which does it on a node. Between them and after them the way is
//
//	Request -> Plan -> solve -> Result -> release of tags -> verification
//
// and each arrow is one function. Nothing here reads the environment, the clock
// or a global.
package builder

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Request is an image that is wanted, every value parsed.
type Request struct {
	Context     BuildContext
	Target      string        // stage; empty is the last
	Platforms   []v1.Platform // empty is the node's own
	BuildArgs   map[string]string
	Labels      map[string]string
	Annotations []Annotation
	Tags        []name.Tag // where Push is set, at least one
	CacheFrom   []Cache
	CacheTo     []Cache
	Secrets     map[string][]byte // by id; never printed
	Pull        bool              // resolve base images again
	NoCache     bool
	Push        bool
	// Provenance are the attributes of the provenance attestation, as
	// "mode=min,inline-only=true"; empty is none.
	Provenance string
	VCS        VCS
}

// BuildContext is where a build's files come from: a directory or a git
// repository.
type BuildContext struct {
	Dir           string // absolute path of the local directory; empty where URL is set
	URL           string // git address, as https://host/owner/repo.git#ref:dir
	DockerfileDir string // absolute path; empty where the Dockerfile is in the git repository
	Dockerfile    string // file name in DockerfileDir, or path in the git repository
}

// VCS is the revision that a local context was checked out from.
type VCS struct {
	Source   string // https address without credentials
	Revision string // commit
}

// Cache is one place to import build cache from or export it to.
type Cache struct {
	Type  string            `json:"type"` // registry, inline or local
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Annotation is an OCI annotation and the places of an index that it goes to.
type Annotation struct {
	Levels []Level // at least one
	Key    string
	Value  string
}

// Level is a place that carries annotations, as
// https://github.com/moby/buildkit/blob/master/docs/annotations.md names them.
type Level struct {
	Type     string // manifest, index, manifest-descriptor or index-descriptor
	Platform string // linux/arm64; empty is every one
}

// Repositories are the repositories of the request's tags, each once, in the
// order of the tags.
func (r Request) Repositories() []name.Repository {
	var repos []name.Repository
	seen := map[string]bool{}
	for _, t := range r.Tags {
		if repo := t.Context(); !seen[repo.Name()] {
			seen[repo.Name()] = true
			repos = append(repos, repo)
		}
	}
	return repos
}
