package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// ParseUninstall reads what is to be removed, names of registrations with * and ?
// (qemu-*) or platforms, as names. Faults are errdefs.BadInput of input
// "uninstall", joined.
func ParseUninstall(list []string) ([]string, error) {
	var names []string
	var faults []error
	for i, s := range list {
		if strings.HasPrefix(s, "qemu-") || strings.ContainsAny(s, "*?[") {
			if _, err := path.Match(s, ""); err != nil || strings.ContainsAny(s, "/,") {
				faults = append(faults, errdefs.BadInputf("uninstall", i+1, "%q is no pattern of names", s))
			}
			names = append(names, s)
			continue
		}
		p, err := parsePlatform(s)
		if err != nil {
			err.Input, err.Line = "uninstall", i+1
			faults = append(faults, err)
			continue
		}
		names = append(names, binfmt.Name(p.Architecture))
	}
	return names, errors.Join(faults...)
}

// remove removes what is to be removed before anything is registered.
func (s *site) remove(ctx context.Context, e Emulators, state *State) error {
	patterns := slices.Clone(e.Uninstall)
	if e.Reset {
		patterns = append(patterns, "qemu-*")
	}
	if len(patterns) == 0 {
		return nil
	}
	if !s.direct() {
		return s.removeByImage(ctx, patterns)
	}
	return hostLeases.locked(ctx, func() error {
		entries, err := binfmt.Registry{}.Entries()
		if err != nil {
			return errdefs.New(errdefs.Environment, "binfmt_misc: %w", err)
		}
		for _, pattern := range patterns {
			found := false
			for _, e := range entries {
				if ok, _ := path.Match(pattern, e.Name); !ok {
					continue // the pattern was parsed before
				}
				found = true
				if err := s.m.removeEntry(e, state); err != nil {
					return err
				}
			}
			if !found {
				s.m.stepf("nothing to remove: no registration is called %s", pattern)
			}
		}
		return nil
	})
}

// removeEntry removes somebody's registration, which the state file keeps. It
// must be called with the leases locked.
func (m *Manager) removeEntry(e binfmt.Entry, state *State) error {
	if !e.Emulates() {
		m.stepf("left %s: it is no emulator", e.Name)
		return nil
	}
	whose := "which hullwright did not make"
	for _, k := range hostLeases.marks(e.Name) {
		if k.Nonce != state.nonce() && !m.leaseGone(k) {
			m.stepf("left %s: %s uses it", e.Name, k.Run)
			return nil
		}
		whose = "made by " + k.Run
	}
	removed := entry{Kind: kindRemoved, ID: e.Name, Detail: e.Line.String()}
	if !e.Enabled {
		removed.Where = disabled
	}
	if err := state.record(removed); err != nil {
		return err
	}
	m.stepf("removing the registration %s of %s (flags %s), %s", e.Name, e.Interpreter, e.Flags, whose)
	if err := (binfmt.Registry{}).Remove(e.Line); err != nil {
		return errdefs.New(errdefs.Environment, "remove registration %s: %w", e.Name, err)
	}
	return nil
}

// disabled is the Where of a removed registration that was switched off.
const disabled = "disabled"

// putBack registers again what was removed.
func (m *Manager) putBack(ctx context.Context, e entry) error {
	line, err := binfmt.ParseLine(e.Detail)
	if err != nil || line.Name != e.ID {
		return errdefs.New(errdefs.Denied, "registration %s: the state file does not say what it was", e.ID)
	}
	return hostLeases.locked(ctx, func() error {
		r := binfmt.Registry{}
		if !r.Mounted() {
			return errGone
		}
		if _, err := r.Entry(line.Name); err == nil {
			return fmt.Errorf("not put back, since there is another one of its name: %w", errNotOurs)
		}
		if _, err := os.Stat(line.Interpreter); err != nil {
			return fmt.Errorf("not put back, since its interpreter %s is not on this machine: %w", line.Interpreter, errGone)
		}
		if err := r.Register(line); err != nil {
			return errdefs.New(errdefs.Environment, "put back: %w", err)
		}
		if e.Where == disabled {
			return r.Disable(line.Name)
		}
		return nil
	})
}

// removeByImage has the image remove registrations, on the engine's machine.
func (s *site) removeByImage(ctx context.Context, patterns []string) error {
	if s.endpoint == "" {
		return errdefs.New(errdefs.Environment, "remove registrations: %w", s.why).
			WithHint("root removes them without an engine")
	}
	if err := s.image.pull(ctx); err != nil {
		return err
	}
	before, err := s.image.run(ctx)
	if err != nil {
		return err
	}
	names, err := s.removable(ctx, before.Emulators, patterns)
	if err != nil || len(names) == 0 {
		return err
	}
	after, err := s.image.run(ctx, "--uninstall", strings.Join(names, ","))
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range names {
		if slices.Contains(after.Emulators, name) {
			faults = append(faults, errdefs.New(errdefs.Environment, "image %s did not remove %s", s.image.image, name))
			continue
		}
		s.m.stepf("removed the registration %s, which teardown does not put back: only root does", name)
	}
	return errors.Join(faults...)
}

// removable are the registrations that patterns name, without those that another
// run uses or that are of no emulator.
func (s *site) removable(ctx context.Context, there, patterns []string) ([]string, error) {
	api, err := s.m.engine(s.endpoint)
	if err != nil {
		return nil, err
	}
	defer api.Close()
	others, err := s.m.imageLeases(ctx, api, s.image.state.nonce())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range there {
		matches := func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }
		e, err := binfmt.Registry{}.Entry(name)
		switch {
		case !slices.ContainsFunc(patterns, matches):
		case s.local && err == nil && !e.Emulates():
			s.m.stepf("left %s: it is no emulator", name)
		case inUse(others, name):
			s.m.stepf("left %s: another run uses it", name)
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		s.m.stepf("nothing to remove for %s", strings.Join(patterns, ", "))
	}
	return names, nil
}
