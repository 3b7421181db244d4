// Package buildpush is the build-push command: it builds an image for all its
// platforms and pushes the index. Given images instead of full tags it does the
// whole job alone, from the event to the verified index.
//
// Begin with [Verb]; newJob is the door behind which everything is parsed, and
// steps is the order of the work.
package buildpush

import (
	"context"
	"strings"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/derive"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/setup"
)

// Options are what a person sets, in the order of --help: what most builds need
// stands first.
type Options struct {
	Context       string      `group:"what is built" env:"CONTEXT" arg:"CONTEXT" help:"Build context: a directory, a git address as https://host/owner/repo.git#ref:dir, the http address of a tar or a Dockerfile, or - for either on standard input. The default is the event's commit by git on GitHub, elsewhere the working directory."`
	File          string      `env:"FILE" placeholder:"FILE" help:"Dockerfile, relative to the working directory, or to a context that is elsewhere; an http address; or - for standard input. The default is Dockerfile in the context."`
	Platforms     input.Words `env:"PLATFORMS" also:"DOCKER_DEFAULT_PLATFORM" help:"Platforms to build for, as linux/amd64,linux/arm64; local is this machine's. The default is the builder's own."`
	Target        string      `env:"TARGET" placeholder:"STAGE" help:"Stage to build; the default is the last."`
	BuildArgs     input.Lines `env:"BUILD-ARGS" help:"Build arguments, KEY=value; a bare KEY takes its value from the environment."`
	BuildContexts input.Lines `env:"BUILD-CONTEXTS" help:"Further contexts that FROM and COPY can name, name=value: a directory, a git or http address, docker-image://REFERENCE or oci-layout://DIR[:TAG][@DIGEST]. {{defaultContext}} is the default of context."`

	Images      input.Records `group:"how it is named, and where it goes" env:"IMAGES" comments:"true" help:"Image names without tags. With them the command does the whole job: tags, labels and annotations are metadata's rules, and it pushes."`
	Tags        input.Records `env:"TAGS" comments:"true" help:"Full references to push; with images, rules as type=semver,pattern={{version}}."`
	Push        string        `env:"PUSH" envDefault:"auto" bare:"true" placeholder:"BOOL" help:"Push the index: true, false, or auto, which is true with images, unless outputs, load or call say what else becomes of it. The request of a fork is built and never pushed."`
	Load        bool          `env:"LOAD" envDefault:"false" help:"Load the image into the local engine; short for outputs type=docker."`
	Outputs     input.Records `env:"OUTPUTS" quotes:"keep" help:"What becomes of the build, one a line: type=local,dest=DIR, type=tar, oci or docker with dest=FILE (- is standard output), type=image, type=registry (an image that is pushed), or type=cacheonly; a plain path is a directory. push-by-digest=true with name=REPOSITORY pushes without a tag."`
	Labels      input.Lines   `env:"LABELS" comments:"true" help:"Labels, KEY=value; with images they are added to those of metadata."`
	Annotations input.Lines   `env:"ANNOTATIONS" comments:"true" help:"OCI annotations, [level:]key=value, a level being manifest, index, manifest-descriptor or index-descriptor."`
	Flavor      input.Records `env:"FLAVOR" comments:"true" help:"With images: latest=auto, prefix= and suffix= for all tags."`

	CacheFrom      input.Records `group:"cache" env:"CACHE-FROM" help:"Caches to import: a reference, or type=registry,ref=..., type=gha, type=local,src=..., type=s3,region=...,bucket=... or type=azblob,account_url=..."`
	CacheTo        input.Records `env:"CACHE-TO" help:"Caches to export: type=inline, type=registry,ref=..., type=gha, type=local,dest=..., type=s3,region=...,bucket=... or type=azblob,account_url=..., with mode=max for all stages. A failed export is a warning, unless ignore-error=false is set."`
	NoCache        bool          `env:"NO-CACHE" envDefault:"false" help:"Build every step again."`
	NoCacheFilters input.Words   `env:"NO-CACHE-FILTERS" help:"Stages to build again, whatever the cache has of them."`
	Pull           bool          `env:"PULL" envDefault:"false" help:"Resolve base images again, even where the builder has them."`

	Secrets     input.Secrets `group:"secrets" env:"SECRETS" help:"Secrets for RUN --mount=type=secret, id=value."`
	SecretEnvs  input.Words   `env:"SECRET-ENVS" help:"Secrets from environment variables, id=VARIABLE."`
	SecretFiles input.Lines   `env:"SECRET-FILES" help:"Secrets from files, id=path."`
	SSH         input.Words   `env:"SSH" help:"Agents and keys for RUN --mount=type=ssh: default or another id, alone for the agent of SSH_AUTH_SOCK, or id=SOCKET or id=KEY; quote several keys, \"id=KEY,KEY\"."`
	GithubToken input.Secrets `env:"GITHUB-TOKEN" help:"Token with which the builder fetches a git context from GitHub and looks up what a gha cache has, and with which the repository is described where the event does not."`

	Provenance            string        `group:"attestations and reproducibility" env:"PROVENANCE" bare:"true" help:"Provenance attestation: true, false, mode=min or mode=max, with more attributes after commas. The default is mode=max for a repository that is known to be public, else mode=min."`
	Sbom                  string        `env:"SBOM" bare:"true" help:"Bill of materials: true, false, or attributes as generator=IMAGE."`
	Attests               input.Records `env:"ATTESTS" help:"Attestations, one a line, as type=sbom,generator=IMAGE or type=provenance,mode=max. The inputs provenance and sbom count more."`
	NoDefaultAttestations bool          `env:"NO-DEFAULT-ATTESTATIONS" also:"BUILDX_NO_DEFAULT_ATTESTATIONS" envDefault:"false" help:"Attest nothing that is not asked for."`
	NoOCIArtifact         bool          `env:"NO-DEFAULT-OCI-ARTIFACT" also:"BUILDX_NO_DEFAULT_OCI_ARTIFACT" envDefault:"false" help:"Store attestations in the older form, for registries that refuse manifests with an artifact type."`
	Reproducible          bool          `env:"REPRODUCIBLE" envDefault:"false" help:"Give all files and timestamps the time of SOURCE_DATE_EPOCH, else of the commit, and attest nothing by default, so that two builds of one commit have one digest."`
	CompatibilityVersion  int           `env:"COMPATIBILITY-VERSION" help:"Write the image's bytes as an older BuildKit does: 10 is 0.13, 20 is 0.15, 30 is 0.31; 0 is the builder's own way."`
	GitLabels             string        `env:"GIT-LABELS" also:"BUILDX_GIT_LABELS" bare:"true" placeholder:"BOOL" help:"Label the image with the revision, the repository and the Dockerfile's path, where the context is a checkout."`
	GitInfo               bool          `env:"GIT-INFO" also:"BUILDX_GIT_INFO" envDefault:"true" help:"Record repository and revision of a context that is a checkout in its provenance."`
	GitCheckDirty         bool          `env:"GIT-CHECK-DIRTY" also:"BUILDX_GIT_CHECK_DIRTY" envDefault:"false" help:"Let that revision end in -dirty where the checkout has changes."`

	Network      string        `group:"how steps run" env:"NETWORK" help:"Network of RUN steps: default, none or host; host is an entitlement too."`
	AddHosts     input.Words   `env:"ADD-HOSTS" help:"Names that steps can resolve, host:ip or host=ip."`
	Allow        input.Words   `env:"ALLOW" help:"Entitlements that the Dockerfile may use: network.host, security.insecure, device or device=NAME; and buildx.local.delete, with which an output of type local with mode=delete may be anywhere."`
	ShmSize      string        `env:"SHM-SIZE" placeholder:"BYTES" help:"Size of /dev/shm in RUN steps, as 128m."`
	Ulimit       input.Lines   `env:"ULIMIT" help:"Limits of RUN steps, name=soft[:hard], as nofile=1024:2048."`
	Resources    input.Records `env:"RESOURCES" help:"What one RUN step may take: memory=2g, memory-swap=, cpu-shares=, cpu-period=, cpu-quota=, cpuset-cpus= and cpuset-mems=."`
	CgroupParent string        `env:"CGROUP-PARENT" placeholder:"CGROUP" help:"Control group that RUN steps run in."`

	Call   string        `group:"checks" env:"CALL" placeholder:"METHOD" help:"Ask instead of building: check, outline, targets or subrequests.describe, with format=json and ignorestatus=true after commas; build builds."`
	Policy input.Records `env:"POLICY" help:"Source policies, one a line: filename=FILE.rego, with reset=true, strict=true, disabled=true or log-level= after commas."`
	Strict bool          `env:"STRICT" envDefault:"false" help:"Fail where this command would warn before the build: of a build argument that looks like a secret, of a fork's push or cache export left out, of attestations that make a reproducible image differ, of tags that metadata changed."`

	derive.Switches `group:"how tags are derived, with images"`

	LoginOptions `group:"who logs in"`

	Builder string `group:"the builder" env:"BUILDER" also:"BUILDX_BUILDER" help:"Builder to use; the default is buildx's current one, or else one made for this run."`
	setup.Options

	Release `group:"how tags are written"`
	Report  `group:"what a run tells and keeps"`

	State          string `env:"STATE" placeholder:"FILE" help:"File that says what this run made and which tags it wrote, while it runs and where it did not end well."`
	Plan           bool   `group:"the run" env:"PLAN" envDefault:"false" help:"Print what would be done as JSON, and do nothing."`
	AllowUntrusted bool   `env:"ALLOW-UNTRUSTED" envDefault:"false" help:"Push, export cache, forward ssh agents and, on pull_request_target, give secrets for the request of a fork too."`
	ContextPRHead  bool   `env:"CONTEXT-PR-HEAD" also:"DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF" envDefault:"false" help:"Where the context is the event's commit, take that of a pull request's author, not the trial merge."`
	cli.Common
}

// Check gives the faults of all values, as the door does where there are none.
func (o Options) Check(ctx context.Context, env *cli.Env) error {
	_, err := newJob(ctx, env, o)
	return err
}

func (o Options) token() string {
	if len(o.GithubToken) == 0 {
		return ""
	}
	return strings.TrimSpace(o.GithubToken[0])
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "build-push",
		Summary: "build for all platforms and push the index",
		Reports: true,
		Long: `
Builds CONTEXT with BuildKit, pushes the index by digest to every repository
at the same time, writes the tags when all is there, moving ones last, and
reads the index back. With --images it does the whole job alone: it finds or
makes a builder, derives tags and labels from the event, builds, pushes,
verifies, and removes what it made.

  hullwright build-push --tags registry.example/app:1.4.2 --push .
  hullwright build-push --images registry.example/app --platforms linux/amd64,linux/arm64 .`,
		Outputs: []cli.Output{
			{Name: "imageid", Help: "Image id: the config's digest where there is one image, else the index's."},
			{Name: "digest", Help: "Digest of the index."},
			{Name: "metadata", Help: "What BuildKit said of the image, as JSON."},
			{Name: "tags", Help: "Full references that were written, one a line."},
			{Name: "version", Help: "Version that metadata derived, with images."},
			{Name: "pushed", Help: "Whether the index was pushed."},
			{Name: "index", Help: "The pushed index by its digest, in the first repository, as registry.example/app@sha256:..."},
			{Name: "digests", Help: "All that was pushed, as JSON: tags with their digest, platforms with manifest, config, size in bytes and attestations, repositories with the index's digest."},
			{Name: "cache-exported", Help: "Whether every cache export succeeded."},
			{Name: "builder", Help: "Name of the builder."},
		},
	}, run)
}
