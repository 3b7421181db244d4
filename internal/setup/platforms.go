package setup

import (
	"errors"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// knownPlatforms are what images are made for: the pairs that Go knows and the
// variants that the image specification names. Anything else in an input is
// more likely a slip than a wish.
var knownPlatforms = []string{
	"linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4",
	"linux/arm64", "linux/arm64/v9", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8",
	"linux/386", "linux/loong64", "linux/mips", "linux/mipsle", "linux/mips64", "linux/mips64le",
	"linux/ppc64", "linux/ppc64le", "linux/riscv64", "linux/s390x",
	"windows/amd64", "windows/arm64", "darwin/amd64", "darwin/arm64",
	"freebsd/amd64", "freebsd/arm64", "wasip1/wasm", "wasi/wasm", "js/wasm",
}

// ParsePlatforms reads platforms as people write them (arm64, linux/x86_64,
// linux/arm/v7), each once, in order. Unknown ones are errdefs.BadInput of
// input "platforms", joined, with the nearest known one as the hint.
func ParsePlatforms(list []string) ([]v1.Platform, error) {
	var found []v1.Platform
	var faults []error
	for i, s := range list {
		p, err := parsePlatform(s)
		if err != nil {
			err.Input, err.Line = "platforms", i+1
			faults = append(faults, err)
			continue
		}
		if !slices.ContainsFunc(found, func(o v1.Platform) bool { return o.Equals(p) }) {
			found = append(found, p)
		}
	}
	return found, errors.Join(faults...)
}

func parsePlatform(s string) (v1.Platform, *errdefs.Error) {
	s = strings.TrimSpace(s)
	full := strings.ToLower(s)
	if full != "" && !strings.Contains(full, "/") {
		full = "linux/" + full // never this machine's system: images run on Linux
	}
	p, err := platforms.Parse(full)
	p = platforms.Normalize(p)
	name := platforms.Format(p)
	// A version in parentheses, windows(10.0.17763)/amd64, means something on
	// Windows only.
	if err == nil && slices.Contains(knownPlatforms, name) && (p.OSVersion == "" || p.OS == "windows") {
		return fromOCI(p), nil
	}
	bad := errdefs.New(errdefs.BadInput, "unknown platform %q", s)
	if near := errdefs.Nearest(full, knownPlatforms); near != "" {
		return v1.Platform{}, bad.WithHint("did you mean %s?", near)
	}
	return v1.Platform{}, bad.WithHint("os/architecture or os/architecture/variant, as linux/arm64 or linux/arm/v7")
}

func fromOCI(p ocispecs.Platform) v1.Platform {
	return v1.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant,
		OSVersion: p.OSVersion, OSFeatures: p.OSFeatures,
	}
}

func toOCI(p v1.Platform) ocispecs.Platform {
	return ocispecs.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant,
		OSVersion: p.OSVersion, OSFeatures: p.OSFeatures,
	}
}

// native is whether a machine whose own platform is own runs p without an
// emulator: its own architecture, and older or smaller kin of it.
func native(own, p v1.Platform) bool {
	return platforms.Only(toOCI(own)).Match(toOCI(p))
}

// same is whether two platforms are one, however they are written: linux/arm64
// is linux/arm64/v8.
func same(a, b v1.Platform) bool {
	return platforms.OnlyStrict(toOCI(a)).Match(toOCI(b))
}

// merge adds the platforms of more to list that it has not.
func merge(list, more []v1.Platform) []v1.Platform {
	for _, p := range more {
		p = fromOCI(platforms.Normalize(toOCI(p)))
		if !slices.ContainsFunc(list, func(o v1.Platform) bool { return o.Equals(p) }) {
			list = append(list, p)
		}
	}
	return list
}
