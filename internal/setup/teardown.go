package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// errGone is the undoing of what is gone already, errNotOurs of what turned out
// to be somebody else's; both count as done.
var (
	errGone    = errors.New("gone already")
	errNotOurs = errors.New("left, since somebody else made it")
)

// ErrNoState is in the tree of Teardown's error where there is no such state file.
// What a state file tells of may be missing, too: an engine's socket, say.
var ErrNoState = errors.New("no state file")

// Teardown undoes everything that the state file at path says was made, newest
// first, and removes the file. What is gone already is no error. It goes on
// after a failure, and returns all of them joined; the file then keeps what is
// left. It is an errdefs.BadInput of input "state" where there is no such file,
// with ErrNoState in its tree, or it is none that this program wrote.
func (m *Manager) Teardown(ctx context.Context, path string) error {
	return m.teardownIf(ctx, path, func(*State) bool { return true })
}

// teardownIf is Teardown of a state that still is what it was taken for when
// nobody else can change it any more.
func (m *Manager) teardownIf(ctx context.Context, path string, still func(*State) bool) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	unlock, err := lockTeardown(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errdefs.BadInputf("state", 0, "%w: %w", ErrNoState, err)
	}
	if err != nil {
		return err
	}
	if !still(s) {
		return nil
	}
	if err := m.undo(ctx, s, 0); err != nil {
		return err
	}
	return s.discard()
}

// lockTeardown keeps another process from undoing the same: a runner that
// cancels a job kills the step's first process and starts the clean-up step,
// while the program that the step had started still cleans up by itself.
// The lock is on the directory, so that it leaves no file.
func lockTeardown(ctx context.Context, path string) (unlock func() error, err error) {
	lock := flock.New(filepath.Dir(path), flock.SetFlag(os.O_RDONLY))
	_, err = lock.TryLockContext(ctx, 50*time.Millisecond)
	if errors.Is(err, fs.ErrNotExist) {
		return lock.Unlock, nil // and so the state file is not there either
	}
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "wait for another teardown of %s: %w", path, err)
	}
	return lock.Unlock, nil
}

// TeardownBuilder undoes what was made for a builder that hullwright made, by
// the state file that the builder names. It is an errdefs.BadInput of input
// "name" where there is no such builder, or somebody else made it.
func (m *Manager) TeardownBuilder(ctx context.Context, name string) error {
	name, err := validName("name", name)
	if err != nil {
		return err
	}
	g, err := m.store().read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errdefs.BadInputf("name", 0, "%w: %q is not in %s", ErrNoBuilder, name, m.store().dir)
	}
	if err != nil {
		return err
	}
	if g.Made == nil {
		return errdefs.BadInputf("name", 0, "builder %q was not made by hullwright", name).
			WithHint("docker buildx rm %s removes it", name)
	}
	state, err := m.stateOfUser(g)
	if err != nil {
		return err
	}
	return m.Teardown(ctx, state)
}

// stateOfUser is the state file by which this run gives a builder back: its own
// where it is a CI job that is known to use the builder, else the oldest one
// that is there.
func (m *Manager) stateOfUser(g *group) (string, error) {
	run := runOf(m.host.Environ, self())
	var there []builderUser
	for _, u := range g.Made.users() {
		if stateOf(u.State, u.Nonce) == nil {
			continue
		}
		if u.Run == run {
			return u.State, nil
		}
		there = append(there, u)
	}
	if len(there) == 0 {
		return "", errdefs.BadInputf("name", 0, "builder %q has lost its state file %s", g.Name, g.Made.State).
			WithHint("hullwright teardown --orphans --older-than 1s removes it")
	}
	return there[0].State, nil
}

// undo undoes what a state has from position mark on.
func (m *Manager) undo(ctx context.Context, s *State, mark int) error {
	var faults []error
	all := s.made(0)
	for _, e := range slices.Backward(s.made(mark)) {
		if e.Builder != "" && slices.ContainsFunc(all, func(b entry) bool { return b.Kind == kindBuilder && b.ID == e.Builder }) {
			continue // it goes with its builder, or stays with it
		}
		if fault := m.told(e, m.undoOne(ctx, e, s)); fault != nil {
			faults = append(faults, fault)
			continue
		}
		if err := s.forget(e); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// told prints how the undoing of a thing went, and gives back what is a fault.
func (m *Manager) told(e entry, err error) error {
	switch {
	case err == nil && e.Kind == kindRemoved:
		m.stepf("put back registration %s", e.ID)
	case err == nil:
		m.stepf("removed %s %s", e.Kind, e.ID)
	case only(err, errGone), only(err, errNotOurs), only(err, errInUse):
		m.stepf("skipped %s %s: %v", e.Kind, e.ID, err)
	default:
		return err
	}
	return nil
}

// only is whether err is target alone, and not joined with faults.
func only(err, target error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list := joined.Unwrap()
		return len(list) == 1 && errors.Is(list[0], target)
	}
	return errors.Is(err, target)
}

func (m *Manager) undoOne(ctx context.Context, e entry, s *State) error {
	nonce := s.nonce()
	switch e.Kind {
	case kindBuilder:
		return m.leave(ctx, e, s)
	case kindCurrent:
		return m.restoreCurrent(ctx, e)
	case kindContainer:
		return m.removeContainer(ctx, e.Where, e.ID, nonce)
	case kindVolume:
		return m.removeVolume(ctx, e.Where, e.ID, nonce)
	case kindProcess:
		return m.stopDaemon(ctx, e.ID, nonce)
	case kindCertificate:
		return removeCertificate(e.ID, nonce)
	case kindContext:
		return removeContext(e.Where, e.ID, nonce)
	case kindDirectory:
		return m.removeDir(ctx, e.ID, nonce)
	case kindBinfmt:
		return m.undoBinfmt(ctx, e, nonce)
	case kindBinfmtImage:
		return m.undoBinfmtImage(ctx, e, s)
	case kindRemoved:
		return m.putBack(ctx, e)
	case kindMount:
		return m.undoMount(ctx, e, nonce)
	}
	return errdefs.New(errdefs.BadInput, "unknown kind %q", e.Kind)
}

func (m *Manager) restoreCurrent(ctx context.Context, e entry) error {
	s := &store{dir: e.Where, now: m.host.Now}
	return s.locked(ctx, func() error { return s.restore(e.ID, e.Detail) })
}
