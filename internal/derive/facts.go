package derive

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

// Facts collects what the rules are applied to on an event, and no more than
// they need: the checkout, the API and registries are asked only for what the
// event does not tell.
func (s Switches) Facts(ctx context.Context, env *cli.Env, event ci.Event, rules meta.Rules, src Sources) (meta.Facts, error) {
	now, err := env.Clock()
	if err != nil {
		return meta.Facts{}, err
	}
	facts := meta.NewFacts(event, now)
	facts.Local = Zone(env)
	if src.Checkout {
		err = fromCheckout(ctx, env, &facts)
	} else {
		if s.wantsHead() && event.Request != nil {
			facts.SHA = event.HeadSHA
		}
		if rules.NeedsCommitTime() {
			facts.CommitTime = commitTime(ctx, env, src, facts)
		}
	}
	if err != nil {
		return meta.Facts{}, err
	}
	if err := s.History(ctx, env, rules, src, &facts); err != nil {
		return meta.Facts{}, err
	}
	facts.Repository, err = repository(ctx, env, src, rules, event)
	return facts, err
}

// History fills in what the event can't tell: commits and tags before this one,
// and labels of the Dockerfile, where a rule or a switch asks for them.
func (s Switches) History(ctx context.Context, env *cli.Env, rules meta.Rules, src Sources, facts *meta.Facts) (err error) {
	if rules.NeedsCommitCount() {
		if facts.CommitCount, err = ci.CommitCount(ctx, host(env), facts.SHA); err != nil {
			return err
		}
	}
	switch s.GuardLatest {
	case "git":
		facts.Versions, err = ci.GitTags(ctx, host(env))
	case "registry":
		facts.Published, err = publishedTags(ctx, env, src, rules)
	}
	if err != nil {
		return err
	}
	facts.ImageLabels, err = dockerfileLabels(env, s.Dockerfile)
	return err
}

// publishedTags are the tags of all images.
func publishedTags(ctx context.Context, env *cli.Env, src Sources, rules meta.Rules) ([]string, error) {
	images := rules.Images()
	switch {
	case src.List == nil:
		return nil, errdefs.BadInputf("guard-latest", 0, "metadata as a program of its own reaches no registry").
			WithHint("hullwright metadata does; or use git, with the tags checked out")
	case len(images) == 0:
		return nil, errdefs.BadInputf("guard-latest", 0, "without images there is no registry to ask")
	}
	var all []string
	for _, image := range images {
		tags, err := src.List(ctx, env, image)
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
func commitTime(ctx context.Context, env *cli.Env, src Sources, facts meta.Facts) time.Time {
	if t, known := facts.Event.CommitTimeAt(facts.SHA); known {
		return t
	}
	if t, err := ci.CommitTime(ctx, host(env), facts.SHA); err == nil {
		return t
	}
	if d, ok := env.CI.(ci.Describer); ok && src.Token != "" {
		t, err := d.CommitTime(ctx, facts.Event, facts.SHA, src.Token)
		if err == nil {
			return t
		}
		fmt.Fprintf(env.Stderr, "note: commit time not known, now is taken for it: %s\n", ci.Clean(err.Error()))
	}
	return facts.Now
}

// repository describes the repository. The payload of most events has all of
// it; where it has not, the API is asked. An API that gives no answer fails a
// run only if a rule can't do without it.
func repository(ctx context.Context, env *cli.Env, src Sources, rules meta.Rules, event ci.Event) (ci.Repository, error) {
	d, ok := env.CI.(ci.Describer)
	if !ok || event.Described || src.Token == "" {
		return event.Repository, nil
	}
	if event.Repository.Slug == "" {
		return ci.Repository{}, errdefs.New(errdefs.BadInput, "context.repo requires a GITHUB_REPOSITORY environment variable like 'owner/repo'")
	}
	told, err := d.Describe(ctx, event, src.Token)
	var unanswered *ci.Unanswered
	if !errors.As(err, &unanswered) {
		return told, err
	}
	if rules.NeedsDefaultBranch() && event.Repository.DefaultBranch == "" {
		return ci.Repository{}, fmt.Errorf("the rule type=edge needs the default branch: %w", err)
	}
	env.Warnf("%s's API gave no answer; description and license are left empty: %v", forge(event.Provider), err)
	return event.Repository, nil
}

// forge is the name that people know a provider by.
func forge(provider string) string {
	if provider == "github" {
		return "GitHub"
	}
	return provider
}

// Zone is the machine's time zone, as TZ names it.
func Zone(env *cli.Env) *time.Location {
	name := env.Environ["TZ"]
	if name == "" {
		return time.Local
	}
	found, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return found
}

func host(env *cli.Env) ci.Host {
	return ci.Host{Environ: env.Environ, Stdout: env.Stdout, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now}
}
