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

// leaseMark is what a lease says of the run that has it.
type leaseMark struct {
	origin
	Boot string `json:",omitempty"` // of the machine, since which it holds
}

// hold takes a lease for the run with a mark; detail is what it is of.
func (l leases) hold(name string, k origin, detail string) error {
	k.Detail = detail
	raw, err := json.Marshal(leaseMark{origin: k, Boot: self().Boot})
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

// marks are the leases of a thing that can be read.
func (l leases) marks(name string) []leaseMark {
	files, _ := os.ReadDir(filepath.Join(l.dir, name)) // no directory has none
	var list []leaseMark
	for _, f := range files {
		path := filepath.Join(l.dir, name, f.Name())
		var k leaseMark
		raw, err := os.ReadFile(path)
		// A lease of an older version names no run, and can't be judged.
		if err == nil && mine(path) && json.Unmarshal(raw, &k) == nil && k.Nonce == f.Name() {
			list = append(list, k)
		}
	}
	return list
}

// names are all that there are leases of, the mount last: binfmt_misc can be
// unmounted only when nothing is registered any more.
func (l leases) names() []string {
	dirs, _ := os.ReadDir(l.dir)
	var names []string
	for _, d := range dirs {
		if d.Name() != mountLease {
			names = append(names, d.Name())
		}
	}
	if l.held(mountLease) {
		names = append(names, mountLease)
	}
	return names
}

// drop takes the leases from runs that are gone, and gives what they said.
func (l leases) drop(name string, gone func(leaseMark) bool) (dropped []leaseMark, err error) {
	for _, k := range l.marks(name) {
		if !gone(k) {
			continue
		}
		if err := os.Remove(filepath.Join(l.dir, name, k.Nonce)); err != nil {
			return dropped, err
		}
		dropped = append(dropped, k)
	}
	return dropped, nil
}

// release gives a lease back. It is errGone where the run has none, and
// errInUse where another run has one too that is not gone.
func (l leases) release(name, nonce string, gone func(leaseMark) bool) error {
	dir := filepath.Join(l.dir, name)
	if err := os.Remove(filepath.Join(dir, nonce)); errors.Is(err, fs.ErrNotExist) {
		return errGone
	} else if err != nil {
		return err
	}
	if _, err := l.drop(name, gone); err != nil {
		return err
	}
	if l.held(name) {
		return errInUse
	}
	return os.Remove(dir)
}

// leaseGone is whether the run that has a lease will never give it back: the
// machine was restarted since, its state file tells of a process that ended
// without undoing it, or its lifetime is over. In doubt it is not.
func (m *Manager) leaseGone(k leaseMark) bool {
	if boot := self().Boot; k.Boot != "" && boot != "" && k.Boot != boot {
		return true
	}
	if s := stateOf(k.State, k.Nonce); s != nil {
		return m.judge(s, 0) != ""
	}
	return m.outlived(k.origin, 0) != ""
}

// sweepLeases takes the leases from runs that are gone, and removes what then
// nobody uses. It costs a look into an empty directory where no run of ours
// registered anything.
func (m *Manager) sweepLeases(ctx context.Context) error {
	if os.Geteuid() != 0 || len(hostLeases.names()) == 0 {
		return nil
	}
	return hostLeases.locked(ctx, func() error {
		var faults []error
		for _, name := range hostLeases.names() {
			faults = append(faults, m.sweepLease(name))
		}
		return errors.Join(faults...)
	})
}

func (m *Manager) sweepLease(name string) error {
	dropped, err := hostLeases.drop(name, m.leaseGone)
	if err != nil || len(dropped) == 0 || hostLeases.held(name) {
		return err
	}
	if err := os.Remove(filepath.Join(hostLeases.dir, name)); err != nil {
		return err
	}
	e := entry{Kind: kindMount, ID: binfmt.Dir}
	if name == mountLease {
		return m.told(e, unmount())
	}
	e = entry{Kind: kindBinfmt, ID: name}
	line, err := binfmt.ParseLine(dropped[0].Detail)
	if err != nil || line.Name != name {
		return nil // it does not say what it was of
	}
	m.stepf("%s was registered by a run that is gone: %s", name, dropped[0].Run)
	return m.told(e, unregister(line))
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
