package setup

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// configDir is where buildkitd in a container looks for its files.
const configDir = "/etc/buildkit"

const configFile = "buildkitd.toml"

// certLimit is the size up to which a certificate's file is read.
const certLimit = 1 << 20

// Registry hosts name directories of certificates; ports' colons can't.
var notInPath = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// parseConfig reads a buildkitd.toml as a plain map: written back from a struct
// it would gain empty fields that buildkitd refuses.
func parseConfig(raw []byte) (map[string]any, error) {
	conf := map[string]any{}
	if err := toml.Unmarshal(raw, &conf); err != nil {
		return nil, errdefs.BadInputf("buildkitd-config", 0, "no TOML: %w", err)
	}
	return conf, nil
}

// containerFiles are the files below /etc/buildkit for a buildkitd.toml: the
// file itself and the registries' certificates, which are read here, since the
// container sees nothing of this machine. Relative paths start at dir.
func containerFiles(raw []byte, dir string) (map[string][]byte, error) {
	conf, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	c := certCopier{dir: dir, files: map[string][]byte{}}
	registries, _ := conf["registry"].(map[string]any)
	for _, host := range slices.Sorted(maps.Keys(registries)) {
		registry, ok := registries[host].(map[string]any)
		if !ok {
			return nil, errdefs.BadInputf("buildkitd-config", 0, "registry %q is no table", host)
		}
		if err := c.registry(host, registry); err != nil {
			return nil, err
		}
	}
	if c.files[configFile], err = toml.Marshal(conf); err != nil {
		return nil, err
	}
	return c.files, nil
}

// certCopier reads certificates and points the configuration at their copies.
type certCopier struct {
	dir   string
	files map[string][]byte
}

func (c certCopier) registry(host string, registry map[string]any) error {
	if cas, ok := registry["ca"].([]any); ok {
		for i := range cas {
			if err := c.copy(host, "ca", cas, i); err != nil {
				return err
			}
		}
	}
	pairs, _ := registry["keypair"].([]any)
	for i := range pairs {
		pair, ok := pairs[i].(map[string]any)
		if !ok {
			return errdefs.BadInputf("buildkitd-config", 0, "registry %q: keypair %d is no table", host, i+1)
		}
		for _, key := range []string{"key", "cert"} {
			value, ok := pair[key]
			if !ok {
				continue
			}
			slot := []any{value}
			if err := c.copy(host, key, slot, 0); err != nil {
				return err
			}
			pair[key] = slot[0]
		}
	}
	return nil
}

// copy reads the file that list[i] names and puts its new path there.
func (c certCopier) copy(host, key string, list []any, i int) error {
	name, ok := list[i].(string)
	if !ok {
		return errdefs.BadInputf("buildkitd-config", 0, "registry %q: %s is no path", host, key)
	}
	raw, err := c.read(name)
	if err != nil {
		return errdefs.BadInputf("buildkitd-config", 0, "registry %q: %s: %w", host, key, err)
	}
	dir := path.Join("certs", notInPath.ReplaceAllString(host, "_"))
	file := path.Join(dir, filepath.Base(name))
	// Two files of one name in different directories must not overwrite each
	// other, as they do in buildx.
	for n := 2; ; n++ {
		if other, taken := c.files[file]; !taken || string(other) == string(raw) {
			break
		}
		file = path.Join(dir, fmt.Sprintf("%d-%s", n, filepath.Base(name)))
	}
	c.files[file] = raw
	list[i] = path.Join(configDir, file)
	return nil
}

func (c certCopier) read(name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, certLimit+1))
	if err == nil && len(raw) > certLimit {
		err = fmt.Errorf("%s is larger than %d bytes", name, certLimit)
	}
	return raw, err
}

// Entitlements that a daemon allows when nothing is said about its flags, as
// docker/setup-buildx-action has them. A build must still ask for them.
var defaultFlags = []string{
	"--allow-insecure-entitlement", "security.insecure",
	"--allow-insecure-entitlement", "network.host",
}

const entitlementFlag = "--allow-insecure-entitlement"

// daemonFlags are the flags of a builder's buildkitd. A container's network is
// its own, so that network.host is always allowed there unless flags or
// configuration name entitlements (buildx: builder.parseBuildkitdFlags).
func daemonFlags(given []string, driver string, opts map[string]string, raw []byte) ([]string, error) {
	if given == nil {
		return slices.Clone(defaultFlags), nil
	}
	if driver != DockerContainer {
		return slices.Clone(given), nil
	}
	conf, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	entitlements := entitlementsOf(given)
	hostAllowed := slices.Contains(entitlements, "network.host")
	configured, _ := conf["insecure-entitlements"].([]any)
	wanted := opts["network"] == "host" && !hostAllowed
	if wanted || len(entitlements) == 0 && !slices.Contains(configured, any("network.host")) {
		return append(slices.Clone(given), entitlementFlag+"=network.host"), nil
	}
	return slices.Clone(given), nil
}

func entitlementsOf(flags []string) []string {
	var found []string
	for i, f := range flags {
		if value, ok := strings.CutPrefix(f, entitlementFlag+"="); ok {
			found = append(found, value)
		}
		if f == entitlementFlag && i+1 < len(flags) {
			found = append(found, flags[i+1])
		}
	}
	return found
}
