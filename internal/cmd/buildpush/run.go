package buildpush

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// steps are the order of the work.
var steps = []struct {
	name string
	do   func(*job, context.Context) error
}{
	{"login", (*job).logIn},     // try the logins that were given
	{"load", (*job).settleLoad}, // ask the engine what it can take, where it is to load the image
	{"builder", (*job).prepare}, // find or make a builder, with emulation; ask git about the sources
	{"plan", (*job).makePlan},   // say what to do on which node
	{"build", (*job).build},     // build all platforms, push by digest
	{"answer", (*job).answer},   // print what the frontend was asked instead
	{"push", (*job).push},       // have an engine push what its own BuildKit built
	{"merge", (*job).merge},     // make one index of what several nodes pushed
	{"align", (*job).align},     // give every repository the same index
	{"release", (*job).release}, // read the index back, then point the tags to it, moving ones last; ask the nodes how they built
}

// skip is why a step was left out.
type skip string

func (s skip) Error() string { return string(s) }

func run(ctx context.Context, env *cli.Env, o Options) error {
	j, err := newJob(ctx, env, o)
	if err != nil {
		return err
	}
	if o.Plan {
		j.describeSource(ctx)
		return j.printPlan()
	}
	if err := j.open(); err != nil {
		if j.state == nil {
			return err
		}
		return errors.Join(err, j.close(ctx, err))
	}
	err = j.work(ctx)
	// People are told, and outputs are given, of a build that failed too.
	return errors.Join(err, j.summarize(err), j.giveOutputs(), j.keep(ctx), j.close(ctx, err))
}

func (j *job) work(ctx context.Context) error {
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return &errdefs.Error{Kind: errdefs.Canceled, Err: fmt.Errorf("stopped before %s: %w", step.name, err)}
		}
		err := step.do(j, ctx)
		var left skip
		if errors.As(err, &left) {
			fmt.Fprintf(j.env.Stderr, "%s: left out, %s\n", step.name, left)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// open makes what the steps share. The state file is known to the clean-up
// step before anything is made.
func (j *job) open() error {
	j.openRegistry()
	j.manager = j.host(j.env.Stderr)
	path, err := j.statePath()
	if err != nil {
		return err
	}
	if j.state, err = setup.OpenState(path); err != nil {
		return err
	}
	if saver, ok := j.env.CI.(ci.StateSaver); ok {
		if err := saver.SaveState("hullwright-state", path); err != nil {
			return err
		}
	}
	return j.openLogs()
}

// statePath is where the state file is.
func (j *job) statePath() (string, error) {
	if j.options.State != "" {
		return absolute(j.options.State, j.env.Dir), nil
	}
	return setup.NewStatePath(j.env.Environ)
}

// closeTimeout bounds the clean-up of a run that was told to stop: runners kill
// what is left after some ten seconds.
const closeTimeout = 5 * time.Second

// close undoes what this run made. After a release that did not end well the
// state file stays and says which tags are written.
func (j *job) close(ctx context.Context, failure error) error {
	if j.builder != nil {
		var closed sync.WaitGroup
		closed.Go(func() { j.builder.Close() }) // the daemon that is at its other end may be gone already
		if j.builder.Made {
			closed.Wait() // before the builder is removed
		}
		defer closed.Wait()
	}
	path := j.state.Path()
	clean := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		clean, cancel = context.WithTimeout(clean, closeTimeout)
		defer cancel()
	}
	err := j.manager.Teardown(clean, path)
	if errors.Is(err, setup.ErrNoState) {
		return nil // a canceled job's clean-up step was quicker
	}
	if err != nil {
		return fmt.Errorf("clean up (hullwright teardown %s tries again): %w", path, err)
	}
	if failure == nil || len(j.tags) == 0 {
		return nil
	}
	kept, err := setup.OpenState(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.env.Stderr, "the state of the tags is in %s\n", path)
	return kept.Note("tags", j.tags)
}
