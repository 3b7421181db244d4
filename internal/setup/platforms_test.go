package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParsePlatforms(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "x86-64": "linux/amd64",
		"linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
		"arm64": "linux/arm64", "aarch64": "linux/arm64", "linux/arm64/v8": "linux/arm64", "LINUX/ARM64": "linux/arm64",
		"linux/arm": "linux/arm/v7", "linux/arm/v7": "linux/arm/v7", "linux/arm/6": "linux/arm/v6", "armhf": "linux/arm/v7", "armel": "linux/arm/v6",
		"386": "linux/386", "i386": "linux/386", "s390x": "linux/s390x", "linux/ppc64le": "linux/ppc64le", "linux/riscv64": "linux/riscv64",
		"windows/amd64": "windows/amd64", " linux/amd64 ": "linux/amd64",
	} {
		got, err := ParsePlatforms([]string{in})
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%q: got %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestParsePlatformsList(t *testing.T) {
	got, err := ParsePlatforms([]string{"linux/arm64", "amd64", "aarch64"})
	check(t, err)
	want := []v1.Platform{{OS: "linux", Architecture: "arm64"}, {OS: "linux", Architecture: "amd64"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := ParsePlatforms(nil); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestParsePlatformsUnknown(t *testing.T) {
	_, err := ParsePlatforms([]string{"linux/amd46", "linux/arm64", "linux/arm/v9", "local", "plan9/amd64", "linux/amd64/v7/x", "", "linux(1)/amd64"})
	if errdefs.KindOf(err) != errdefs.BadInput {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`input "platforms" line 1: unknown platform "linux/amd46"|did you mean linux/amd64?`,
		`input "platforms" line 3: unknown platform "linux/arm/v9"|did you mean linux/arm/v5?`,
		`input "platforms" line 4: unknown platform "local"|os/architecture or os/architecture/variant, as linux/arm64 or linux/arm/v7`,
		`input "platforms" line 5: unknown platform "plan9/amd64"|`,
		`input "platforms" line 6: unknown platform "linux/amd64/v7/x"|`,
		`input "platforms" line 7: unknown platform ""|`,
		`input "platforms" line 8: unknown platform "linux(1)/amd64"|`,
	}
	for i, e := range errdefs.List(err) {
		if got := e.Error() + "|" + strings.Join(errdefs.Hints(e), "|"); !strings.HasPrefix(got, want[i]) {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
}

func FuzzParsePlatforms(f *testing.F) {
	for _, s := range []string{"linux/arm/v7", "amd64", "a/b/c/d", "linux(10)/amd64", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParsePlatforms([]string{s})
		if err != nil || list[0].OSVersion != "" {
			return
		}
		again, err := ParsePlatforms([]string{list[0].String()})
		if err != nil || !again[0].Equals(list[0]) {
			t.Errorf("%q gave %s, which gave %v, %v", s, list[0], again, err)
		}
	})
}

func TestNative(t *testing.T) {
	amd, arm := v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"}
	v7 := v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	for _, tt := range []struct {
		own, p v1.Platform
		want   bool
	}{
		{amd, amd, true},
		{amd, v1.Platform{OS: "linux", Architecture: "386"}, true},
		{amd, arm, false},
		{amd, v7, false},
		{arm, v7, true},
		{arm, amd, false},
		{v7, arm, false},
		{amd, v1.Platform{OS: "windows", Architecture: "amd64"}, false},
	} {
		if got := native(tt.own, tt.p); got != tt.want {
			t.Errorf("%s on %s: %v", tt.p, tt.own, got)
		}
	}
}
