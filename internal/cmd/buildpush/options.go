// Package buildpush is the build-push command: it builds an image for all its
// platforms and pushes the index. Given images instead of full tags it does the
// whole job alone, from the event to the verified index.
//
// Begin with [Verb]; newJob is the door behind which everything is parsed, and
// steps is the order of the work.
package buildpush

import (
	"strings"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/derive"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/setup"
)

// Options are what a person sets.
type Options struct {
	Context     string        `env:"CONTEXT" arg:"CONTEXT" help:"Build context: a directory, or a git address as https://host/owner/repo.git#ref:dir. The default is the event's commit by git on GitHub, elsewhere the working directory."`
	File        string        `env:"FILE" placeholder:"FILE" help:"Dockerfile, relative to the working directory; the default is Dockerfile in the context."`
	Target      string        `env:"TARGET" placeholder:"STAGE" help:"Stage to build; the default is the last."`
	Platforms   input.Words   `env:"PLATFORMS" help:"Platforms to build for, as linux/amd64,linux/arm64; the default is the builder's own."`
	BuildArgs   input.Lines   `env:"BUILD-ARGS" help:"Build arguments, KEY=value; a bare KEY takes its value from the environment."`
	Pull        bool          `env:"PULL" envDefault:"false" help:"Resolve base images again, even where the builder has them."`
	NoCache     bool          `env:"NO-CACHE" envDefault:"false" help:"Build every step again."`
	CacheFrom   input.Records `env:"CACHE-FROM" help:"Caches to import: a reference, or type=registry,ref=... or type=local,src=..."`
	CacheTo     input.Records `env:"CACHE-TO" help:"Caches to export: type=inline, type=registry,ref=...,mode=max or type=local,dest=... A failed export is a warning, unless ignore-error=false is set."`
	Secrets     input.Secrets `env:"SECRETS" help:"Secrets for RUN --mount=type=secret, id=value."`
	SecretEnvs  input.Words   `env:"SECRET-ENVS" help:"Secrets from environment variables, id=VARIABLE."`
	SecretFiles input.Lines   `env:"SECRET-FILES" help:"Secrets from files, id=path."`
	GithubToken input.Secrets `env:"GITHUB-TOKEN" help:"Token with which the builder fetches a git context from GitHub, and with which the repository is described where the event does not."`

	Images      input.Records `env:"IMAGES" comments:"true" help:"Image names without tags. With them the command does the whole job: tags, labels and annotations are metadata's rules, and it pushes."`
	Tags        input.Records `env:"TAGS" comments:"true" help:"Full references to push; with images, rules as type=semver,pattern={{version}}."`
	Flavor      input.Records `env:"FLAVOR" comments:"true" help:"With images: latest=auto, prefix= and suffix= for all tags."`
	Labels      input.Lines   `env:"LABELS" comments:"true" help:"Labels, KEY=value; with images they are added to those of metadata."`
	Annotations input.Lines   `env:"ANNOTATIONS" comments:"true" help:"OCI annotations, [level:]key=value, a level being manifest, index, manifest-descriptor or index-descriptor."`
	Push        string        `env:"PUSH" envDefault:"auto" bare:"true" placeholder:"BOOL" help:"Push the index: true, false, or auto, which is true with images. The request of a fork is built and never pushed."`
	Provenance  string        `env:"PROVENANCE" bare:"true" help:"Provenance attestation: true, false, mode=min or mode=max, with more attributes after commas. The default is mode=max for a repository that is known to be public, else mode=min."`

	derive.Switches

	Builder string `env:"BUILDER" help:"Builder to use; the default is buildx's current one, or else one made for this run."`
	setup.Options

	Release
	Report

	AllowUntrusted bool   `env:"ALLOW-UNTRUSTED" envDefault:"false" help:"Push, and export cache, for the request of a fork too."`
	Plan           bool   `env:"PLAN" envDefault:"false" help:"Print what would be done as JSON, and do nothing."`
	State          string `env:"STATE" placeholder:"FILE" help:"File that says what this run made and which tags it wrote, while it runs and where it did not end well."`
	cli.Common
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
