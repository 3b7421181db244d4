package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/shlex"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Options are what a person can say of a builder and of emulation on it, for
// commands to embed.
type Options struct {
	BuilderOptions
	UpkeepOptions
	BinfmtImage string `env:"BINFMT-IMAGE" placeholder:"IMAGE" help:"Image that registers emulators on a machine that has none of its own; the default is docker.io/tonistiigi/binfmt:qemu-v10.2.3-68."`
	BinfmtCache bool   `env:"BINFMT-CACHE" envDefault:"true" help:"Keep that image, where it is pulled, in RUNNER_TOOL_CACHE or the user's cache directory, for when it can't be pulled; not on runners that GitHub hosts."`
}

// ImageCache is the directory for Host.ImageCache; empty is none.
func (o Options) ImageCache(environ map[string]string) string {
	if !o.BinfmtCache {
		return ""
	}
	return ImageCacheDir(environ)
}

// Spec is what the options ask for, as in [BuilderOptions.Spec], of a run that
// the CI system of that name started.
func (o Options) Spec(dir string, environ map[string]string, provider string) (Spec, error) {
	spec, err := o.BuilderOptions.Spec(dir, environ)
	spec.BinfmtImage = o.BinfmtImage
	lifetime, lifetimeErr := o.ParseLifetime(provider, environ, false)
	spec.Lifetime = lifetime
	return spec, errors.Join(err, lifetimeErr)
}

// BuilderOptions are what a person can say of a builder. The names are those of
// docker/setup-buildx-action.
type BuilderOptions struct {
	Driver                string   `env:"DRIVER" choices:"docker-container process remote docker none" help:"Driver of a builder that is made: docker-container, process, which needs no engine, or remote, for a buildkitd that runs at endpoint; docker makes none and uses the engine's own BuildKit, which can do less; none, for setup only, makes no builder, where emulators are all that is wanted. The default is docker-container where an engine answers, else process."`
	DriverOpts            []string `env:"DRIVER-OPTS" quotes:"keep" help:"Options of the driver, key=value in CSV: image, network, memory, memory-swap, cpu-quota, cpu-period, cpu-shares, cpuset-cpus, cpuset-mems, cgroup-parent, restart-policy, env.NAME, default-load, provenance-add-gha, allow-untrusted-image; of driver remote servername, cacert, cert, key, default-load."`
	BuildkitdFlags        string   `env:"BUILDKITD-FLAGS" help:"Flags of buildkitd. The default allows the entitlements security.insecure and network.host, which a build must still ask for."`
	BuildkitdConfig       string   `env:"BUILDKITD-CONFIG" placeholder:"FILE" help:"The buildkitd.toml to use; the default is buildkitd.default.toml in buildx's directory, where there is one."`
	BuildkitdConfigInline string   `env:"BUILDKITD-CONFIG-INLINE" help:"The text of a buildkitd.toml, instead of buildkitd-config."`
	Endpoint              string   `env:"ENDPOINT" help:"Engine that runs the builder: an address or a docker context; the default is the current one. For driver remote buildkitd's own address: tcp://host:port, unix:///path, ssh://user@host or docker-container://name."`
	Append                string   `env:"APPEND" help:"Further nodes of a builder that is made, a list in YAML with the keys name, driver, endpoint, driver-opts, buildkitd-flags and platforms. Platforms are then also what the first node is for."`
	ProcessOptions
	SettingOptions
}

// Spec is what the options ask for, and the variables of [ParseNodeTLS]; the
// name, the platforms and what becomes of it are the caller's. Relative paths
// start at dir. Every fault is an errdefs.BadInput, joined.
func (o BuilderOptions) Spec(dir string, environ map[string]string) (Spec, error) {
	spec := Spec{Driver: o.Driver, Endpoint: o.Endpoint}
	faults := []error{o.ProcessOptions.complete(&spec, dir)}
	var err error
	spec.DriverOpts, err = parseDriverOpts(o.DriverOpts)
	faults = append(faults, err)
	if o.BuildkitdFlags != "" {
		if spec.Flags, err = shlex.Split(o.BuildkitdFlags); err != nil {
			faults = append(faults, errdefs.BadInputf("buildkitd-flags", 0, "%q: %w", o.BuildkitdFlags, err))
		}
	}
	spec.TLS, err = ParseNodeTLS(environ, 0)
	faults = append(faults, err)
	spec.Nodes, err = ParseAppend(o.Append, environ)
	faults = append(faults, err)
	var configErr error
	spec.Config, configErr = o.config(dir)
	faults = append(faults, configErr)
	spec.Settings, err = o.settings(dir, environ)
	if faults = append(faults, err); configErr == nil {
		// What a builder's default configuration says is seen when it is made.
		_, _, err = mergeConfig(spec.Config, true, spec.Settings)
		_, envErr := mergeEnviron(spec.DriverOpts, spec.Settings)
		faults = append(faults, err, envErr)
	}
	if err := errors.Join(faults...); err != nil {
		return Spec{}, err
	}
	return spec, nil
}

// For is the builder for platforms. Of several nodes the first is then for those
// that no other one is for: else a build could go to any that runs them.
func (s Spec) For(platforms []v1.Platform) Spec {
	if len(s.Nodes) > 0 {
		s.Platforms = platforms
	}
	return s
}

// parseDriverOpts reads key=value fields, in CSV, of all lines. The last of a
// key wins, as in buildx.
func parseDriverOpts(lines []string) (map[string]string, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	opts := map[string]string{}
	var faults []error
	for i, line := range lines {
		fields, err := csvvalue.Fields(line, nil)
		if err != nil {
			faults = append(faults, errdefs.BadInputf("driver-opts", i+1, "%q: %w", line, err))
			continue
		}
		for _, f := range fields {
			key, value, ok := strings.Cut(f, "=")
			if key = strings.TrimSpace(key); !ok || key == "" {
				faults = append(faults, errdefs.BadInputf("driver-opts", i+1, "%q is not key=value", f))
				continue
			}
			opts[key] = value
		}
	}
	return opts, errors.Join(faults...)
}

// config is the configuration that was given; nil where none was.
func (o BuilderOptions) config(dir string) ([]byte, error) {
	input, raw := "buildkitd-config-inline", []byte(o.BuildkitdConfigInline)
	switch {
	case o.BuildkitdConfig != "" && o.BuildkitdConfigInline != "":
		return nil, errdefs.BadInputf("buildkitd-config-inline", 0, "buildkitd-config is given too").
			WithHint("give one of them")
	case o.BuildkitdConfig != "":
		path := o.BuildkitdConfig
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		var err error
		if raw, err = os.ReadFile(path); err != nil {
			return nil, errdefs.BadInputf("buildkitd-config", 0, "%w", err)
		}
		input = "buildkitd-config"
	case o.BuildkitdConfigInline == "":
		return nil, nil
	}
	if _, err := parseConfig(raw); err != nil {
		var bad *errdefs.Error
		if errors.As(err, &bad) {
			bad.Input = input
		}
		return nil, err
	}
	return raw, nil
}
