package login

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// Orphans finds credentials that logins of this user left behind, and takes them
// away: those whose login was killed, or whose lifetime is over. A directory of
// credentials that no login got round to using is one too. Looked through are the
// temporary directories, buildx's scopes and the configuration in force. It goes
// on after a failure; each orphan has its own.
func Orphans(ctx context.Context, h setup.Host, o setup.OrphanOptions) ([]setup.Orphan, error) {
	s := &sweep{host: h, options: o, buildx: registry.BuildxDirectory(h.Environ, h.Dir), runs: map[string]*leftover{}}
	for _, base := range setup.Temporary(h.Environ) {
		s.temporary(base)
	}
	s.scopes()
	s.journal(registry.ConfigDirectory(h.Environ, h.Dir))
	for _, run := range s.order {
		if ctx.Err() != nil {
			return s.found, ctx.Err()
		}
		s.judge(ctx, s.runs[run])
	}
	for _, dir := range s.unused {
		s.discard(dir)
	}
	return s.found, errors.Join(s.faults...)
}

// leftover is what is there of one run.
type leftover struct {
	run         string
	state       *State // nil where its file is lost
	directories []string
	things      []string
	made, ends  time.Time // as the journals have it
}

type sweep struct {
	host    setup.Host
	options setup.OrphanOptions
	buildx  string
	runs    map[string]*leftover
	order   []string
	unused  []string // directories that no login uses
	found   []setup.Orphan
	faults  []error
}

// of is what is there of a run; it is empty at first.
func (s *sweep) of(run string) *leftover {
	if s.runs[run] == nil {
		s.runs[run] = &leftover{run: run}
		s.order = append(s.order, run)
	}
	return s.runs[run]
}

func (s *sweep) temporary(base string) {
	states, _ := filepath.Glob(filepath.Join(base, statePrefix+"*")) // the patterns are well formed
	for _, dir := range states {
		if setup.Mine(dir) {
			s.state(dir)
		}
	}
	own, _ := filepath.Glob(filepath.Join(base, ownPrefix+"*"))
	for _, dir := range own {
		if setup.Mine(dir) && !s.journal(dir) {
			s.unusedSince(dir)
		}
	}
}

// state looks at a directory that was made for a state file.
func (s *sweep) state(dir string) {
	path := filepath.Join(dir, stateFile)
	state, err := OpenState(path)
	if err != nil || !setup.Mine(path) {
		files, err := os.ReadDir(dir)
		if err == nil && !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return !strings.HasPrefix(f.Name(), cutPrefix+stateFile) }) {
			s.unusedSince(dir)
		}
		return
	}
	s.see(state)
	for _, d := range state.doc.Directories {
		s.journal(d)
	}
}

func (s *sweep) see(state *State) {
	l := s.of(state.Run())
	l.state = state
	for _, d := range state.doc.Directories {
		if !slices.Contains(l.directories, d) {
			l.directories = append(l.directories, d)
		}
	}
}

// journal looks at a directory of credentials. It is false where it holds none.
func (s *sweep) journal(dir string) bool {
	if !setup.Mine(filepath.Join(dir, journal)) {
		return false
	}
	doc, err := readJournal(dir)
	if err != nil || doc == nil {
		return false // what can't be read is not known to be ours
	}
	for _, e := range doc.Logins {
		l := s.of(e.Run)
		if state, err := OpenState(e.State); err == nil && state.Run() == e.Run && setup.Mine(e.State) && l.state == nil {
			s.see(state)
		}
		l.made, l.ends = e.Made, e.Ends
		if !slices.Contains(l.directories, dir) {
			l.directories = append(l.directories, dir)
		}
		if thing := "credentials of " + oneLine(e.Key) + " in " + dir; !slices.Contains(l.things, thing) {
			l.things = append(l.things, thing)
		}
	}
	return len(doc.Logins) > 0
}

// scopes looks at the directories of logins for a part of a registry.
func (s *sweep) scopes() {
	err := filepath.WalkDir(filepath.Join(s.buildx, "config"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == journal {
			s.journal(filepath.Dir(path))
		}
		return nil // what can't be read is not ours
	})
	if err != nil {
		s.faults = append(s.faults, errdefs.New(errdefs.Environment, "look through %s: %w", s.buildx, err))
	}
}

// unusedAge is how old a directory is that no login is about to use.
const unusedAge = time.Minute

// unusedSince notes a directory that no login uses, if none is about to.
func (s *sweep) unusedSince(dir string) {
	if info, err := os.Stat(dir); err == nil && s.host.Now().Sub(info.ModTime()) >= unusedAge {
		s.unused = append(s.unused, dir)
	}
}

// judge takes away what a run left behind, if it did.
func (s *sweep) judge(ctx context.Context, l *leftover) {
	why := l.why(s.host.Now(), s.options.OlderThan)
	if why == "" {
		return
	}
	orphan := setup.Orphan{Kind: "login", ID: l.run, Why: why, Things: l.things}
	if l.state != nil {
		orphan.ID = l.state.Path()
	}
	if !s.options.DryRun {
		orphan.Err = l.undo(ctx, s.buildx)
	}
	s.found = append(s.found, orphan)
	s.unused = slices.DeleteFunc(s.unused, func(dir string) bool { return slices.Contains(l.directories, dir) })
}

// why says why a run counts as one that left things behind; empty where it does
// not.
func (l *leftover) why(now time.Time, older time.Duration) string {
	if l.state == nil {
		return setup.Outlived(now, l.made, l.ends, older)
	}
	d := l.state.doc
	switch {
	case d.Owner != nil && d.Owner.Runs():
		return ""
	case d.Owner != nil && d.Owner.Over():
		return "its login was killed"
	}
	return setup.Outlived(now, d.Made, d.Ends, older)
}

func (l *leftover) undo(ctx context.Context, buildx string) error {
	var faults []error
	for _, path := range slices.Backward(l.directories) {
		faults = append(faults, dropFrom(ctx, path, l.run, buildx))
	}
	if err := errors.Join(faults...); err != nil || l.state == nil {
		return err
	}
	return l.state.discard()
}

// dropFrom takes away what a run put into a directory, and what it left of the
// directory where it was killed before it put anything.
func dropFrom(ctx context.Context, path, run, buildx string) error {
	d, err := NamedDirectory(path)
	if err != nil {
		return err
	}
	d.base = filepath.Join(buildx, "config")
	if err = d.Drop(ctx, run); errors.Is(err, ErrNotOurs) {
		return d.clear(ctx)
	}
	return err
}

// clear removes what a killed login left of a directory that nothing was put
// into: the job's own as a whole, of another what we would have written.
func (d *Directory) clear(ctx context.Context) error {
	unlock, err := d.lock(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := readJournal(d.Path)
	switch {
	case err != nil:
	case doc == nil:
		err = d.removeCut()
	case doc.Own && len(doc.Logins) == 0 && strings.HasPrefix(filepath.Base(d.Path), ownPrefix):
		err = os.RemoveAll(d.Path) // links in it are removed, and not followed
	}
	return errors.Join(err, unlock())
}

// discard removes a directory that no login uses.
func (s *sweep) discard(dir string) {
	if !exists(dir) {
		return // it went with its login
	}
	orphan := setup.Orphan{Kind: "directory", ID: dir, Why: "its login was killed before it was done"}
	if !s.options.DryRun {
		orphan.Err = os.RemoveAll(dir)
	}
	s.found = append(s.found, orphan)
}

// Sweep is Orphans for a job that begins: each is told on h.Stderr. What can't be
// taken away is told and left, since this job does not depend on it.
func Sweep(ctx context.Context, h setup.Host) {
	found, err := Orphans(ctx, h, setup.OrphanOptions{})
	for _, o := range found {
		fmt.Fprintf(h.Stderr, "setup: orphan: %s %s: %s\n", o.Kind, o.ID, o.Why)
		err = errors.Join(err, o.Err)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(h.Stderr, "setup: warning: orphans are left: %v\n", err)
	}
}
