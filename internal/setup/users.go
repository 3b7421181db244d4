package setup

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// builderUser is a run that uses a builder of the store: the one that made it,
// and those that asked for its name later. The builder goes with the last.
type builderUser struct {
	Nonce   string
	State   string
	Run     string    `json:",omitempty"`
	Expires time.Time `json:",omitzero"`
}

func (s *State) user() builderUser {
	k := s.mark()
	return builderUser{Nonce: k.Nonce, State: k.State, Run: k.Run, Expires: k.Expires}
}

// usedBy is whether the run with a nonce uses the builder.
func (k *maker) usedBy(nonce string) bool {
	return slices.ContainsFunc(k.users(), func(u builderUser) bool { return u.Nonce == nonce })
}

// users are all; an entry of an older version names its maker only.
func (k *maker) users() []builderUser {
	if k.Users == nil {
		return []builderUser{{Nonce: k.Nonce, State: k.State}}
	}
	return k.Users
}

// join makes the run a user of a builder that is there, which must be
// hullwright's own. The store must be locked.
func (m *Manager) join(s *store, g *group, state *State) error {
	if g.Made == nil || g.Made.usedBy(state.nonce()) {
		return nil
	}
	// The store comes first: a run that is killed in between is no user that
	// anybody waits for, since its state file says that it is dead.
	g.Made.Users = append(g.Made.users(), state.user())
	if err := s.write(g); err != nil {
		return errdefs.New(errdefs.Environment, "builder store: %w", err)
	}
	return state.record(entry{Kind: kindBuilder, ID: g.Name, Where: s.dir})
}

// others are the builder's users but for the run with a nonce, as far as they
// still are.
func (m *Manager) others(g *group, nonce string) []builderUser {
	return slices.DeleteFunc(slices.Clone(g.Made.users()), func(u builderUser) bool {
		return u.Nonce == nonce || !m.using(u)
	})
}

// using is whether a run may still need what it uses. One whose state file is
// not to be seen has the benefit of its lifetime: it may be in a container.
func (m *Manager) using(u builderUser) bool {
	if s := stateOf(u.State, u.Nonce); s != nil {
		return m.judge(s, 0) == ""
	}
	return !u.Expires.IsZero() && m.host.Now().Before(u.Expires)
}

// stateOf is the state file at path if it is the one with the nonce, and ours;
// else nil.
func stateOf(path, nonce string) *State {
	if !filepath.IsAbs(path) || !mine(path) {
		return nil
	}
	s, err := readState(path)
	if err != nil || s.nonce() != nonce {
		return nil
	}
	return s
}

// leave ends a run's use of a builder, and removes the builder with all that
// it is made of where no other run uses it. The store stays locked meanwhile,
// so that nobody joins a builder that goes.
func (m *Manager) leave(ctx context.Context, e entry, s *State) error {
	name, err := validName("state", e.ID)
	if err != nil {
		return err
	}
	st := &store{dir: e.Where, now: m.host.Now}
	return st.locked(ctx, func() error {
		g, err := st.read(name)
		parts := s.partsOf(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // docker buildx rm was quicker, or the run was killed as it wrote
			return errors.Join(m.undoParts(ctx, st, parts, s, s.nonce()), st.remove(name), errGone)
		case err != nil:
			return err
		case g.Made == nil || !g.Made.usedBy(s.nonce()):
			return errors.Join(m.undoParts(ctx, st, parts, s, s.nonce()),
				errdefs.New(errdefs.Denied, "builder %s is not the one that was made", name))
		}
		if others := m.others(g, s.nonce()); len(others) > 0 {
			g.Made.Users = others
			if err := st.write(g); err != nil {
				return errdefs.New(errdefs.Environment, "builder store: %w", err)
			}
			return errors.Join(s.forgetAll(parts), errInUse)
		}
		if g.Made.Nonce != s.nonce() {
			parts = g.parts(st.dir)
		}
		if err := m.undoParts(ctx, st, parts, s, g.Made.Nonce); err != nil {
			return err
		}
		return st.remove(name)
	})
}

// parts are what a builder of ours in a store is made of, oldest first.
func (g *group) parts(store string) []entry {
	parts := []entry{{Kind: kindCurrent, ID: g.Name, Detail: g.Made.Before}}
	if name := contextFor(g.Name, g.Made.Nonce); slices.ContainsFunc(g.Nodes, func(n groupNode) bool { own, _ := g.own(n); return own.Endpoint == name }) {
		parts = append(parts, entry{Kind: kindContext, ID: name}) // before the containers, which it leads to
	}
	for _, n := range g.Nodes {
		switch own, driver := g.own(n); driver {
		case Process:
			dir := filepath.Dir(strings.TrimPrefix(own.Endpoint, "unix://"))
			parts = append(parts, entry{Kind: kindDirectory, ID: dir}, entry{Kind: kindProcess, ID: dir})
		case DockerContainer:
			c := &containerNode{node: own}
			parts = append(parts,
				entry{Kind: kindVolume, ID: c.volume(), Where: own.Endpoint},
				entry{Kind: kindContainer, ID: c.name(), Where: own.Endpoint})
		case Remote:
			for _, part := range new(NodeTLS).parts() {
				// One that a person named is where that person keeps it.
				if path := own.DriverOpts[part.option]; strings.HasPrefix(path, filepath.Join(store, "certs")+"/") {
					parts = append(parts, entry{Kind: kindCertificate, ID: path})
				}
			}
		}
	}
	return parts
}

// partsOf are the entries of what a builder is made of, oldest first.
func (s *State) partsOf(builder string) []entry {
	return slices.DeleteFunc(s.made(0), func(e entry) bool { return e.Builder != builder })
}

func (s *State) forgetAll(list []entry) error {
	var faults []error
	for _, e := range list {
		faults = append(faults, s.forget(e))
	}
	return errors.Join(faults...)
}

// undoParts undoes what has the nonce, newest first. The store must be locked.
// s may be nil: then nobody's notes are kept.
func (m *Manager) undoParts(ctx context.Context, st *store, parts []entry, s *State, nonce string) error {
	var faults []error
	for _, e := range slices.Backward(parts) {
		err := m.undoPart(ctx, st, e, nonce)
		if fault := m.told(e, err); fault != nil {
			faults = append(faults, fault)
		} else if s != nil {
			faults = append(faults, s.forget(e))
		}
	}
	return errors.Join(faults...)
}

func (m *Manager) undoPart(ctx context.Context, st *store, e entry, nonce string) error {
	switch e.Kind {
	case kindCurrent:
		return st.restore(e.ID, e.Detail)
	case kindContainer:
		return m.removeContainer(ctx, e.Where, e.ID, nonce)
	case kindVolume:
		return m.removeVolume(ctx, e.Where, e.ID, nonce)
	case kindProcess:
		return m.stopDaemon(ctx, e.ID, nonce)
	case kindCertificate:
		return removeCertificate(e.ID, nonce)
	case kindDirectory:
		return m.removeDir(ctx, e.ID, nonce)
	case kindContext:
		if e.Where == "" {
			e.Where = m.dockerDir()
		}
		return removeContext(e.Where, e.ID, nonce)
	}
	return errdefs.New(errdefs.BadInput, "a %s is no part of a builder", e.Kind)
}

// newMaker is the mark of a builder that a run makes.
func newMaker(state *State) *maker {
	k := state.mark()
	return &maker{
		Nonce: k.Nonce, State: k.State, Run: k.Run, Place: k.Place, Created: k.Created, Expires: k.Expires,
		Users: []builderUser{state.user()},
	}
}
