package setup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// leases count who uses what hullwright registered with the kernel. It is one
// for the whole machine: the first of two jobs to end must not take the
// emulators from the other. What no job of ours registered has no leases, and
// is never removed. The directory is emptied by a restart of the machine, as
// the registrations are.
type leases struct{ dir string }

// hostLeases are the machine's. Only root registers, so only root writes here.
var hostLeases = leases{dir: "/run/hullwright/binfmt"}

// mountLease is the lease of binfmt_misc itself; no registration has a dot first.
const mountLease = ".mount"

// locked runs do while no other process registers, removes or leases. The lock
// is one on a directory that is always there, /run, since a lock of our own
// would be left behind.
func (l leases) locked(ctx context.Context, do func() error) error {
	parent := filepath.Dir(l.dir)
	lock := flock.New(filepath.Dir(parent), flock.SetFlag(os.O_RDONLY))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return errdefs.New(errdefs.Environment, "lease an emulator: %w", err)
	}
	err := os.MkdirAll(l.dir, 0o700)
	if err == nil {
		err = do()
	}
	os.Remove(l.dir) // both stay where there is a lease
	os.Remove(parent)
	return errors.Join(err, lock.Close())
}

// hold takes a lease for the run with a mark; detail is what it is of.
func (l leases) hold(name string, k origin, detail string) error {
	k.Detail = detail
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, k.Nonce), raw, 0o600)
}

// held is whether any run has a lease.
func (l leases) held(name string) bool {
	files, err := os.ReadDir(filepath.Join(l.dir, name))
	return err == nil && len(files) > 0
}

// release gives a lease back. It is errGone where the run has none, and
// errInUse where another run has one too.
func (l leases) release(name, nonce string) error {
	dir := filepath.Join(l.dir, name)
	if err := os.Remove(filepath.Join(dir, nonce)); errors.Is(err, fs.ErrNotExist) {
		return errGone
	} else if err != nil {
		return err
	}
	if l.held(name) {
		return errInUse
	}
	return os.Remove(dir)
}

// errInUse is that another run still needs a thing; it is then that run's to
// remove.
var errInUse = errors.New("left to another run that uses it")

// leaseEmulator takes part in a registration of an architecture that another
// run of ours made.
func (m *Manager) leaseEmulator(ctx context.Context, arch string, state *State) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return hostLeases.locked(ctx, func() error {
		e, found, err := binfmt.Registry{}.Handler(arch)
		if err != nil || !found || !hostLeases.held(e.Name) {
			return err
		}
		if err := m.lease(mountLease, entry{Kind: kindMount, ID: binfmt.Dir}, state); err != nil {
			return err
		}
		return m.lease(e.Name, entry{Kind: kindBinfmt, ID: e.Name, Detail: e.Line.String()}, state)
	})
}

// lease takes part in a thing that has leases, once.
func (m *Manager) lease(name string, e entry, state *State) error {
	if !hostLeases.held(name) || state.has(e.Kind, e.ID) {
		return nil
	}
	if err := state.record(e); err != nil {
		return err
	}
	return hostLeases.hold(name, state.mark(), e.Detail)
}
