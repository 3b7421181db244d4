package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// bind sets what the common inputs decide: the provider and where outputs go.
func (e *Env) bind(c *Common, reports bool) error {
	provider, err := ci.Detect(ci.Host{
		Environ:    e.Environ,
		Stdout:     e.Stdout,
		Stderr:     e.Stderr,
		Dir:        e.Dir,
		Secrets:    e.Secrets,
		DotenvFile: c.DotenvFile,
	}, c.Provider)
	if err != nil {
		return err
	}
	e.CI = provider
	e.outputs = &outputs{
		file:   c.OutputsFile,
		values: map[string]string{},
		quiet:  reports && c.DotenvFile == "" && provider.Name() == "git",
	}
	if e.outputs.file != "" && !filepath.IsAbs(e.outputs.file) {
		e.outputs.file = filepath.Join(e.Dir, e.outputs.file)
	}
	return nil
}

// Event is what made the CI system run, its notices shown.
func (e *Env) Event(ctx context.Context) (ci.Event, error) {
	event, err := e.CI.Event(ctx)
	if err != nil {
		return ci.Event{}, err
	}
	for _, n := range event.Notices {
		n.Message = ci.Clean(n.Message)
		e.Notice(n)
	}
	return event, nil
}

// Clock is the time of the run for what a build records: SOURCE_DATE_EPOCH
// (seconds since 1970) where it is set, so that the same commit gives the same
// bytes again, else now.
func (e *Env) Clock() (time.Time, error) {
	epoch := e.Environ["SOURCE_DATE_EPOCH"]
	if epoch == "" {
		return e.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}, errdefs.New(errdefs.BadInput, "SOURCE_DATE_EPOCH %q: must be seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799

// Notice shows a notice in the CI system's own way where it has one, and
// always on stderr.
func (e *Env) Notice(n ci.Notice) {
	if noticer, ok := e.CI.(ci.Noticer); ok {
		noticer.Notice(n)
		return
	}
	fmt.Fprintf(e.Stderr, "%s: %s\n", n.Level, ci.Clean(n.Message))
}

// Warnf is a Notice of level warning without a place.
func (e *Env) Warnf(format string, args ...any) {
	e.Notice(ci.Notice{Level: ci.Warning, Message: fmt.Sprintf(format, args...)})
}

// Group folds what do prints under a title, where the CI system can fold.
func (e *Env) Group(title string, do func() error) error {
	if g, ok := e.CI.(ci.Grouper); ok {
		g.StartGroup(e.Stderr, title)
		defer g.EndGroup(e.Stderr)
	} else if !e.Terminal {
		fmt.Fprintln(e.Stderr, ci.Clean(title))
	}
	return do()
}

// outputs are the values given so far, for --outputs-file.
type outputs struct {
	file   string
	values map[string]string
	quiet  bool // the verb's report says it all, and there is no later step
}

func (o *outputs) set(e *Env, name, value string) error {
	o.values[name] = value
	if o.quiet {
		return nil
	}
	err := e.CI.Output(name, value)
	var inexpressible *ci.Inexpressible
	if errors.As(err, &inexpressible) {
		if o.file == "" {
			e.Warnf("%v; name a file with outputs-file to have it", err)
		}
		return nil
	}
	return err
}

// write leaves the outputs file whole or as it was.
func (o *outputs) write() error {
	if o == nil || o.file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(o.values, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicwriter.WriteFile(o.file, append(raw, '\n'), 0o644); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "outputs-file", Err: err}
	}
	return nil
}

// environMap reads "KEY=value" entries as os.Environ gives them.
func environMap(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
			m[k] = v
		}
	}
	return m
}
