// Package progress shows a build while it runs and keeps what a report needs
// of it.
//
// Begin with [Show], which reads BuildKit's status stream to its end.
package progress

import (
	"context"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Step is one vertex of a build, as it ended.
type Step struct {
	Name      string
	Started   time.Time
	Completed time.Time
	Cached    bool
	Error     string // empty where it went well
	// Last are the last lines that the step printed, as it printed them. They are
	// kept only of one that did not go well.
	Last []string
}

// Duration is how long the step ran; 0 where it did not.
func (s Step) Duration() time.Duration {
	if s.Started.IsZero() || s.Completed.IsZero() {
		return 0
	}
	return s.Completed.Sub(s.Started)
}

// Summary is what a build's stream said.
type Summary struct {
	Steps    []Step // in the order of their first appearance
	Warnings []client.VertexWarning
}

// step is the name of a Dockerfile's step that does work: "[2/3] RUN make",
// "[linux/arm64 build 2/5] COPY . .". A FROM only resolves.
var step = regexp.MustCompile(`^\[(\S+ )*\d+/\d+\] (?:[^F]|F[^R])`)

// Cached counts the steps of a Dockerfile that do work, and those of them that
// came from the cache.
func (s Summary) Cached() (cached, total int) {
	for _, v := range s.Steps {
		if !step.MatchString(v.Name) {
			continue
		}
		total++
		if v.Cached {
			cached++
		}
	}
	return cached, total
}

// cacheExport is the name of a cache export's step, on one of several nodes too.
var cacheExport = regexp.MustCompile(`^(\[\S+\] )?exporting cache to `)

// CacheExportError is the error of a cache export that failed, and empty where
// none did. A solve does not fail for it where ignore-error is set, so the
// stream is the only place that tells.
func (s Summary) CacheExportError() string {
	for _, step := range s.Steps {
		if step.Error != "" && cacheExport.MatchString(step.Name) {
			return step.Name + ": " + step.Error
		}
	}
	return ""
}

// Show displays status on w until the channel is closed: live where w is a
// terminal (it must be an *os.File then), else as plain lines. It drains the
// channel whatever happens, since a solve waits for its reader.
func Show(ctx context.Context, w io.Writer, terminal bool, status <-chan *client.SolveStatus) (Summary, error) {
	mode := progressui.PlainMode
	if terminal {
		mode = progressui.TtyMode
	}
	display, err := progressui.NewDisplay(w, mode)
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
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), shown)
		return err
	})
	err = group.Wait()
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
		step := &r.summary.Steps[i]
		step.Name = v.Name
		step.Cached = step.Cached || v.Cached
		if v.Error != "" {
			step.Error = v.Error
		}
		if v.Started != nil && step.Started.IsZero() {
			step.Started = *v.Started
		}
		if v.Completed != nil {
			step.Completed = *v.Completed
		}
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

// Slowest are the n steps that ran longest, longest first.
func (s Summary) Slowest(n int) []Step {
	steps := slices.Clone(s.Steps)
	slices.SortStableFunc(steps, func(a, b Step) int { return int(b.Duration() - a.Duration()) })
	return steps[:min(n, len(steps))]
}
