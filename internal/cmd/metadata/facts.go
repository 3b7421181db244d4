package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/meta"
)

// gather collects what the rules are applied to, and no more than they need:
// the checkout and the API are asked only for what the event does not tell.
func gather(ctx context.Context, env *cli.Env, o Options, rules meta.Rules) (meta.Facts, error) {
	now, err := env.Clock()
	if err != nil {
		return meta.Facts{}, err
	}
	event, err := env.CI.Event(ctx)
	if err != nil {
		return meta.Facts{}, err
	}
	for _, n := range event.Notices {
		n.Message = ci.Clean(n.Message)
		env.Notice(n)
	}
	facts := meta.NewFacts(event, now)
	facts.Local = local(env)
	if o.Context == "git" {
		err = fromCheckout(ctx, env, &facts)
	} else {
		if o.wantsHead() && event.Request != nil {
			facts.SHA = event.HeadSHA
		}
		if rules.NeedsCommitTime() {
			facts.CommitTime = commitTime(ctx, env, o, facts)
		}
	}
	if err != nil {
		return meta.Facts{}, err
	}
	if err := fromHistory(ctx, env, o, rules, &facts); err != nil {
		return meta.Facts{}, err
	}
	facts.Repository, err = repository(ctx, env, o, rules, event)
	return facts, err
}

// fromHistory asks the checkout for what only it knows, where a rule needs it.
func fromHistory(ctx context.Context, env *cli.Env, o Options, rules meta.Rules, facts *meta.Facts) (err error) {
	if rules.NeedsCommitCount() {
		if facts.CommitCount, err = commitCount(ctx, env, facts.SHA); err != nil {
			return err
		}
	}
	switch o.GuardLatest {
	case "git":
		facts.Versions, err = gitTags(ctx, env)
	case "registry":
		facts.Published, err = publishedTags(ctx, env, o, rules)
	}
	if err != nil {
		return err
	}
	facts.ImageLabels, err = dockerfileLabels(env, o.Dockerfile)
	return err
}

// publishedTags are the tags of all images.
func publishedTags(ctx context.Context, env *cli.Env, o Options, rules meta.Rules) ([]string, error) {
	images := rules.Images()
	switch {
	case o.list == nil:
		return nil, errdefs.BadInputf("guard-latest", 0, "metadata as a program of its own reaches no registry").
			WithHint("hullwright metadata does; or use git, with the tags checked out")
	case len(images) == 0:
		return nil, errdefs.BadInputf("guard-latest", 0, "without images there is no registry to ask")
	}
	var all []string
	for _, image := range images {
		tags, err := o.list(ctx, env, image)
		if err != nil {
			return nil, err
		}
		all = append(all, tags...)
	}
	return all, nil
}

// dockerfileCap is the size of the largest Dockerfile that is read.
const dockerfileCap = 1 << 20

// dockerfileLabels are the labels that a Dockerfile sets; without one, none.
func dockerfileLabels(env *cli.Env, path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errdefs.BadInputf("keep-labels-of", 0, "%w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, dockerfileCap+1))
	if err == nil && len(raw) > dockerfileCap {
		err = fmt.Errorf("%s: larger than %d bytes", path, dockerfileCap)
	}
	if err != nil {
		return nil, errdefs.BadInputf("keep-labels-of", 0, "%w", err)
	}
	return meta.DockerfileLabels(string(raw)), nil
}

// fromCheckout takes ref and commit from the repository in the working
// directory. Event and payload stay the CI system's.
func fromCheckout(ctx context.Context, env *cli.Env, facts *meta.Facts) error {
	head, err := ci.Head(ctx, host(env))
	if err != nil {
		return err
	}
	facts.Ref, facts.SHA, facts.CommitTime = head.Ref, head.SHA, head.CommitTime
	return nil
}

// commitTime is when the commit was made: as the event tells, else as the
// checkout or the API does, else now.
func commitTime(ctx context.Context, env *cli.Env, o Options, facts meta.Facts) time.Time {
	if t, known := facts.Event.CommitTimeAt(facts.SHA); known {
		return t
	}
	if t, err := ci.CommitTime(ctx, host(env), facts.SHA); err == nil {
		return t
	}
	if d, ok := env.CI.(ci.Describer); ok && o.token() != "" {
		t, err := d.CommitTime(ctx, facts.Event, facts.SHA, o.token())
		if err == nil {
			return t
		}
		note(env, "commit time not known, now is taken for it: %v", err)
	}
	return facts.Now
}

// repository describes the repository. The payload of most events has all of
// it; where it has not, the API is asked. An API that gives no answer fails a
// run only if a rule can't do without it.
func repository(ctx context.Context, env *cli.Env, o Options, rules meta.Rules, event ci.Event) (ci.Repository, error) {
	d, ok := env.CI.(ci.Describer)
	if !ok || event.Described || o.token() == "" {
		return event.Repository, nil
	}
	if event.Repository.Slug == "" {
		return ci.Repository{}, errdefs.New(errdefs.BadInput, "context.repo requires a GITHUB_REPOSITORY environment variable like 'owner/repo'")
	}
	told, err := d.Describe(ctx, event, o.token())
	var unanswered *ci.Unanswered
	if !errors.As(err, &unanswered) {
		return told, err
	}
	if rules.NeedsDefaultBranch() && event.Repository.DefaultBranch == "" {
		return ci.Repository{}, fmt.Errorf("the rule type=edge needs the default branch: %w", err)
	}
	env.Warnf("GitHub's API gave no answer; description and license are left empty: %v", err)
	return event.Repository, nil
}

// local is the machine's time zone, as TZ names it.
func local(env *cli.Env) *time.Location {
	name := env.Environ["TZ"]
	if name == "" {
		return time.Local
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

func host(env *cli.Env) ci.Host {
	return ci.Host{Environ: env.Environ, Stdout: env.Stdout, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now}
}
