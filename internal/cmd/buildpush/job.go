package buildpush

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// job is one run: what was asked for, parsed, and what came of it so far.
type job struct {
	env     *cli.Env
	event   ci.Event
	request builder.Request
	spec    setup.Spec
	options Options
	version string // that metadata derived
	started time.Time

	outputs      []builder.Output       // as they were asked for, those that push among them
	hidden       []string               // values that are never printed
	logins       []hostLogin            // of addresses that were given
	attests      map[string]attestAttrs // that were asked for; nil ones shall not be
	cacheSecrets cacheSecrets
	display      progress.Mode
	gitLabels    bool

	manager  *setup.Manager
	state    *setup.State
	registry *registry.Client
	accounts []login.Account // who logs in, for this run alone
	source   *login.Source
	memory   *login.Memory // the keychain of all that this run asks
	guard    registry.Guard
	// authorities are certificates in PEM, by the registry that they vouch for.
	authorities map[string][]byte

	builder *setup.Builder
	plan    builder.Plan
	result  builder.Result
	built   bool // result is whole
	logs    *progress.Logs
	// provenance is how much of it the metadata shows.
	provenance builder.MetadataProvenance

	emulated   bool              // every platform was asked for its emulator
	emulations []setup.Emulation // what came of that
	tags       []registry.Written
	pushed     []builder.Pushed
}

// parts of the request, each parsed from its own inputs, in the order of --help.
var parts = []func(*job, context.Context) error{
	(*job).parseContext,
	(*job).parseBuild,
	(*job).parseContexts,
	(*job).parseSource,
	(*job).parseNames,
	(*job).parseOutputs,
	(*job).parseCaches,
	(*job).parseSecrets,
	(*job).parseSSH,
	(*job).parseAttests,
	(*job).parseCompatibility,
	(*job).parseSteps,
	(*job).parseCall,
	(*job).parsePolicies,
	(*job).parseLogins,
	(*job).parseBuilder,
	(*job).parseRelease,
	(*job).parseReport,
	(*job).parseDisplay,
}

// agreements are what several parts settle together, each once all before it
// are sound.
var agreements = []func(*job, context.Context) error{
	(*job).settleOutputs,
	(*job).distrust,
	(*job).authorizeGit,
	(*job).settleTime,
	(*job).checkCacheTargets,
	(*job).checkBuildArgs,
}

// newJob is the door: it parses all options and gives every fault at once.
func newJob(ctx context.Context, env *cli.Env, o Options) (*job, error) {
	event, err := readEvent(ctx, env, len(o.Images) > 0)
	if err != nil {
		return nil, err
	}
	j := &job{env: env, event: event, options: o, started: env.Now(), cacheSecrets: cacheSecrets{}}
	var faults []error
	for _, parse := range parts {
		faults = append(faults, parse(j, ctx))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, settle := range agreements {
		if err := settle(j, ctx); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// readEvent is what the CI system tells. On a laptop a directory need not be a
// git repository to be built; deriving tags from one that is none is an error.
func readEvent(ctx context.Context, env *cli.Env, needed bool) (ci.Event, error) {
	event, err := env.Event(ctx)
	if err != nil && !needed && env.CI.Name() == "git" {
		return ci.Event{Provider: "git", Kind: ci.Other}, nil
	}
	return event, err
}

// hide keeps a value out of all that is printed from here on.
func (j *job) hide(value string) {
	if value != "" {
		j.hidden = append(j.hidden, value)
		j.env.CI.Mask(value)
	}
}

// warn tells of something that is likely not meant. With strict it is an error.
func (j *job) warn(input, format string, args ...any) error {
	if j.options.Strict {
		return errdefs.BadInputf(input, 0, format, args...).WithHint("strict makes this warning an error")
	}
	j.env.Warnf("%s", ci.Clean(fmt.Sprintf(format, args...)))
	return nil
}

// parseBuilder reads which builder is wanted.
func (j *job) parseBuilder(context.Context) error {
	spec, err := j.options.Options.Spec(j.env.Dir, j.env.Environ, j.env.CI.Name())
	if j.options.Builder != "" && j.options.Append != "" {
		err = errors.Join(err, errdefs.BadInputf("append", 0, "builder %q is used with the nodes that it has", j.options.Builder).
			WithHint("leave builder out, and one is made of these nodes; or hullwright setup --name %s makes it", j.options.Builder))
	}
	j.spec = spec.For(j.request.Platforms)
	return err
}

// parseNames fills in tags, labels and annotations: as they are written, or by
// metadata's rules where images are given.
func (j *job) parseNames(ctx context.Context) error {
	if len(j.options.Images) > 0 {
		return j.derive(ctx)
	}
	var errs []error
	var err error
	j.request.Tags, err = parseReferences("tags", j.options.Tags)
	errs = append(errs, err)
	j.request.Labels, err = parseLabels(j.options.Labels)
	errs = append(errs, err)
	j.request.Annotations, err = parseAnnotations(j.options.Annotations)
	errs = append(errs, err)
	if len(j.options.Flavor) > 0 {
		errs = append(errs, errdefs.BadInputf("flavor", 0, "flavor shapes derived tags, and there are no images to derive them for").
			WithHint("give images, or leave flavor out"))
	}
	return errors.Join(errs...)
}

// keyList is what a hint says of the keys of a record.
func keyList(keys []string) string { return "one of " + strings.Join(keys, ", ") }
