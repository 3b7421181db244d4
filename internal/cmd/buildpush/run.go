package buildpush

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/report"
	"github.com/hullwright/hullwright/internal/setup"
)

// steps are the order of the work.
var steps = []struct {
	name string
	do   func(*job, context.Context) error
}{
	{"builder", (*job).prepare},   // find or make a builder, with emulation
	{"plan", (*job).makePlan},     // say what to do on which node
	{"build", (*job).build},       // build all platforms, push by digest
	{"align", (*job).align},       // give every repository the same index
	{"release", (*job).release},   // read the index back, then point the tags to it, moving ones last
	{"summary", (*job).summarize}, // tell people
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
		return j.printPlan()
	}
	if err := j.open(); err != nil {
		return err
	}
	err = j.work(ctx)
	return errors.Join(err, j.giveOutputs(), j.close(ctx, err))
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

// printPlan plans for the nodes that there will be; it asks nobody.
func (j *job) printPlan() error {
	plan, err := builder.NewPlan(j.request, nil)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(j.env.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(plan)
}

// open makes what the steps share. The state file is known to the clean-up
// step before anything is made.
func (j *job) open() error {
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
	j.keychain = registry.Keychain(j.env.Environ, j.env.Dir)
	j.manager = j.host(j.env.Stderr)
	j.registry = registry.New(
		registry.WithKeychain(j.keychain),
		registry.WithTransport(registry.Transport(j.env.Environ)),
		registry.WithRetryLog(func(line string) { fmt.Fprintln(j.env.Stderr, line) }),
	)
	return nil
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
		j.builder.Close() // the daemon that is at its other end may be gone already
	}
	path := j.state.Path()
	clean := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		clean, cancel = context.WithTimeout(clean, closeTimeout)
		defer cancel()
	}
	err := j.manager.Teardown(clean, path)
	if errors.Is(err, fs.ErrNotExist) {
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

// prepare finds the builder or makes one for this run, and sees to emulation.
func (j *job) prepare(ctx context.Context) error {
	return j.env.Group("Builder", func() error {
		var err error
		if j.builder, err = j.findOrMake(ctx); err != nil {
			return err
		}
		if builder.Lists(j.builder.Nodes, j.request.Platforms) {
			return nil // emulators that are there are proved beside the build
		}
		return j.emulate(ctx, j.env.Stderr)
	})
}

// emulate sees to it that every platform runs, and proves it.
func (j *job) emulate(ctx context.Context, w io.Writer) error {
	j.emulated = true
	_, err := j.host(w).Emulate(ctx, j.builder, j.request.Platforms, j.spec.BinfmtImage, j.state)
	return err
}

// host is a manager of this machine's builders that says what it does on w.
func (j *job) host(w io.Writer) *setup.Manager {
	return setup.New(setup.Host{Environ: j.env.Environ, Stderr: w, Dir: j.env.Dir, Now: j.env.Now})
}

func (j *job) findOrMake(ctx context.Context) (*setup.Builder, error) {
	if j.options.Builder != "" {
		return j.manager.Find(ctx, j.options.Builder)
	}
	if j.options.Driver == "" {
		found, err := j.manager.Find(ctx, "")
		if !errors.Is(err, setup.ErrNoBuilder) {
			return found, err
		}
	}
	return j.manager.Ensure(ctx, j.spec, j.state)
}

func (j *job) makePlan(context.Context) error {
	j.request.CacheFrom = j.present(j.request.CacheFrom)
	var err error
	j.plan, err = builder.NewPlan(j.request, j.builder.Nodes)
	return err
}

// present leaves out local caches that are not there yet, as in every first
// run; BuildKit's client would make an empty directory of each.
func (j *job) present(caches []builder.Cache) []builder.Cache {
	var kept []builder.Cache
	for _, c := range caches {
		if src := c.Attrs["src"]; c.Type == "local" {
			if _, err := os.Stat(filepath.Join(src, "index.json")); err != nil {
				fmt.Fprintf(j.env.Stderr, "cache-from: left out, %s holds no cache\n", src)
				continue
			}
		}
		kept = append(kept, c)
	}
	return kept
}

// build solves. Meanwhile it asks the registries whether they will take the
// tags, since a build of an hour shall not end with a password that was wrong,
// and proves the emulators that were there before.
func (j *job) build(ctx context.Context) error {
	node, err := j.node()
	if err != nil {
		return err
	}
	if len(j.plan.Solve.Exports) == 0 {
		j.env.Warnf("nothing to push to: the result stays in the builder's cache")
	}
	title := "Build " + strings.Join(j.plan.Solve.Platforms, ", ")
	return j.env.Group(strings.TrimSpace(title), func() error {
		var proof bytes.Buffer // told after the display has ended
		defer func() { proof.WriteTo(j.env.Stderr) }()
		progress, err := j.foreign()
		if err != nil {
			return err
		}
		defer progress.Close()
		group, ctx := errgroup.WithContext(ctx)
		if !j.emulated {
			group.Go(func() error { return j.emulate(ctx, &proof) })
		}
		if j.request.Push {
			group.Go(func() error { return builder.Probe(ctx, j.registry, j.request) })
		}
		group.Go(func() error {
			var err error
			j.result, err = builder.Build(ctx, j.builder.Client(node), j.plan.Solve, builder.Session{
				Secrets:     j.request.Secrets,
				Credentials: buildkitCredentials(j.keychain),
				Progress:    progress,
				Terminal:    j.env.Terminal,
			})
			j.built = err == nil
			return err
		})
		return group.Wait()
	})
}

func (j *job) node() (setup.Node, error) {
	for _, n := range j.builder.Nodes {
		if n.Name == j.plan.Solve.Node {
			return n, nil
		}
	}
	return setup.Node{}, errdefs.New(errdefs.Environment, "builder %s has no node %s", j.builder.Name, j.plan.Solve.Node)
}

// foreign is where the build's own text goes: to the terminal itself, where the
// display draws, and elsewhere behind the CI system's fence.
func (j *job) foreign() (io.WriteCloser, error) {
	if f, ok := j.env.Stderr.(*os.File); ok && j.env.Terminal {
		return keepOpen{f}, nil
	}
	return ci.Foreign(j.env.CI, j.env.Stderr)
}

// keepOpen is a terminal that a display does not close.
type keepOpen struct{ *os.File }

func (keepOpen) Close() error { return nil }

func (j *job) align(ctx context.Context) error {
	if len(j.plan.Align) == 0 {
		return nil
	}
	return builder.Align(ctx, j.registry, j.request, j.result.Digest)
}

func (j *job) release(ctx context.Context) error {
	if !j.request.Push {
		return skip("the image is not pushed")
	}
	var err error
	j.tags, j.pushed, err = builder.Release(ctx, j.registry, j.request, j.result.Digest, func(rows []registry.Written) error {
		return j.state.Note("tags", rows)
	})
	return err
}

func (j *job) summarize(context.Context) error {
	if failed := j.result.Summary.CacheExportError(); failed != "" {
		j.env.Warnf("cache-to: %s", failed)
	}
	r := report.Build{
		Builder: j.builder.Name, Driver: j.builder.Driver,
		Pushed: j.pushed, Tags: j.tags, Summary: j.result.Summary,
		Duration: j.env.Now().Sub(j.started),
	}
	if j.request.Push {
		r.Digest = j.result.Digest.String()
	}
	if s, ok := j.env.CI.(ci.Summarizer); ok {
		if err := s.Summary(r.Markdown()); err != nil {
			j.env.Warnf("%v", err)
		}
	}
	return r.Text(j.env.Stdout)
}

// giveOutputs hands on what there is, also after a failure: a later step may
// need the digest of an index whose tags were denied.
func (j *job) giveOutputs() error {
	var pushed []string
	for _, t := range j.tags {
		if t.Status == "written" || t.Status == "unchanged" {
			pushed = append(pushed, t.Tag)
		}
	}
	outputs := [][2]string{
		{"version", j.version},
		{"tags", strings.Join(pushed, "\n")},
		{"pushed", strconv.FormatBool(len(j.pushed) > 0)},
	}
	if j.builder != nil {
		outputs = append(outputs, [2]string{"builder", j.builder.Name})
	}
	if j.built {
		metadata, err := j.result.Metadata(j.builder.Name, j.plan.Solve.Node, j.request.Tags)
		if err != nil {
			return err
		}
		if path := j.options.MetadataFile; path != "" {
			if err := atomicwriter.WriteFile(absolute(path, j.env.Dir), metadata, 0o644); err != nil {
				return &errdefs.Error{Kind: errdefs.Environment, Input: "metadata-file", Err: err}
			}
		}
		outputs = append(outputs,
			[2]string{"imageid", j.result.ImageID()},
			[2]string{"digest", j.result.Response["containerimage.digest"]},
			[2]string{"metadata", string(metadata)},
			[2]string{"cache-exported", strconv.FormatBool(len(j.request.CacheTo) > 0 && j.result.Summary.CacheExportError() == "")},
		)
	}
	for _, o := range outputs {
		if err := j.env.Output(o[0], o[1]); err != nil {
			return err
		}
	}
	return nil
}
