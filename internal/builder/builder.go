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
	Context       BuildContext
	Named         map[string]NamedContext // further contexts, by the name that FROM and COPY use
	Target        string                  // stage; empty is the last
	Platforms     []v1.Platform           // empty is the node's own
	BuildArgs     map[string]string
	Labels        map[string]string
	Annotations   []Annotation
	CacheFrom     []Cache
	CacheTo       []Cache
	Secrets       map[string][]byte // by id; never printed
	SSH           []Agent
	Pull          bool // resolve base images again
	NoCache       bool
	NoCacheStages []string // stages to build again; empty where NoCache is set

	// Push is whether the image goes to a registry: to the repositories of Tags,
	// which then point to it, and to Repositories by its digest alone. At least
	// one of the two is not empty then.
	Push         bool
	Tags         []name.Tag
	Repositories []name.Repository
	// Insecure are the registries, "host" or "host:port", that may be spoken to over
	// plain http or with a certificate that nobody vouches for.
	Insecure []string
	// Image are attributes of the exporter that pushes, as compression=zstd.
	Image map[string]string
	// Outputs are the exports besides the push.
	Outputs []Output

	// Attests are the attributes of each attestation by its type, as
	// "mode=min,inline-only=true" of provenance.
	Attests map[string]string

	AddHosts     []string // host=ip
	Entitlements []string // as network.host, device=name
	CgroupParent string
	Network      string            // host, none or empty
	ShmSize      int64             // bytes; 0 is the builder's default
	Ulimits      []string          // name=soft:hard
	Limits       map[string]string // of a step's resources, as BuildKit's frontend names them: memory, cpuquota

	// Policies are source policies; of a Dockerfile that has one beside it
	// (Dockerfile.rego) that one is in force too.
	Policies []Policy

	// Call asks the frontend something instead of building; the zero value builds.
	Call Call

	// Reproducible is the time in seconds since 1970 that every file and
	// timestamp of the image gets; nil leaves them as they are.
	Reproducible *int64
	// Compatibility pins the bytes that exporters write to those of an older
	// BuildKit: 10 is 0.13, 20 is 0.15, 30 is 0.31; 0 is the builder's own.
	Compatibility int

	VCS VCS
}

// BuildContext is where a build's files come from. One of Dir, URL and Stdin is
// set.
type BuildContext struct {
	Dir   string // absolute path of the local directory
	URL   string // git address, as https://host/owner/repo.git#ref:dir, or http address of a tar or a Dockerfile
	Stdin bool   // standard input: a tar, or a Dockerfile whose context is empty

	DockerfileDir   string // absolute path; empty where the Dockerfile is in the context itself
	Dockerfile      string // file name in DockerfileDir, or path in the context
	DockerfileURL   string // http address that the Dockerfile is fetched from; empty where it is a file
	DockerfileStdin bool   // the Dockerfile is on standard input
}

// NamedContext is a context besides the main one. One field is set.
type NamedContext struct {
	Image  string // reference, without docker-image://
	Layout OCILayout
	URL    string // git or http address
	Dir    string // absolute path of a local directory
}

// OCILayout is an image in a directory of the OCI image layout.
type OCILayout struct {
	Dir    string // absolute path
	Tag    string // as index.json names it; empty is latest, where Digest is empty too
	Digest string
}

// Agent is an ssh agent, or keys, that RUN --mount=type=ssh uses.
type Agent struct {
	ID    string   `json:"id"`              // "default" where none is named
	Paths []string `json:"paths,omitempty"` // socket or private keys, absolute; empty is SSH_AUTH_SOCK's
}

// Output is an export besides the push.
type Output struct {
	Type  string            // image, docker, oci, tar or local
	Attrs map[string]string // BuildKit's
	// Dest is the absolute path of a file, or of a directory for local and for
	// oci and docker with tar=false; [Stdout]; or empty: then an image stays in
	// the builder's store, and the engine loads a docker export.
	Dest string
}

// Stdout is the Dest of an output that goes to standard output.
const Stdout = "-"

// Policy says which sources a build may use, in rego:
// https://docs.docker.com/build/policies/
type Policy struct {
	Files    []string `json:"files,omitempty"`    // absolute paths
	Reset    bool     `json:"reset,omitempty"`    // the Dockerfile's own policy is not in force
	Disabled bool     `json:"disabled,omitempty"` // no policy is
	Strict   *bool    `json:"strict,omitempty"`   // whether a daemon that can't enforce all of it is an error; nil is the default
	LogLevel string   `json:"logLevel,omitempty"` // how much of the evaluation is told, as debug; empty is info
}

// Call is a question to the frontend: https://docs.docker.com/reference/cli/docker/buildx/build/#call
type Call struct {
	Method       string // lint, outline, targets or subrequests.describe; empty builds
	Format       string // text or json
	IgnoreStatus bool   // what a check finds is no failure
}

// VCS is the revision that a local context was checked out from.
type VCS struct {
	Source   string // address without credentials
	Revision string // commit
	Root     string // absolute path of the checkout; empty where the context is in none
}

// Cache is one place to import build cache from or export it to.
type Cache struct {
	Type  string            `json:"type"` // registry, inline, local, gha, s3 or azblob
	Attrs map[string]string `json:"attrs,omitempty"`
	// Extra is whether nobody wrote it: it is imported because another node may
	// have exported it. That it is not there is no fault to show.
	Extra bool `json:"extra,omitempty"`
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

// Destinations are the repositories that the image is pushed to, each once: those
// of the tags in their order, then those that get it by digest.
func (r Request) Destinations() []name.Repository {
	var repos []name.Repository
	seen := map[string]bool{}
	add := func(repo name.Repository) {
		if !seen[repo.Name()] {
			seen[repo.Name()] = true
			repos = append(repos, repo)
		}
	}
	for _, t := range r.Tags {
		add(t.Context())
	}
	for _, repo := range r.Repositories {
		add(repo)
	}
	return repos
}
