package setup

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

func TestEmulators(t *testing.T) {
	arm64 := v1.Platform{OS: "linux", Architecture: "arm64"}
	s390x := v1.Platform{OS: "linux", Architecture: "s390x"}
	driver := func(name string) setup.BuilderOptions { return setup.BuilderOptions{Driver: name} }
	for name, tt := range map[string]struct {
		options   Options
		want      setup.Emulators
		platforms []v1.Platform
	}{
		"nothing": {Options{}, setup.Emulators{}, nil},
		"for a build": {
			Options{Platforms: []string{"linux/arm64"}},
			setup.Emulators{}, []v1.Platform{arm64},
		},
		"for all that runs": {
			Options{Platforms: []string{"linux/arm64"}, EmulatorOptions: EmulatorOptions{Install: []string{"s390x"}}},
			setup.Emulators{Install: []v1.Platform{s390x}}, []v1.Platform{arm64},
		},
		"every one for a build": {
			Options{Platforms: []string{"linux/arm64", "ALL"}},
			setup.Emulators{All: true}, []v1.Platform{arm64},
		},
		"every one": {
			Options{EmulatorOptions: EmulatorOptions{Install: []string{"all"}}},
			setup.Emulators{All: true}, nil,
		},
		"no builder": {
			Options{BuilderOptions: driver(setup.None), Platforms: []string{"arm64"}},
			setup.Emulators{Install: []v1.Platform{arm64}}, nil,
		},
		"no builder, no platforms": {
			Options{BuilderOptions: driver(setup.None), EmulatorOptions: EmulatorOptions{Reset: true}},
			setup.Emulators{Reset: true, All: true}, nil,
		},
		"no builder, and less than there was": {
			Options{BuilderOptions: driver(setup.None), EmulatorOptions: EmulatorOptions{Uninstall: []string{"arm64"}}},
			setup.Emulators{Uninstall: []string{"qemu-aarch64"}}, nil,
		},
	} {
		got, platforms, err := tt.options.emulators()
		if diff := cmp.Diff([]any{tt.want, tt.platforms}, []any{got, platforms}); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestEmulatorsFaults(t *testing.T) {
	o := Options{
		BuilderOptions: setup.BuilderOptions{Driver: setup.None, Append: "[]"}, Name: "x", KeepState: true,
		Platforms:       []string{"linux/arm46"},
		EmulatorOptions: EmulatorOptions{Install: []string{"all", "linux/amd46"}, Uninstall: []string{"["}},
	}
	_, _, err := o.emulators()
	for _, want := range []string{
		`input "platforms" line 1: unknown platform "linux/arm46"`, `input "install" line 1: unknown platform "linux/amd46"`,
		`input "uninstall" line 1: "[" is no pattern`, `input "name": driver none`, `input "append": driver none`, `input "keep-state": driver none`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	var bad *errdefs.Error
	if !errors.As(err, &bad) || bad.Kind != errdefs.BadInput {
		t.Errorf("got %v", err)
	}
	o = Options{BuilderOptions: setup.BuilderOptions{Driver: setup.Remote}, Platforms: []string{"all"}}
	if _, _, err := o.emulators(); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("got %v", err)
	}
}
