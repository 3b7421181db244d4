// Package metadata is the command that derives tags, labels and annotations
// from what happened.
//
// Begin with [Verb]. The rules are internal/meta's; here is what surrounds
// them: facts from the event, the checkout and the forge's API, and outputs.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/derive"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/meta"
)

// Options are the command's inputs: those of docker/metadata-action, and its
// switches that were environment variables.
type Options struct {
	cli.Common

	Context     string        `env:"CONTEXT" envDefault:"workflow" help:"Where ref and commit come from: workflow (the CI system's event) or git (the checkout)."`
	Images      input.Records `env:"IMAGES" comments:"true" help:"Image names without tags, one a line; attributes: name, enable, bake-target, and last flavor= and tags= for what an image has of its own."`
	Tags        input.Records `env:"TAGS" comments:"true" help:"Rules for tags, one a line, as type=semver,pattern={{version}}; by default type=schedule and type=ref for branch, tag and pr."`
	Flavor      input.Records `env:"FLAVOR" comments:"true" help:"What all tags have in common: latest=auto, prefix=, suffix=, each with onlatest=; prerelease-latest=false keeps prereleases from being latest."`
	Labels      input.Lines   `env:"LABELS" comments:"true" help:"Labels to add or change, KEY=value; expressions are allowed."`
	Annotations input.Lines   `env:"ANNOTATIONS" comments:"true" help:"Annotations to add or change, KEY=value; expressions are allowed."`

	SepTags        input.Text `env:"SEP-TAGS" help:"What separates tags in the outputs tags and tag-names; by default a line break."`
	SepLabels      input.Text `env:"SEP-LABELS" help:"What separates labels in the output labels; by default a line break."`
	SepAnnotations input.Text `env:"SEP-ANNOTATIONS" help:"What separates annotations in the output annotations; by default a line break."`

	BakeTarget  input.Lines   `env:"BAKE-TARGET" quotes:"keep" envDefault:"docker-metadata-action" help:"The targets that the bake files define, one a line."`
	GitHubToken input.Secrets `env:"GITHUB-TOKEN" also:"GITHUB_TOKEN" help:"Token for GitHub's API, which is asked where the event does not describe the repository."`

	SetEnv input.Text `env:"SET-OUTPUT-ENV" also:"DOCKER_METADATA_SET_OUTPUT_ENV" help:"Give outputs as DOCKER_METADATA_OUTPUT_* to the job's later steps too, where the system can; by default true."`

	derive.Switches

	Mode string `env:"MODE" arg:"explain" choices:"explain" help:"With explain: print what becomes of each rule, and why, and give no outputs."`
	Described

	list derive.TagLister // nil where no registry can be asked
}

// Verb is the command. It asks no registry.
func Verb() cli.Verb { return VerbWith(nil) }

// VerbWith is the command where registries can be asked for tags.
func VerbWith(list derive.TagLister) cli.Verb {
	return cli.NewVerb[Options](cli.Verb{
		Name:    "metadata",
		Summary: "tags, labels and annotations from the git ref and the event",
		Long: `Rules say which tags an image gets on which event:

  hullwright metadata --images ghcr.io/acme/app --tags 'type=semver,pattern={{version}}' --tags type=sha

To try rules before they are committed, with what each of them gives and why:

  hullwright metadata explain --all-events --tags 'type=semver,pattern={{version}}' --tags type=sha
  hullwright metadata explain --event pull_request --ref refs/pull/7/merge --tags type=ref,event=pr

The rules, inputs and outputs are those of docker/metadata-action; docs/compatibility.md lists the differences.`,
		Outputs: []cli.Output{
			{Name: "version", Help: "The image's version: the first tag's name."},
			{Name: "tags", Help: "Tags with their images, one a line."},
			{Name: "tag-names", Help: "Tags without an image, one a line."},
			{Name: "labels", Help: "Labels, KEY=value, one a line."},
			{Name: "annotations", Help: "Annotations, LEVEL:KEY=value, one a line."},
			{Name: "json", Help: "Tags, tag names, labels and annotations as a JSON object."},
			{Name: "bake-file-tags", Help: "A bake file that defines tags."},
			{Name: "bake-file-labels", Help: "A bake file that defines labels."},
			{Name: "bake-file-annotations", Help: "A bake file that defines annotations."},
			{Name: "bake-file", Help: "A bake file that defines tags and labels."},
		},
	}, func(ctx context.Context, env *cli.Env, o Options) error {
		o.list = list
		return run(ctx, env, o)
	})
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	o.Described = o.beyond(env.Environ)
	rules, exports, err := o.parse()
	if err != nil {
		return err
	}
	if o.Mode == "explain" {
		return explain(ctx, env, o, rules)
	}
	facts, err := gather(ctx, env, o, rules)
	if err != nil {
		return err
	}
	result, err := rules.Tag(facts)
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		env.Warnf("%s", ci.Clean(warning))
	}
	out := &writer{env: env, options: o, exports: exports}
	if err := out.tags(result); err != nil {
		return err
	}
	if result.Labels, err = rules.Label(facts, result.Version); err != nil {
		return err
	}
	if err := out.labels(result); err != nil {
		return err
	}
	if result.Annotations, err = rules.Annotate(facts, result.Version); err != nil {
		return err
	}
	return out.rest(result)
}

// parse reads what only this command knows how to read.
func (o Options) parse() (rules meta.Rules, exports bool, err error) {
	var faults []error
	if o.Context != "workflow" && o.Context != "git" {
		faults = append(faults, errdefs.BadInputf("context", 0, "Invalid context source: %s", o.Context).
			WithHint("workflow or git"))
	}
	if exports, err = parseBool(string(o.SetEnv)); err != nil {
		faults = append(faults, err)
	}
	rules, err = o.Switches.Rules(meta.Options{
		Images:      o.Images.Entries(),
		Tags:        o.Tags.Entries(),
		Flavor:      o.Flavor.Entries(),
		Labels:      meta.Entries(o.Labels),
		Annotations: meta.Entries(o.Annotations),
	})
	return rules, exports, errors.Join(append(faults, o.Described.check(o.Mode == "explain"), err)...)
}

// parseBool reads set-output-env; empty is true.
func parseBool(s string) (bool, error) {
	if s == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, errdefs.BadInputf("set-output-env", 0, "parseBool syntax error: %s", s).WithHint("true or false")
	}
	return b, nil
}

// sources are where facts may come from.
func (o Options) sources() derive.Sources {
	return derive.Sources{Checkout: o.Context == "git", Token: o.token(), List: o.list}
}

// gather collects what the rules are applied to on this run's event.
func gather(ctx context.Context, env *cli.Env, o Options, rules meta.Rules) (meta.Facts, error) {
	event, err := env.Event(ctx)
	if err != nil {
		return meta.Facts{}, err
	}
	return o.Switches.Facts(ctx, env, event, rules, o.sources())
}

func (o Options) token() string {
	if len(o.GitHubToken) == 0 {
		return ""
	}
	return strings.TrimSpace(o.GitHubToken[0])
}

func separator(s input.Text) string {
	if s == "" {
		return "\n"
	}
	return string(s)
}

// note prints what is of less weight than a warning.
func note(env *cli.Env, format string, args ...any) {
	fmt.Fprintf(env.Stderr, "metadata: note: %s\n", ci.Clean(fmt.Sprintf(format, args...)))
}
