package buildpush

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
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

	manager  *setup.Manager
	state    *setup.State
	registry *registry.Client
	keychain authn.Keychain
	guard    registry.Guard

	builder *setup.Builder
	plan    builder.Plan
	result  builder.Result
	built   bool // result is whole

	emulated bool // every platform was asked for its emulator
	tags     []registry.Written
	pushed   []builder.Pushed
}

// newJob parses all options and gives every fault at once.
func newJob(ctx context.Context, env *cli.Env, o Options) (*job, error) {
	event, err := readEvent(ctx, env, len(o.Images) > 0)
	if err != nil {
		return nil, err
	}
	j := &job{env: env, event: event, options: o, started: env.Now()}
	var errs []error
	check := func(err error) { errs = append(errs, err) }

	j.request.Context, err = parseContext(o.Context, o.File, env.Dir, event)
	check(err)
	j.request.Platforms, err = setup.ParsePlatforms(o.Platforms)
	check(err)
	j.request.BuildArgs, err = parseBuildArgs(o.BuildArgs, env.Environ)
	check(err)
	j.request.CacheFrom, err = parseCaches("cache-from", o.CacheFrom, false, env.Dir)
	check(err)
	j.request.CacheTo, err = parseCaches("cache-to", o.CacheTo, true, env.Dir)
	check(err)
	j.request.Secrets, err = parseSecrets(o, env.Dir, env.Environ)
	check(err)
	push, err := parsePush(o.Push, len(o.Images) > 0)
	check(err)
	j.request.Attests, err = attests(o, event)
	check(err)
	check(j.name(ctx))
	check(j.parseRelease(ctx))
	j.spec, err = o.Options.Spec(env.Dir, env.Environ)
	check(err)
	if push && len(j.request.Tags) == 0 && errors.Join(errs...) == nil {
		check(errdefs.BadInputf("tags", 0, "push needs a tag, and there is none").
			WithHint("give tags full references, or images and rules that suit this event; hullwright metadata shows what they give"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	j.request.Target, j.request.Pull, j.request.NoCache, j.request.Push = o.Target, o.Pull, o.NoCache, push
	j.request.VCS = builder.VCS{Source: event.Repository.URL, Revision: event.SHA}
	j.distrust()
	j.authorizeGit()
	for _, secret := range j.request.Secrets {
		env.CI.Mask(string(secret))
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

// name fills in tags, labels and annotations: as they are written, or by
// metadata's rules where images are given.
func (j *job) name(ctx context.Context) error {
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

// distrust takes from the request of a fork what would let a stranger write:
// the push and the export of cache.
func (j *job) distrust() {
	r := &j.request
	fork := j.event.Request != nil && j.event.Request.Fork
	if !fork || j.options.AllowUntrusted || !r.Push && len(r.CacheTo) == 0 {
		return
	}
	j.env.Warnf("request %d comes from a fork: it is built, and neither pushed nor its cache exported; allow-untrusted changes that", j.event.Request.Number)
	r.Push, r.CacheTo = false, nil
}

// authorizeGit lets BuildKit fetch the default context of a private repository.
// A token that the user gave as a secret wins.
func (j *job) authorizeGit() {
	host := strings.TrimPrefix(strings.TrimPrefix(j.event.ServerURL, "https://"), "http://")
	if j.options.token() == "" || j.request.Context.URL == "" || host == "" ||
		!strings.HasPrefix(j.request.Context.URL, j.event.ServerURL+"/"+j.event.Repository.Slug+".git") {
		return
	}
	for id := range j.request.Secrets {
		if id == "GIT_AUTH_TOKEN" || id == "GIT_AUTH_TOKEN."+host {
			return
		}
	}
	j.request.Secrets["GIT_AUTH_TOKEN."+host] = []byte(j.options.token())
}

// parsePush reads the input push. auto is true where the command does the whole
// job.
func parsePush(push string, wholeJob bool) (bool, error) {
	if push == "auto" {
		return wholeJob, nil
	}
	b, err := strconv.ParseBool(push)
	if err != nil {
		return false, errdefs.BadInputf("push", 0, "%q is no boolean", push).WithHint("one of true, false, auto")
	}
	return b, nil
}

// attests are the attestations to make, by type.
func attests(o Options, e ci.Event) (map[string]string, error) {
	attrs, err := provenance(o.Provenance, e)
	if attrs == "" {
		return nil, err
	}
	return map[string]string{"provenance": attrs}, err
}

// provenance is the attestation's attributes. mode=max records build arguments,
// so it is the default only where everyone may read the repository anyway.
func provenance(in string, e ci.Event) (string, error) {
	var attrs []string
	switch on, err := strconv.ParseBool(in); {
	case in == "" && e.Repository.Visibility == ci.Public:
		attrs = []string{"mode=max"}
	case in == "":
		attrs = []string{"mode=min", "inline-only=true"}
	case err == nil && !on:
		return "", nil
	case err == nil:
		attrs = []string{"mode=max"} // BuildKit's own default
	default:
		attrs = strings.Split(in, ",")
		for _, a := range attrs {
			if !strings.Contains(a, "=") {
				return "", errdefs.BadInputf("provenance", 0, "%q is no attribute; expected true, false or key=value", a).
					WithHint("for instance mode=max")
			}
		}
	}
	builderID := func(a string) bool { return strings.HasPrefix(a, "builder-id=") }
	if e.JobURL != "" && !slices.ContainsFunc(attrs, builderID) {
		attrs = append(attrs, "builder-id="+e.JobURL)
	}
	return strings.Join(attrs, ","), nil
}
