package setup

import (
	"errors"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/setup"
)

// EmulatorOptions are what a person can say of emulators. The names are those of
// docker/setup-qemu-action and of the program that its image runs.
type EmulatorOptions struct {
	Image      string      `env:"IMAGE" envDefault:"docker.io/tonistiigi/binfmt:qemu-v10.2.3-68" help:"Image that registers emulators on a machine that has none of its own."`
	CacheImage bool        `env:"CACHE-IMAGE" envDefault:"true" help:"Keep that image, where it is pulled, in RUNNER_TOOL_CACHE or the user's cache directory, for when it can't be pulled. On runners that GitHub hosts, which are new for each job, nothing is kept."`
	Install    input.Words `env:"INSTALL" help:"Platforms whose emulators are registered with the kernel for all that runs there, as docker run of foreign images, also where the builder needs none; all for every emulator that there is."`
	Uninstall  input.Words `env:"UNINSTALL" help:"Registrations to remove first, as qemu-arm or qemu-*, or platforms. Teardown puts them back where root removed them and their emulators are still there."`
	Reset      bool        `env:"RESET" envDefault:"false" help:"Remove the registrations of all emulators first, whoever made them, but for those that another run uses. Teardown puts them back as with uninstall."`
}

// all is the word for every platform that has an emulator.
const all = "all"

// emulators is what is to be registered, and the platforms to build for. Without
// a builder the platforms are those to register, as in docker/setup-qemu-action,
// and all by default.
func (o Options) emulators() (setup.Emulators, []v1.Platform, error) {
	e := setup.Emulators{Reset: o.Reset}
	var err error
	var faults []error
	e.Uninstall, err = setup.ParseUninstall(o.Uninstall)
	faults = append(faults, err)
	install, installAll := without(o.Install, all)
	e.Install, err = setup.ParsePlatforms(install)
	faults = append(faults, of("install", err))
	names, platformsAll := without(o.Platforms, all)
	platforms, err := setup.ParsePlatforms(names)
	faults = append(faults, err)
	e.All = installAll || platformsAll
	switch {
	case platformsAll && o.Driver == setup.Remote:
		faults = append(faults, errdefs.BadInputf("platforms", 0, "all is every emulator of this machine, and the builder is on another").
			WithHint("name the platforms that it builds for"))
	case o.Driver == setup.None:
		e.Install, platforms = append(e.Install, platforms...), nil
		e.All = e.All || len(e.Install)+len(e.Uninstall) == 0
		faults = append(faults, o.needsBuilder())
	}
	return e, platforms, errors.Join(faults...)
}

// without is a list without a word, and whether that was in it.
func without(list []string, word string) ([]string, bool) {
	rest := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), word) })
	return rest, len(rest) < len(list)
}

// of has faults of platforms be another input's.
func of(input string, err error) error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, fault := range list.Unwrap() {
			var bad *errdefs.Error
			if errors.As(fault, &bad) {
				bad.Input = input
			}
		}
	}
	return err
}

// needsBuilder gives a fault for each input that has no meaning without one.
func (o Options) needsBuilder() error {
	var faults []error
	for _, given := range []struct {
		input string
		is    bool
	}{
		{"name", o.Name != ""}, {"driver-opts", len(o.DriverOpts) > 0}, {"buildkitd-flags", o.BuildkitdFlags != ""},
		{"buildkitd-config", o.BuildkitdConfig != ""}, {"buildkitd-config-inline", o.BuildkitdConfigInline != ""},
		{"buildkitd", o.Buildkitd != ""}, {"append", o.Append != ""}, {"keep-state", o.KeepState},
	} {
		if given.is {
			faults = append(faults, errdefs.BadInputf(given.input, 0, "driver %s makes no builder", setup.None).
				WithHint("leave driver out for a builder with emulators"))
		}
	}
	return errors.Join(faults...)
}
