package setup

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// None is the driver of no builder at all: emulators are all that is wanted.
const None = "none"

// Emulators are what is to be registered with a machine's kernel, for all that
// runs there: docker run of foreign images as well as builds.
type Emulators struct {
	Reset     bool          // remove the registrations of all emulators first
	Uninstall []string      // names of registrations, with * and ?
	Install   []v1.Platform // register what runs these
	All       bool          // register every emulator that the machine has, or else the image
}

// Wanted is whether anything is to be done.
func (e Emulators) Wanted() bool {
	return e.Reset || e.All || len(e.Uninstall)+len(e.Install) > 0
}

// Register does what spec's Emulators ask for on the machine whose engine spec
// names, or on this one, and proves each emulator there by running a program. It
// gives a row a platform; with All one for every platform that runs. A platform
// that does not run is an errdefs.Environment, joined with the others. What is
// registered is written to state first, and so is what is removed of others:
// teardown puts it back where its interpreter is still there.
func (m *Manager) Register(ctx context.Context, spec Spec, state *State) ([]Emulation, error) {
	if err := state.begin(spec, m.host.Environ, m.host.Now()); err != nil {
		return nil, errdefs.New(errdefs.Environment, "state file: %w", err)
	}
	rows, err := m.register(ctx, spec, state)
	return rows, canceled(ctx, "register emulators", err)
}

func (m *Manager) register(ctx context.Context, spec Spec, state *State) ([]Emulation, error) {
	at, err := m.site(ctx, spec, state)
	if err != nil {
		return nil, err
	}
	if err := m.sweepLeases(ctx); err != nil {
		return nil, err
	}
	if err := at.remove(ctx, spec.Emulators, state); err != nil {
		return nil, err
	}
	want := spec.Emulators.Install
	if spec.Emulators.All {
		if want, err = at.all(ctx); err != nil {
			return nil, err
		}
	}
	rows := make([]Emulation, len(want))
	var todo []*proof
	for i, p := range want {
		rows[i].Platform = p
		todo = append(todo, &proof{row: &rows[i]})
	}
	if err := at.add(ctx, todo, state); err != nil {
		return rows, err
	}
	if spec.Emulators.All { // not all that could be tried need be there
		todo = slices.DeleteFunc(todo, func(p *proof) bool { return p.err != nil && p.row.Emulator == "" })
		rows = slices.DeleteFunc(rows, func(r Emulation) bool {
			return !slices.ContainsFunc(todo, func(p *proof) bool { return p.row.Platform.Equals(r.Platform) })
		})
	}
	return rows, m.tellRegistered(ctx, todo)
}

// site is the machine whose kernel is meant.
type site struct {
	m        *Manager
	local    bool   // it is this one
	endpoint string // of its engine; empty where none answers
	why      error  // none does
	image    imageRunner
}

// direct is whether we register by ourselves.
func (s *site) direct() bool { return s.local && os.Geteuid() == 0 }

func (m *Manager) site(ctx context.Context, spec Spec, state *State) (*site, error) {
	given := spec.Endpoint
	if spec.Driver == Process || spec.Driver == Remote {
		given = "" // not an engine's
	}
	endpoint, err := m.endpoint(given)
	if err != nil {
		return nil, err
	}
	s := &site{m: m}
	if s.why = m.ping(ctx, endpoint, pingLimit); s.why != nil {
		if given != "" || kernel() == "" {
			return nil, s.why
		}
		s.local = true
		return s, nil
	}
	s.endpoint = endpoint
	s.image = imageRunner{m: m, endpoint: endpoint, image: binfmtImage(spec.BinfmtImage), state: state}
	s.local, err = m.sharesKernel(ctx, &Node{conn: &containerNode{m: m, node: groupNode{Endpoint: endpoint}}})
	return s, err
}

func binfmtImage(given string) string {
	if given == "" {
		return DefaultBinfmtImage
	}
	return given
}

// all are the platforms that may have an emulator: those of this machine's, or,
// where it has none, every one there is a check for, for the image to say.
func (s *site) all(ctx context.Context) ([]v1.Platform, error) {
	var here, every []v1.Platform
	own := false
	for _, arch := range binfmt.Architectures() {
		list := platformsOf(arch)
		every = append(every, list...)
		if !s.direct() {
			continue
		}
		_, found, err := binfmt.Registry{}.Handler(arch)
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "binfmt_misc: %w", err)
		}
		emulators := len(binfmt.Emulators("/", arch)) > 0
		own = own || emulators
		if found || emulators || arch == runtime.GOARCH {
			here = append(here, list...)
		}
	}
	if own || s.endpoint == "" {
		return here, nil
	}
	return every, nil
}

// platformsOf are the platforms that an architecture's emulator runs.
func platformsOf(arch string) []v1.Platform {
	if arch != "arm" {
		return []v1.Platform{{OS: "linux", Architecture: arch}}
	}
	return []v1.Platform{{OS: "linux", Architecture: arch, Variant: "v7"}, {OS: "linux", Architecture: arch, Variant: "v6"}}
}

// add has every platform run, and sets the error of those that don't.
func (s *site) add(ctx context.Context, todo []*proof, state *State) error {
	var broken []*proof
	if err := s.join(ctx, todo, state); err != nil {
		return err
	}
	for _, p := range todo {
		arch := p.row.Platform.Architecture
		if _, ok := binfmt.Check(arch); !ok || p.row.Platform.OS != "linux" {
			p.err, p.next = binfmt.ErrUnproved, "only programs of Linux on "+strings.Join(binfmt.Architectures(), ", ")+" can be emulated"
			continue
		}
		if s.local {
			if err := s.m.leaseEmulator(ctx, arch, state); err != nil {
				return err
			}
		}
		if p.err = s.run(ctx, arch); p.err != nil {
			broken = append(broken, p)
			continue
		}
		s.settle(p)
	}
	if len(broken) == 0 {
		return nil
	}
	if err := s.install(ctx, broken, state); err != nil {
		return err
	}
	for _, p := range broken {
		if p.retry {
			p.err = s.run(ctx, p.row.Platform.Architecture)
		}
		if errors.Is(p.err, binfmt.ErrUnproved) {
			p.next = "TMPDIR names a directory where programs may be run"
		}
	}
	return nil
}

// join takes part in what other runs registered by the engine's image.
func (s *site) join(ctx context.Context, todo []*proof, state *State) error {
	if s.endpoint == "" {
		return nil
	}
	var archs []string
	for _, p := range todo {
		archs = append(archs, p.row.Platform.Architecture)
	}
	return s.m.joinImages(ctx, s.endpoint, archs, state)
}

func (s *site) install(ctx context.Context, broken []*proof, state *State) error {
	var foreign []*proof
	for _, p := range broken {
		if s.local {
			done, err := s.m.installHost(ctx, p, state)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if s.endpoint == "" {
			p.next = strings.Trim(p.next+"; no engine for the binfmt image: "+firstLine(s.why.Error()), "; ")
			continue
		}
		foreign = append(foreign, p)
	}
	if len(foreign) == 0 {
		return nil
	}
	return s.m.installImage(ctx, s.endpoint, foreign, s.image.image, state)
}

// settle says what ran a program that needed nothing of us.
func (s *site) settle(p *proof) {
	if !s.local {
		p.row.Emulator = "the kernel of " + s.endpoint
		return
	}
	e, found, err := binfmt.Registry{}.Handler(p.row.Platform.Architecture)
	if p.row.Native = !found && err == nil; !p.row.Native {
		p.row.Emulator = e.Interpreter
	}
}

// run runs the check on the machine: here, or in a container of its engine.
func (s *site) run(ctx context.Context, arch string) error {
	if !s.local {
		return s.image.check(ctx, arch)
	}
	err := s.m.runCheck(ctx, arch)
	if errors.Is(err, binfmt.ErrUnproved) && s.endpoint != "" {
		return s.image.check(ctx, arch) // no program may be run where TMPDIR is
	}
	return err
}

// tellRegistered prints what runs, and gives what does not.
func (m *Manager) tellRegistered(ctx context.Context, todo []*proof) error {
	var faults []error
	for _, p := range todo {
		r := p.row
		m.warnOf(ctx, p)
		switch {
		case p.err != nil:
			faults = append(faults, p.fault())
			r.Err = p.err
		case r.Native:
			m.stepf("%s: native", r.Platform)
		default:
			m.stepf("%s: emulated by %s, proved by running a program", r.Platform, r.Emulator)
		}
	}
	return errors.Join(faults...)
}
