package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// command is a program as a person would start it.
type command struct {
	args []string // the program and its arguments
	env  []string // beside the lab's
}

// sample is what one run took.
type sample struct {
	wall time.Duration
	peak int64 // bytes of resident memory, of the program itself
}

// contender is one side of a comparison. run measures one run, and prepares and
// cleans up outside of what it measures.
type contender struct {
	name string
	run  func(context.Context) (sample, error)
}

func (l *lab) contender(name string, c command) contender {
	return contender{name, func(ctx context.Context) (sample, error) { return l.run(ctx, c) }}
}

// alternate runs the contenders in turn, A B A B, so that what else the machine
// does falls on all of them alike. The first turn warms up and is not counted.
// It gives n samples a contender.
func alternate(ctx context.Context, l *lab, n int, contenders ...contender) ([][]sample, error) {
	samples := make([][]sample, len(contenders))
	for turn := range n + 1 {
		for i, c := range contenders {
			s, err := c.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if turn == 0 {
				continue
			}
			samples[i] = append(samples[i], s)
			l.detailf("%s: %.3f s, %.1f MiB", c.name, s.wall.Seconds(), float64(s.peak)/(1<<20))
		}
	}
	return samples, nil
}

// grace is how long a program may take to end once it was told to.
const grace = 10 * time.Second

// run measures a command. An error has the end of what it printed.
func (l *lab) run(ctx context.Context, c command) (sample, error) {
	out, err := os.Create(filepath.Join(l.dir, "output"))
	if err != nil {
		return sample{}, err
	}
	defer out.Close()
	p := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	p.Dir, p.Env = l.dir, append(l.env[:len(l.env):len(l.env)], c.env...)
	p.Stdout, p.Stderr = out, out // a file, so that reading it costs nothing here
	// A group of its own: a signal to ours is ours to pass on.
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	p.WaitDelay = grace
	start := time.Now()
	err = p.Run()
	s := sample{wall: time.Since(start)}
	if ctx.Err() != nil {
		return s, errdefs.New(errdefs.KindOf(ctx.Err()), "%s: stopped: %w", c, ctx.Err())
	}
	if err != nil {
		return s, errdefs.New(errdefs.Environment, "%s: %w%s", c, err, tail(out.Name()))
	}
	usage, ok := p.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return s, errors.New("the system does not say what memory a process had")
	}
	// Linux counts in KiB, and counts from what this process had when it
	// started the other (setmax_mm_hiwater_rss in the kernel's fs/exec.c): bench
	// must stay smaller than what it measures.
	s.peak = usage.Maxrss << 10
	return s, nil
}

// runAndUndo measures a command and then, measured no more, undoes what it
// made, also where it failed.
func (l *lab) runAndUndo(ctx context.Context, c, undo command) (sample, error) {
	s, err := l.run(ctx, c)
	return s, errors.Join(err, l.runLast(undo))
}

// runLast runs a command that cleans up, also in a run that was told to stop.
func (l *lab) runLast(c command) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := l.run(ctx, c)
	return err
}

// String is the command as errors name it.
func (c command) String() string {
	return strings.Join(append([]string{filepath.Base(c.args[0])}, c.args[1:min(len(c.args), 3)]...), " ")
}

// tail is the end of a file, below an error's first line; empty where there is
// nothing to read.
func tail(path string) string {
	raw, _ := os.ReadFile(path) // an unreadable output adds nothing to the error
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	lines = lines[max(0, len(lines)-15):]
	if len(lines[0]) == 0 {
		return ""
	}
	return "\n  " + string(bytes.Join(lines, []byte("\n  ")))
}
