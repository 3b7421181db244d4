package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// step is one part of the environment.
type step struct {
	name  string
	needs []string // parts that must be up before
	// ready is whether the part is up; it is quick and changes nothing. The
	// text says what is up.
	ready func(context.Context, *world) (text string, ok bool)
	// missing names what up needs and the machine lacks.
	missing func(context.Context, *world) []string
	// up makes the part. It is left out where the part is ready, which is said.
	up func(context.Context, *world) error
	// down stops what up started; nil is nothing to stop.
	down func(context.Context, *world) error
	// clean undoes what down keeps; nil is nothing beside files.
	clean func(context.Context, *world) error
}

// steps are the environment, in the order in which it is brought up.
func steps() []step {
	return []step{
		// Debian's packages that the rest is made with
		{name: "packages", ready: packagesReady, missing: packagesMissing, up: packagesUp},
		// buildkitd, buildx, registry, act and the other programs of tools/
		{name: "tools", ready: toolsReady, up: toolsUp},
		// distribution's registry on the loopback, and a buildkitd.toml that knows it
		{name: "registry", needs: []string{"tools"}, ready: registryReady, up: registryUp, down: registryDown},
		// the kernel's table of interpreters, mounted and left as it is found
		{name: "binfmt", ready: binfmtReady, missing: binfmtMissing, up: binfmtUp, down: binfmtDown},
		// a Docker Engine: the one that answers, else one of our own
		{name: "engine", needs: []string{"packages", "tools", "registry"}, ready: engineReady, missing: engineMissing, up: engineUp, down: engineDown},
		// BuildKit's image and the emulators' image, in the engine
		{name: "images", needs: []string{"engine"}, ready: imagesReady, missing: imagesMissing, up: imagesUp, clean: imagesClean},
		// base images and the Dockerfile frontend, in the registry
		{name: "bases", needs: []string{"packages", "registry"}, ready: basesReady, missing: basesMissing, up: basesUp},
		// gitlab-ci-local, which runs .gitlab-ci.yml
		{name: "gitlab", needs: []string{"packages"}, ready: gitlabReady, up: gitlabUp},
		// an S3 and an Azure Blob Storage of our own, for caches
		{name: "s3", ready: s3Ready, up: s3Up, down: s3Down},
		{name: "azure", needs: []string{"packages"}, ready: azureReady, up: azureUp, down: azureDown},
	}
}

// choose gives the steps of these names and all that they need, in order. No
// name is all steps.
func choose(all []step, names []string) ([]step, error) {
	if len(names) == 0 {
		return all, nil
	}
	want := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		i := slices.IndexFunc(all, func(s step) bool { return s.name == name })
		if i < 0 {
			return errdefs.New(errdefs.BadInput, "unknown part %q", name).WithHint("one of %s", strings.Join(partNames(all), ", "))
		}
		want[name] = true
		for _, need := range all[i].needs {
			if err := add(need); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s step) bool { return !want[s.name] }), nil
}

func partNames(all []step) []string {
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

// up brings up the parts. It can be run again at any time.
func up(ctx context.Context, w *world, names []string) error {
	chosen, err := choose(steps(), names)
	if err != nil {
		return err
	}
	unlock, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := requireAll(ctx, w, chosen); err != nil {
		return err
	}
	for _, s := range chosen {
		if err := upOne(ctx, w, s); err != nil {
			return err
		}
	}
	return nil
}

// requireAll names everything at once that the steps lack, before the first begins.
func requireAll(ctx context.Context, w *world, chosen []step) error {
	var errs []error
	for _, s := range chosen {
		if s.missing == nil {
			continue
		}
		for _, m := range s.missing(ctx, w) {
			errs = append(errs, errdefs.New(errdefs.Environment, "%s: missing %s", s.name, m).
				WithHint("on Debian, as root, env installs and makes what is missing"))
		}
	}
	return errors.Join(errs...)
}

// upOne brings up one part and says so in one line.
func upOne(ctx context.Context, w *world, s step) error {
	start := time.Now()
	if text, ok := s.ready(ctx, w); ok {
		w.say(s, start, "already there: "+text)
		return nil
	}
	fmt.Fprintf(w.out, "%-9s ...\n", s.name)
	if err := s.up(ctx, w); err != nil {
		return &errdefs.Error{Kind: kindOr(err, errdefs.Environment), Err: fmt.Errorf("%s: %w", s.name, err)}
	}
	text, ok := s.ready(ctx, w)
	if !ok {
		return errdefs.New(errdefs.Environment, "%s: came up and yet is not there: %s", s.name, text)
	}
	w.say(s, start, "up: "+text)
	return nil
}

func kindOr(err error, kind errdefs.Kind) errdefs.Kind {
	if k := errdefs.KindOf(err); k != errdefs.Unknown {
		return k
	}
	return kind
}

func (w *world) say(s step, start time.Time, text string) {
	fmt.Fprintf(w.out, "%-9s %s (%.1fs)\n", s.name, text, time.Since(start).Seconds())
}

// down stops the parts, last first. Without --all the caches stay.
func down(ctx context.Context, w *world, args []string) error {
	all := slices.Contains(args, "--all")
	names := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--all" })
	chosen := steps()
	for _, name := range names { // what others need stays: only the named parts stop
		if _, err := choose(chosen, []string{name}); err != nil {
			return err
		}
	}
	unlock, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	for _, s := range slices.Backward(chosen) {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		if err := downOne(ctx, w, s, all); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if all && len(names) == 0 && len(errs) == 0 {
		errs = append(errs, w.remove())
	}
	return errors.Join(errs...)
}

func downOne(ctx context.Context, w *world, s step, all bool) error {
	start := time.Now()
	if all && s.clean != nil {
		if err := s.clean(ctx, w); err != nil {
			return err
		}
	}
	if s.down == nil {
		return nil
	}
	if err := s.down(ctx, w); err != nil {
		return err
	}
	w.say(s, start, "down")
	return nil
}

// remove removes the whole directory. A mount below it that could not be
// undone is an error, since removing would reach through it.
func (w *world) remove() error {
	mounts, err := mountsBelow(w.dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return errdefs.New(errdefs.Environment, "%s is still mounted", mounts[0])
	}
	fmt.Fprintf(w.out, "removing %s\n", w.dir)
	return os.RemoveAll(w.dir)
}

// status says which parts are up.
func status(ctx context.Context, w *world) error {
	fmt.Fprintf(w.out, "%s\n", w.dir)
	for _, s := range steps() {
		start := time.Now()
		text, ok := s.ready(ctx, w)
		if !ok {
			text = "not up: " + text
		}
		w.say(s, start, text)
	}
	return nil
}
