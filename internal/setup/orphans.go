package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/gofrs/flock"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// OrphanOptions say what counts as an orphan, and what becomes of it.
type OrphanOptions struct {
	// DryRun finds, and removes nothing.
	DryRun bool
	// OlderThan counts also what was made longer ago, whatever its lifetime; a
	// run that is under way keeps its things all the same. Zero is not to.
	OlderThan time.Duration
}

// Orphan is something that a run left behind.
type Orphan struct {
	Kind   string // state, builder, container, volume, directory, binfmt, mount
	ID     string
	Why    string   // it counts as one
	Things []string // what goes with it
	Err    error    // of its removal; nil in a dry run
}

// Orphans finds what runs of this user left behind, and removes it: what a
// state file lists whose run is dead or whose lifetime is over, and what has
// such a run's mark where the state file is lost. What a run that is under way
// made is never one, nor is anything without our mark, or with another user's.
// It looks in this process's builder store, temporary directories, engine and
// processes, and goes on after a failure; each orphan has its own. The error
// tells what could not be looked through.
func (m *Manager) Orphans(ctx context.Context, o OrphanOptions) ([]Orphan, error) {
	lock := m.orphansLock()
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.New(errdefs.Environment, "wait for another search for orphans: %w", err)
	}
	defer lock.Unlock()
	return m.orphans(ctx, o)
}

// orphans is Orphans, with the lock held.
func (m *Manager) orphans(ctx context.Context, o OrphanOptions) ([]Orphan, error) {
	s := &sweep{m: m, options: o, states: map[string]*State{}, stores: map[string]bool{}}
	for _, look := range []func(context.Context) error{
		s.inTemporary, s.inStore, s.inEngine, s.inProcesses, s.inLeases,
	} {
		if err := look(ctx); err != nil {
			s.faults = append(s.faults, err)
		}
	}
	s.sweepStates(ctx)
	s.sweepBuilders(ctx)
	s.sweepStrays(ctx)
	if ctx.Err() != nil {
		return s.found, canceled(ctx, "look for orphans", ctx.Err())
	}
	return s.found, errors.Join(s.faults...)
}

// orphansLock keeps two from removing the same. The lock is on the store's
// directory, so that it leaves no file; where there is none (fs.ErrNotExist) two
// may meet, and find things gone.
func (m *Manager) orphansLock() *flock.Flock {
	return flock.New(m.storeDir(), flock.SetFlag(os.O_RDONLY))
}

// sweep is one search.
type sweep struct {
	m       *Manager
	options OrphanOptions
	states  map[string]*State // by path
	stores  map[string]bool   // directories of builder stores
	strays  []stray
	found   []Orphan
	faults  []error
}

// stray is a thing with our mark that was found by itself.
type stray struct {
	entry
	mark origin
	// lost is why it serves nobody, as a directory without its daemon.
	lost   string
	remove func(ctx context.Context) error
}

// see notes what a mark leads to.
func (s *sweep) see(k origin) {
	if state := stateOf(k.State, k.Nonce); state != nil {
		s.states[k.State] = state
	}
	if filepath.IsAbs(k.Store) {
		s.stores[k.Store] = true
	}
}

func (s *sweep) stray(t stray) {
	s.see(t.mark)
	s.strays = append(s.strays, t)
}

// Temporary are the directories where state files and what goes with a job are.
func Temporary(environ map[string]string) []string {
	bases := []string{os.TempDir(), "/tmp"}
	for _, variable := range []string{"RUNNER_TEMP", "TMPDIR"} {
		if dir := environ[variable]; filepath.IsAbs(dir) {
			bases = append(bases, filepath.Clean(dir))
		}
	}
	slices.Sort(bases)
	return slices.Compact(bases)
}

func (s *sweep) inTemporary(context.Context) error {
	for _, base := range Temporary(s.m.host.Environ) {
		dirs, err := filepath.Glob(filepath.Join(base, "hullwright-*"))
		if err != nil {
			return errdefs.New(errdefs.Environment, "look through %s: %w", base, err)
		}
		for _, dir := range dirs {
			if mine(dir) {
				s.directory(dir)
			}
		}
	}
	return nil
}

// directory judges a directory of ours by what is in it. One with neither a
// state file nor a mark is somebody else's matter.
func (s *sweep) directory(dir string) {
	path := filepath.Join(dir, "state.json")
	if mine(path) {
		if state, err := readState(path); err == nil {
			s.states[path] = state
		}
	}
	s.processDir(dir)
	s.tempDir(dir)
	s.unbegun(dir)
}

// unbegun takes for a stray what a run left that was killed before the file was
// there by which its directory is known, or after it was removed: the directory,
// empty or with the file half written. That state lasts an instant in a run that is alive.
func (s *sweep) unbegun(dir string) {
	info, err := os.Stat(dir)
	name := filepath.Base(dir)
	if err != nil || !stateDir.MatchString(name) && !tempDir.MatchString(name) || s.m.host.Now().Sub(info.ModTime()) < unbegunAge {
		return
	}
	files, err := os.ReadDir(dir)
	if err != nil || slices.ContainsFunc(files, func(f fs.DirEntry) bool { return !cutOff.MatchString(f.Name()) }) {
		return
	}
	s.stray(stray{
		entry: entry{Kind: kindDirectory, ID: dir}, lost: "its run ended before it began",
		remove: func(context.Context) error {
			var faults []error
			for _, f := range files {
				faults = append(faults, os.Remove(filepath.Join(dir, f.Name())))
			}
			return errors.Join(append(faults, os.Remove(dir))...) // fails where it is not empty, as it should
		},
	})
}

// stateDir is the name of a directory that was made for a state file.
var stateDir = regexp.MustCompile(`^hullwright-[0-9]+$`)

// cutOff is the name of such a file that is half written, as atomicwriter has it.
var cutOff = regexp.MustCompile(`^\.tmp-(state\.json|\` + ownerFile + `)`)

// unbegunAge is how old a directory is that no run is about to write to.
const unbegunAge = time.Minute

// processDir takes a process builder's directory for a stray.
func (s *sweep) processDir(dir string) {
	raw, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil || !mine(dir) || slices.ContainsFunc(s.strays, func(t stray) bool { return t.ID == dir }) {
		return
	}
	var k origin
	nonce, err := os.ReadFile(filepath.Join(dir, nonceFile))
	if json.Unmarshal(raw, &k) != nil || err != nil || string(nonce) != k.Nonce || !noncePattern.MatchString(k.Nonce) {
		return
	}
	lost := ""
	if daemons, err := findDaemon(k.Nonce); k.Place == vantage() && err == nil && len(daemons) == 0 {
		lost = "its buildkitd is gone, and so is its state file"
	}
	s.stray(stray{
		entry: entry{Kind: kindDirectory, ID: dir}, mark: k, lost: lost,
		remove: func(ctx context.Context) error {
			if err := s.m.stopDaemon(ctx, dir, k.Nonce); err != nil && !only(err, errGone) {
				return err
			}
			return s.m.removeDir(ctx, dir, k.Nonce)
		},
	})
}

func (s *sweep) inStore(context.Context) error {
	s.stores[s.m.storeDir()] = true
	for dir := range maps.Clone(s.stores) {
		for _, g := range s.groups(dir) {
			s.see(g.mark(dir))
			for _, u := range g.Made.users() {
				s.see(origin{State: u.State, Nonce: u.Nonce})
			}
		}
	}
	return nil
}

// groups are the builders of a store that hullwright made.
func (s *sweep) groups(dir string) []*group {
	st := &store{dir: dir, now: s.m.host.Now}
	files, err := os.ReadDir(filepath.Join(dir, "instances"))
	if err != nil || !mine(dir) {
		return nil // no store has no builders
	}
	var list []*group
	for _, f := range files {
		// What can't be read is not known to be ours.
		if g, err := st.read(f.Name()); err == nil && g.Made != nil && g.Name == f.Name() {
			list = append(list, g)
		}
	}
	return list
}

// inEngine looks through the engine that a bare docker command speaks to.
func (s *sweep) inEngine(ctx context.Context) error {
	endpoint, err := s.m.currentEndpoint()
	if err != nil {
		return err
	}
	if err := s.m.ping(ctx, endpoint, pingLimit); err != nil {
		s.m.stepf("skipping the containers of %s: %s", endpoint, firstLine(err.Error()))
		return nil
	}
	api, err := s.m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	filter := engine.Filters{}.Add("label", labelNonce)
	containers, err := api.ContainerList(ctx, engine.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	for _, c := range containers.Items {
		if len(c.Names) > 0 {
			s.engineThing(kindContainer, strings.TrimPrefix(c.Names[0], "/"), endpoint, c.Labels, time.Unix(c.Created, 0))
		}
	}
	volumes, err := api.VolumeList(ctx, engine.VolumeListOptions{Filters: filter})
	if err != nil {
		return errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	for _, v := range volumes.Items {
		made, err := time.Parse(time.RFC3339, v.CreatedAt)
		if err != nil {
			made = s.m.host.Now() // of unknown age is not old
		}
		s.engineThing(kindVolume, v.Name, endpoint, v.Labels, made)
	}
	return nil
}

func (s *sweep) engineThing(kind kind, name, endpoint string, labels map[string]string, made time.Time) {
	k, ours := markOfLabels(labels)
	if !ours {
		return
	}
	k.Created = made
	s.stray(stray{
		entry: entry{Kind: kind, ID: name, Where: endpoint}, mark: k,
		remove: func(ctx context.Context) error {
			if kind == kindVolume {
				return s.m.removeVolume(ctx, endpoint, name, k.Nonce)
			}
			return s.m.removeContainer(ctx, endpoint, name, k.Nonce)
		},
	})
}

// inLeases looks through who uses what hullwright registered with the kernel.
// Only root does, so only root can have left any.
func (s *sweep) inLeases(context.Context) error {
	for _, name := range hostLeases.names() {
		for _, k := range hostLeases.marks(name) {
			e := entry{Kind: kindBinfmt, ID: name, Detail: k.Detail}
			if name == mountLease {
				e = entry{Kind: kindMount, ID: binfmt.Dir}
			}
			s.stray(stray{entry: e, mark: k.origin, remove: func(ctx context.Context) error {
				if e.Kind == kindMount {
					return s.m.undoMount(ctx, e, k.Nonce)
				}
				return s.m.undoBinfmt(ctx, e, k.Nonce)
			}})
		}
	}
	return nil
}

// judge says why a run counts as one that left things behind; empty where it
// does not. An age of zero is none.
func (m *Manager) judge(s *State, older time.Duration) string {
	s.mu.Lock()
	d := s.doc
	s.mu.Unlock()
	if d.Owner != nil {
		switch d.Owner.life() {
		case lifeOn:
			return ""
		case lifeOver:
			// What has nothing to undo is a record for a person to read.
			if len(d.Made) > 0 || len(d.Notes) == 0 {
				return fmt.Sprintf("its run ended without undoing it (process %d)", d.Owner.PID)
			}
		}
	}
	created := d.Created
	if created.IsZero() { // an older version's, or nothing was made yet
		if info, err := os.Stat(s.path); err == nil {
			created = info.ModTime()
		}
	}
	return m.outlived(origin{Created: created, Expires: d.Expires}, older)
}

// outlived says why a thing's time is over; empty where it is not.
func (m *Manager) outlived(k origin, older time.Duration) string {
	return Outlived(m.host.Now(), k.Created, k.Expires, older)
}

// Outlived says why the time is over of what was made at a time, and expires at
// another; empty where it is not. Zero times are unknown and never; an age older
// of zero is none.
func Outlived(now, created, expires time.Time, older time.Duration) string {
	switch {
	case !expires.IsZero() && !now.Before(expires):
		return "its lifetime ended at " + stamp(expires)
	case older > 0 && !created.IsZero() && now.Sub(created) >= older:
		return fmt.Sprintf("it was made at %s, longer ago than %s", stamp(created), older)
	}
	return ""
}

// sweepStates undoes what the state files of runs list that left them behind.
func (s *sweep) sweepStates(ctx context.Context) {
	for _, path := range slices.Sorted(maps.Keys(s.states)) {
		state := s.states[path]
		why := s.m.judge(state, s.options.OlderThan)
		if why == "" || ctx.Err() != nil {
			continue
		}
		orphan := Orphan{Kind: "state", ID: path, Why: why}
		for _, e := range state.made(0) {
			orphan.Things = append(orphan.Things, string(e.Kind)+" "+e.ID)
		}
		if !s.options.DryRun {
			orphan.Err = s.m.teardownIf(ctx, path, func(now *State) bool {
				return now.nonce() == state.nonce() && s.m.judge(now, s.options.OlderThan) != ""
			})
		}
		s.found = append(s.found, orphan)
	}
}

// sweepBuilders removes the builders of stores that nobody gives back any more.
func (s *sweep) sweepBuilders(ctx context.Context) {
	for _, dir := range slices.Sorted(maps.Keys(s.stores)) {
		for _, g := range s.groups(dir) {
			why := s.m.judgeBuilder(ctx, g, s.options.OlderThan)
			if why == "" || ctx.Err() != nil || s.dryUsers(g) {
				continue
			}
			orphan := Orphan{Kind: string(kindBuilder), ID: g.Name, Why: why}
			for _, e := range g.parts(dir) {
				orphan.Things = append(orphan.Things, string(e.Kind)+" "+e.ID)
			}
			if !s.options.DryRun {
				orphan.Err = s.m.removeOrphan(ctx, &store{dir: dir, now: s.m.host.Now}, g, s.options.OlderThan)
			}
			s.found = append(s.found, orphan)
		}
	}
}

// dryUsers is whether a builder goes with a state file that was listed already;
// in earnest it would be gone by now.
func (s *sweep) dryUsers(g *group) bool {
	return s.options.DryRun && slices.ContainsFunc(g.Made.users(), func(u builderUser) bool {
		return slices.ContainsFunc(s.found, func(o Orphan) bool { return o.ID == u.State })
	})
}

// judgeBuilder says why a builder of ours counts as left behind; empty where it
// does not.
func (m *Manager) judgeBuilder(ctx context.Context, g *group, older time.Duration) string {
	var idle bool // somebody has it, and is not at work on it just now
	for _, u := range g.Made.users() {
		if s := stateOf(u.State, u.Nonce); s != nil {
			if s.owned() {
				return ""
			}
			idle = idle || m.judge(s, older) == ""
		} else if k := (origin{Expires: u.Expires, Created: g.Made.Created}); m.outlived(k, older) == "" {
			idle = true // its state file is lost, or in another container
		}
	}
	switch {
	case m.pointless(ctx, g):
		return "its buildkitd is gone"
	case idle:
		return ""
	}
	return "all runs that used it are gone"
}

// owned is whether a run may be under way that the state is of.
func (s *State) owned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doc.Owner != nil && s.doc.Owner.life() == lifeOn
}

// pointless is whether nothing is left of what a builder points to. In doubt,
// as with an engine that does not answer, it is not.
func (m *Manager) pointless(ctx context.Context, g *group) bool {
	if g.Made.Place != vantage() {
		return false // from here neither its processes nor its engine need be seen
	}
	for _, n := range g.Nodes {
		there, err := true, error(nil) // what somebody else runs is that one's to know
		switch own, driver := g.own(n); driver {
		case Process:
			var found []daemonProcess
			found, err = findDaemon(g.Made.Nonce)
			there = len(found) > 0
		case DockerContainer:
			there, err = (&containerNode{m: m, node: own}).there(ctx)
		}
		if err != nil || there {
			return false
		}
	}
	return true
}

// there is whether the engine has the node's container.
func (c *containerNode) there(ctx context.Context) (bool, error) {
	api, err := c.m.engine(c.node.Endpoint)
	if err != nil {
		return false, err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	_, err = api.ContainerInspect(ctx, c.name(), engine.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	return true, err
}

// removeOrphan removes a builder and all that it is made of.
func (m *Manager) removeOrphan(ctx context.Context, st *store, g *group, older time.Duration) error {
	return st.locked(ctx, func() error {
		now, err := st.read(g.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if now.Made == nil || now.Made.Nonce != g.Made.Nonce || m.judgeBuilder(ctx, now, older) == "" {
			return nil // another run has taken it meanwhile
		}
		if err := m.undoParts(ctx, st, now.parts(st.dir), nil, now.Made.Nonce); err != nil {
			return err
		}
		return st.remove(now.Name)
	})
}

// sweepStrays removes what has our mark, and belongs to no state file and no
// builder any more.
func (s *sweep) sweepStrays(ctx context.Context) {
	for _, t := range s.strays {
		if stateOf(t.mark.State, t.mark.Nonce) != nil || s.ofBuilder(t.mark) || ctx.Err() != nil {
			continue
		}
		why := s.m.outlived(t.mark, s.options.OlderThan)
		if why == "" {
			why = t.lost
		}
		if why == "" || s.listed(t) {
			continue
		}
		orphan := Orphan{Kind: string(t.Kind), ID: t.ID, Why: why}
		if !s.options.DryRun {
			err := t.remove(ctx)
			if only(err, errGone) {
				continue // it went with something else
			}
			orphan.Err = s.m.told(t.entry, err)
		}
		s.found = append(s.found, orphan)
	}
}

// listed is whether a dry run has a thing already, as a part of another.
func (s *sweep) listed(t stray) bool {
	return slices.ContainsFunc(s.found, func(o Orphan) bool {
		return slices.Contains(o.Things, string(t.Kind)+" "+t.ID)
	})
}

// ofBuilder is whether a builder is there that the thing is a part of.
func (s *sweep) ofBuilder(k origin) bool {
	if k.Builder == "" {
		return false
	}
	g, err := (&store{dir: k.Store}).read(k.Builder)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	// What can't be read may be the one.
	return err != nil || g.Made == nil || g.Made.Nonce == k.Nonce
}
