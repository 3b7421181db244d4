package setup

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// Who uses what an image registered is counted by the engine that ran it, which
// all its users share: as empty volumes, which carry the mark of their run, and
// so go like all else that a run makes. A run makes its own before it relies on a
// registration, and gives it back before it looks who else has one. Between the
// last one's look and its removal a new one can still be missed, for the fraction
// of a second that the image takes.
const (
	labelEmulator = "io.hullwright.emulator" // the registration, as qemu-arm
	labelImage    = "io.hullwright.image"    // what registered it, and removes it
)

// leaseImage takes part in a registration by the image.
func (r *imageRunner) leaseImage(ctx context.Context, api *engine.Client, name, image string) error {
	k := r.state.mark()
	e := entry{Kind: kindVolume, ID: "hullwright-" + k.Nonce[:8] + "-" + name, Where: r.endpoint}
	if r.state.has(e.Kind, e.ID) {
		return nil
	}
	if err := r.state.record(e); err != nil {
		return err
	}
	labels := k.labels()
	labels[labelEmulator], labels[labelImage] = name, image
	whole, cancel := unbroken(ctx)
	defer cancel()
	if _, err := api.VolumeCreate(whole, engine.VolumeCreateOptions{Name: e.ID, Labels: labels}); err != nil {
		return errdefs.New(errdefs.Environment, "lease emulator %s: %w", name, err)
	}
	return nil
}

// imageLease is another run's part in a registration.
type imageLease struct {
	name, image string
	gone        bool // the run will never give it back
}

// imageLeases are the parts that other runs have.
func (m *Manager) imageLeases(ctx context.Context, api *engine.Client, nonce string) ([]imageLease, error) {
	found, err := api.VolumeList(ctx, engine.VolumeListOptions{Filters: engine.Filters{}.Add("label", labelEmulator)})
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "look who uses emulators: %w", err)
	}
	var list []imageLease
	for _, v := range found.Items {
		k, ours := markOfLabels(v.Labels)
		// Of another user's run only its lifetime can be judged.
		gone := ours && m.leaseGone(leaseMark{origin: k}) || !ours && m.outlived(k, 0) != ""
		if v.Labels[labelNonce] != nonce {
			list = append(list, imageLease{v.Labels[labelEmulator], v.Labels[labelImage], gone})
		}
	}
	return list, nil
}

// inUse is whether any of the runs with a part in a registration is not gone.
func inUse(list []imageLease, name string) bool {
	return slices.ContainsFunc(list, func(l imageLease) bool { return l.name == name && !l.gone })
}

// joinImages takes part in the registrations of architectures that other runs
// made by an image of an engine, also where they are gone: it is then this run's
// to remove.
func (m *Manager) joinImages(ctx context.Context, endpoint string, archs []string, state *State) error {
	if len(archs) == 0 {
		return nil
	}
	api, err := m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	others, err := m.imageLeases(ctx, api, state.nonce())
	if err != nil {
		return err
	}
	for _, arch := range archs {
		name := binfmt.Name(arch)
		i := slices.IndexFunc(others, func(l imageLease) bool { return l.name == name })
		e := entry{Kind: kindBinfmtImage, ID: name, Where: endpoint}
		if i < 0 || state.has(e.Kind, e.ID) {
			continue
		}
		r := &imageRunner{m: m, endpoint: endpoint, image: others[i].image, state: state}
		e.Detail = r.image
		if err := state.record(e); err != nil { // before the lease, as in own
			return err
		}
		if err := r.leaseImage(ctx, api, name, r.image); err != nil {
			return err
		}
	}
	return nil
}

// leaseNodes takes part in what other runs registered by the images of the
// engines on which platforms are emulated.
func (m *Manager) leaseNodes(ctx context.Context, todo []*proof, state *State) error {
	byEngine := map[string][]string{}
	for _, p := range todo {
		arch := p.row.Platform.Architecture
		endpoint, ok, err := m.engineRunning(p.node)
		if err != nil {
			return err
		}
		if !ok {
			// Beside us: who is root has leases, and what nobody registered has none.
			if _, found, err := (binfmt.Registry{}).Handler(arch); err != nil || !found || os.Geteuid() == 0 {
				continue
			}
			if endpoint, err = m.engineOf(ctx, p.node); err != nil {
				continue // none, and so none that registered anything
			}
		}
		byEngine[endpoint] = append(byEngine[endpoint], arch)
	}
	for endpoint, archs := range byEngine {
		if err := m.joinImages(ctx, endpoint, archs, state); err != nil {
			return err
		}
	}
	return nil
}

// undoBinfmtImage has the image remove what it registered and no other run uses.
func (m *Manager) undoBinfmtImage(ctx context.Context, e entry, state *State) error {
	names := strings.Split(e.ID, ",")
	for _, name := range names {
		if arch, ok := strings.CutPrefix(name, "qemu-"); !ok || strings.ContainsAny(arch, "*?[") {
			return errdefs.New(errdefs.Denied, "%q is no registration of the binfmt image", e.ID)
		}
	}
	api, err := m.engine(e.Where)
	if err != nil {
		return err
	}
	defer api.Close()
	others, err := m.imageLeases(ctx, api, state.nonce())
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return inUse(others, name) })
	if len(names) == 0 {
		return errInUse
	}
	r := &imageRunner{m: m, endpoint: e.Where, image: e.Detail, state: state}
	if err := r.pull(ctx); err != nil {
		return err
	}
	after, err := r.run(ctx, "--uninstall", strings.Join(names, ","))
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range names {
		if slices.Contains(after.Emulators, name) {
			faults = append(faults, errdefs.New(errdefs.Environment, "image %s did not remove %s", e.Detail, name))
		}
	}
	return errors.Join(faults...)
}
