package buildpush

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// build solves. Meanwhile it asks the registries whether they will take the
// tags, since a build of an hour shall not end with a password that was wrong,
// and proves the emulators that were there before.
func (j *job) build(ctx context.Context) error {
	if len(j.plan.Solves[0].Exports) == 0 && j.request.Call.Method == "" {
		j.env.Warnf("nothing to push to: the result stays in the builder's cache")
	}
	stdout, err := j.fileStdout()
	if err != nil {
		return err
	}
	err = j.env.Group(j.title(), func() error {
		var proof held // told after the display has ended
		defer func() { proof.tell(j.env.Stderr) }()
		shown, err := j.foreign()
		if err != nil {
			return err
		}
		defer shown.Close()
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return j.emulateBeside(ctx, j.host(&proof)) })
		if j.request.Push {
			group.Go(func() error { return builder.Probe(ctx, j.registry, j.request) })
		}
		group.Go(func() error { return j.solve(ctx, shown, stdout) })
		return group.Wait()
	})
	if err != nil {
		j.tellLeft()
	}
	return err
}

// solve has the builder do the plan.
func (j *job) solve(ctx context.Context, shown, stdout io.Writer) error {
	machine := ""
	var err error
	if !j.builder.Made { // one that was there may be other machines', too
		if machine, err = j.manager.MachineID(); err != nil {
			return err
		}
	}
	j.result, err = builder.Build(ctx, j.node, j.plan, builder.Session{
		Secrets:      j.request.Secrets,
		Credentials:  buildkitCredentials(j.memory, j.env.Now),
		Tokens:       j.registry.Token,
		CacheSecrets: j.cacheLogin,
		Progress:     shown,
		Display:      j.display,
		Stdin:        j.env.Stdin,
		Stdout:       stdout,
		Load:         j.load,
		Environ:      j.env.Environ,
		Dial:         j.dial,
		Machine:      machine,
		Executable:   j.env.Executable,
		Secrecy:      j.env.Secrets,
		Logs:         j.logs,
	})
	j.built = err == nil
	return err
}

// held is what is told later. A pull that was given up may still write to it.
type held struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (h *held) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *held) tell(w io.Writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.WriteTo(w)
}

// title is what is built, and where, if that is in more than one place.
func (j *job) title() string {
	parts := make([]string, len(j.plan.Solves))
	for i, s := range j.plan.Solves {
		parts[i] = strings.Join(s.Platforms, ", ")
		if len(parts) > 1 {
			parts[i] += " on " + s.Node
		}
	}
	return strings.TrimSpace("Build " + strings.Join(parts, "; "))
}

// tellLeft names what nodes pushed before another one failed: it has no tag, and
// no index has it.
func (j *job) tellLeft() {
	for _, p := range j.result.Parts {
		if p.Digest.Hex == "" || !j.request.Push {
			continue
		}
		for _, repo := range j.request.Destinations() {
			fmt.Fprintf(j.env.Stderr, "left without a tag: %s@%s (%s)\n", repo, p.Digest, strings.Join(p.Platforms, ", "))
		}
	}
}

// node gives the connection to a node of the builder.
func (j *job) node(name string) (*client.Client, error) {
	for _, n := range j.builder.Nodes {
		if n.Name == name {
			return j.builder.Client(n), nil
		}
	}
	return nil, errdefs.New(errdefs.Environment, "builder %s has no node %s", j.builder.Name, name)
}

// dial makes a further connection to a node of the builder.
func (j *job) dial(ctx context.Context, name string) (net.Conn, error) {
	for _, n := range j.builder.Nodes {
		if n.Name == name {
			return j.builder.Dial(ctx, n)
		}
	}
	return nil, errdefs.New(errdefs.Environment, "builder %s has no node %s", j.builder.Name, name)
}

// foreign is where the build's own text goes: to the terminal itself, where the
// display draws, and elsewhere behind the CI system's fence. JSON commands no CI
// system, and a line of it may be longer than a fence lets through.
func (j *job) foreign() (io.WriteCloser, error) {
	switch f, isFile := j.env.Stderr.(*os.File); {
	case j.display == progress.TTY && isFile:
		return terminal{f}, nil
	case j.display == progress.RawJSON:
		return keepOpen{j.env.Stderr}, nil
	}
	return ci.Foreign(j.env.CI, j.env.Stderr)
}

// terminal is one that a display does not close.
type terminal struct{ *os.File }

func (terminal) Close() error { return nil }

// keepOpen is a stream that a display does not close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }
