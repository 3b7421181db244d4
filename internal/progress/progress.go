// Package progress shows a build while it runs and keeps what a report needs
// of it.
//
// Begin with [Show], which reads BuildKit's status stream to its end.
package progress

import (
	"context"
	"io"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Show displays status on w, as mode says, until the channel is closed. For [TTY]
// w must be the terminal's *os.File. It drains the channel whatever happens, since a
// solve waits for its reader.
func Show(ctx context.Context, w io.Writer, mode Mode, status <-chan *client.SolveStatus) (Summary, error) {
	show, err := display(w, mode)
	if err != nil {
		for range status {
		}
		return Summary{}, err
	}
	rec := recorder{index: map[digest.Digest]int{}, tails: tails{}}
	shown := make(chan *client.SolveStatus)
	var group errgroup.Group
	group.Go(func() error {
		defer close(shown)
		for s := range status {
			rec.add(s)
			shown <- s
		}
		return nil
	})
	group.Go(func() error {
		// A canceled build still says how it ended.
		return show(context.WithoutCancel(ctx), shown)
	})
	err = group.Wait()
	rec.settle()
	return rec.summary, err
}

// recorder folds the stream's repeated news of a vertex into one step.
type recorder struct {
	summary Summary
	index   map[digest.Digest]int
	tails   tails
}

func (r *recorder) add(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		i, known := r.index[v.Digest]
		if !known {
			i = len(r.summary.Steps)
			r.index[v.Digest] = i
			r.summary.Steps = append(r.summary.Steps, Step{})
		}
		r.summary.Steps[i].record(v)
	}
	r.tails.add(s, func(step digest.Digest, last []string) {
		if i, known := r.index[step]; known {
			r.summary.Steps[i].Last = last
		}
	})
	for _, w := range s.Warnings {
		r.summary.Warnings = append(r.summary.Warnings, *w)
	}
}

func (r *recorder) settle() {
	for i := range r.summary.Steps {
		r.summary.Steps[i].settle()
	}
}
