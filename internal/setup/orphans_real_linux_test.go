package setup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// sweepOwn looks for orphans in the manager's own store and directory, and in
// the engine for what has a nonce: other tests run on the same machine.
func sweepOwn(t *testing.T, m *Manager, o OrphanOptions, nonces ...string) []Orphan {
	t.Helper()
	ctx := limited(t)
	s := &sweep{m: m, options: o, states: map[string]*State{}, stores: map[string]bool{}}
	dirs, err := filepath.Glob(filepath.Join(m.host.Dir, "*"))
	check(t, err)
	for _, dir := range dirs {
		s.directory(dir)
	}
	check(t, s.inStore(ctx))
	check(t, s.inEngine(ctx))
	kept := s.strays[:0]
	for _, stray := range s.strays {
		for _, n := range nonces {
			if stray.mark.Nonce == n {
				kept = append(kept, stray)
			}
		}
	}
	s.strays = kept
	for path := range s.states {
		if !strings.HasPrefix(path, m.host.Dir+"/") {
			delete(s.states, path)
		}
	}
	s.stores = map[string]bool{m.storeDir(): true}
	s.sweepStates(ctx)
	s.sweepBuilders(ctx)
	s.sweepStrays(ctx)
	for _, f := range s.found {
		t.Logf("%s %s: %s %v %v", f.Kind, f.ID, f.Why, f.Things, f.Err)
	}
	return s.found
}

// TestRealOrphans has builders of both drivers whose runs are gone in each way.
func TestRealOrphans(t *testing.T) {
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			now := time.Now()
			m.host.Now = func() time.Time { return now }
			state := newState(t, m)
			spec := Spec{Name: "o" + newNonce(3), Driver: driver, DriverOpts: map[string]string{"network": "host"}, Lifetime: time.Hour}
			b, err := m.Ensure(ctx, spec, state)
			check(t, err)
			check(t, b.Close())
			nonce := state.nonce()
			nothing := func(why string) {
				t.Helper()
				if found := sweepOwn(t, m, OrphanOptions{}, nonce); len(found) > 0 {
					t.Fatalf("%s, and yet %+v", why, found)
				}
			}
			nothing("its run is alive")
			now = now.Add(2 * time.Hour)
			nothing("its run is alive, though its time is over")
			now = now.Add(-2 * time.Hour)
			check(t, state.HandOver())
			nothing("its time is not over")

			// Its state file is gone with a job's temporary directory.
			check(t, os.RemoveAll(filepath.Dir(state.Path())))
			nothing("its time is not over, though its state file is lost")
			now = now.Add(2 * time.Hour)
			if found := sweepOwn(t, m, OrphanOptions{DryRun: true}, nonce); len(found) != 1 || found[0].Kind != "builder" {
				t.Errorf("a dry run found %+v", found)
			}
			found := sweepOwn(t, m, OrphanOptions{}, nonce)
			if len(found) != 1 || found[0].Kind != "builder" || found[0].Err != nil {
				t.Errorf("found %+v", found)
			}
			noBuilder(t, m, spec.Name, nonce)
		})
	}
}

// noBuilder is that nothing is left of a builder.
func noBuilder(t *testing.T, m *Manager, name, nonce string) {
	t.Helper()
	missing(t, m.store().path("instances", name))
	if left, err := findDaemon(nonce); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v %v", left, err)
	}
	dirs, err := filepath.Glob(filepath.Join(m.host.Dir, "hullwright-*"))
	if err != nil || len(dirs) > 0 {
		t.Errorf("directories left: %v %v", dirs, err)
	}
	endpoint, err := m.currentEndpoint()
	check(t, err)
	api, err := m.engine(endpoint)
	check(t, err)
	defer api.Close()
	filter := engine.Filters{}.Add("label", labelNonce+"="+nonce)
	containers, err := api.ContainerList(t.Context(), engine.ContainerListOptions{All: true, Filters: filter})
	check(t, err)
	volumes, err := api.VolumeList(t.Context(), engine.VolumeListOptions{Filters: filter})
	check(t, err)
	if len(containers.Items)+len(volumes.Items) > 0 {
		t.Errorf("left %+v %+v", containers.Items, volumes.Items)
	}
}

// TestRealStrays has things whose state file and store are both lost.
func TestRealStrays(t *testing.T) {
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			now := time.Now()
			m.host.Now = func() time.Time { return now }
			state := newState(t, m)
			b, err := m.Ensure(ctx, Spec{Driver: driver, DriverOpts: map[string]string{"network": "host"}, Lifetime: time.Hour}, state)
			check(t, err)
			check(t, b.Close())
			nonce := state.nonce()
			check(t, os.RemoveAll(filepath.Dir(state.Path())))
			check(t, m.store().remove(b.Name))
			if found := sweepOwn(t, m, OrphanOptions{}, nonce); len(found) > 0 {
				t.Fatalf("its time is not over, and yet %+v", found)
			}
			now = now.Add(2 * time.Hour)
			for _, o := range sweepOwn(t, m, OrphanOptions{}, nonce) {
				check(t, o.Err)
			}
			noBuilder(t, m, b.Name, nonce)
		})
	}
}

// TestRealTwins has two runs that use one builder; it goes with the last one.
func TestRealTwins(t *testing.T) {
	for _, driver := range []string{DockerContainer, Process} {
		for _, makerFirst := range []bool{true, false} {
			t.Run(driver, func(t *testing.T) {
				m, ctx := real(t), limited(t)
				spec := Spec{Name: "w" + newNonce(3), Driver: driver, DriverOpts: map[string]string{"network": "host"}, Use: true}
				maker, guest := newState(t, m), newState(t, m)
				for _, s := range []*State{maker, guest} {
					b, err := m.Ensure(ctx, spec, s)
					check(t, err)
					check(t, b.Close())
					check(t, s.HandOver())
				}
				first, last := maker, guest
				if !makerFirst {
					first, last = guest, maker
				}
				check(t, m.Teardown(ctx, first.Path()))
				b, err := m.Find(ctx, "") // it is still the current one
				check(t, err)
				solve(ctx, t, b)
				check(t, b.Close())
				check(t, m.Teardown(ctx, last.Path()))
				noBuilder(t, m, spec.Name, maker.nonce())
				missing(t, filepath.Join(m.store().dir, "current"))
				if _, err := m.Find(ctx, spec.Name); !errors.Is(err, ErrNoBuilder) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestRealDeadTwin has a builder whose other user is dead: nobody waits for it.
func TestRealDeadTwin(t *testing.T) {
	m, ctx := real(t), limited(t)
	spec := Spec{Name: "d" + newNonce(3), Driver: Process}
	maker, guest := newState(t, m), newState(t, m)
	for _, s := range []*State{maker, guest} {
		b, err := m.Ensure(ctx, spec, s)
		check(t, err)
		check(t, b.Close())
	}
	maker.doc.Owner.Start = "1"
	check(t, maker.save())
	check(t, m.Teardown(ctx, guest.Path()))
	missing(t, m.store().path("instances", spec.Name))
	if left, err := findDaemon(maker.nonce()); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v %v", left, err)
	}
	check(t, m.Teardown(ctx, maker.Path()))
	noBuilder(t, m, spec.Name, maker.nonce())
}

// TestRealOrphanLease has a registration that only dead runs hold: by their
// state file, and, that being lost, by the lease itself.
func TestRealOrphanLease(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root registers")
	}
	for _, lost := range []bool{false, true} {
		m, ctx := real(t), limited(t)
		now := time.Now()
		m.host.Now = func() time.Time { return now }
		state := newState(t, m)
		b, err := m.Ensure(ctx, Spec{Driver: Process, Lifetime: time.Hour}, state)
		check(t, err)
		want, err := ParsePlatforms([]string{"linux/mips64"})
		check(t, err)
		rows, err := m.Emulate(ctx, b, want, "", state)
		check(t, err)
		check(t, b.Close())
		name := binfmt.Name("mips64")
		if !rows[0].Added || !registered(t, name) || !hostLeases.held(name) {
			t.Fatalf("row %+v, registered %t", rows[0], registered(t, name))
		}
		check(t, state.HandOver())
		now = now.Add(2 * time.Hour)
		if lost {
			check(t, os.RemoveAll(filepath.Dir(state.Path())))
			s := &sweep{m: m, states: map[string]*State{}, stores: map[string]bool{}}
			check(t, s.inLeases(ctx))
			s.strays = slices.DeleteFunc(s.strays, func(x stray) bool { return x.mark.Nonce != state.nonce() })
			s.sweepStrays(ctx)
			for _, o := range s.found {
				check(t, o.Err)
			}
		}
		for _, o := range sweepOwn(t, m, OrphanOptions{}, state.nonce()) {
			check(t, o.Err)
		}
		if registered(t, name) || hostLeases.held(name) {
			t.Errorf("lost %t: registered still: %t, held: %t", lost, registered(t, name), hostLeases.held(name))
		}
		noBuilder(t, m, b.Name, state.nonce())
	}
}

// TestRealHomeless has a daemon whose directory was removed, as with a job's
// temporary one.
func TestRealHomeless(t *testing.T) {
	m, ctx := real(t), limited(t)
	state := newState(t, m)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, state)
	check(t, err)
	check(t, b.Close())
	nonce := state.nonce()
	check(t, os.RemoveAll(filepath.Dir(strings.TrimPrefix(b.Nodes[0].Endpoint, "unix://"))))
	check(t, os.RemoveAll(filepath.Dir(state.Path())))
	check(t, m.store().remove(b.Name))
	s := &sweep{m: m, states: map[string]*State{}, stores: map[string]bool{}}
	check(t, s.inProcesses(ctx))
	s.strays = slices.DeleteFunc(s.strays, func(x stray) bool { return x.mark.Nonce != nonce })
	s.sweepStrays(ctx)
	if len(s.found) != 1 || s.found[0].Err != nil {
		t.Errorf("found %+v", s.found)
	}
	noBuilder(t, m, b.Name, nonce)
}
