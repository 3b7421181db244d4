package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/moby/buildkit/util/disk"
	engine "github.com/moby/moby/client"
	"github.com/pelletier/go-toml/v2"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// configure completes the spec of a builder that is to be made: with the
// store's default configuration, where none is given, and with the settings
// that have inputs of their own. A setting that a given configuration or an
// option contradicts is an errdefs.BadInput that names both; the store's
// default, which nobody gave, gives way.
func (m *Manager) configure(ctx context.Context, spec Spec, driver, endpoint string) (Spec, error) {
	if driver != DockerContainer && driver != Process {
		return spec, m.leaveSettings(spec.Settings, driver)
	}
	given := spec.Config != nil
	if !given {
		var err error
		if spec.Config, err = m.store().defaultConfig(); err != nil {
			return spec, errdefs.New(errdefs.Environment, "builder store: %w", err)
		}
	}
	settings, err := m.measure(ctx, spec, driver, endpoint)
	if err != nil {
		return spec, err
	}
	certificates, err := m.dockerCertificates()
	if err != nil {
		return spec, err
	}
	var configErr, envErr error
	var notes []string
	spec.Config, notes, configErr = mergeConfig(spec.Config, given, append(slices.Clone(settings), certificates...))
	for _, line := range notes {
		m.stepf("%s", line)
	}
	spec.DriverOpts, envErr = mergeEnviron(spec.DriverOpts, settings)
	return spec, errors.Join(configErr, envErr)
}

// leaveSettings is for builders whose buildkitd somebody else configures. What holds
// for our own requests all the same is told.
func (m *Manager) leaveSettings(settings []Setting, driver string) error {
	if slices.ContainsFunc(settings, func(s Setting) bool { return s.input == registryCAInput }) {
		m.stepf("driver %s uses a buildkitd as it is: %s holds for our own requests, and not for the builder's", driver, registryCAInput)
	}
	return refuseSettings(settings, driver)
}

// refuseSettings gives the settings that such a builder can't get.
func refuseSettings(settings []Setting, driver string) error {
	var faults []error
	var told []string
	for _, s := range settings {
		// These are about our own requests too; insecure-registries the solve says of
		// pushes and caches.
		own := s.input == "insecure-registries" || s.input == registryCAInput
		if s.yields || own || slices.Contains(told, s.input) {
			continue
		}
		told = append(told, s.input)
		faults = append(faults, errdefs.BadInputf(s.input, 0, "driver %s uses a buildkitd as it is, and does not configure it", driver).
			WithHint("write it into that buildkitd's own configuration"))
	}
	return errors.Join(faults...)
}

// Keeps tells which settings a builder that is there does not get.
func (m *Manager) Keeps(builder string, settings []Setting) {
	if names := ignored(settings); names != "" {
		m.stepf("builder %s keeps the configuration that it has, without %s", builder, names)
	}
}

// ignored names the inputs of settings that a builder that is there does not get.
func ignored(settings []Setting) string {
	var names []string
	for _, s := range settings {
		if !s.yields && !slices.Contains(names, s.input) {
			names = append(names, s.input)
		}
	}
	return strings.Join(names, ", ")
}

// mergeConfig adds the settings to a buildkitd.toml: wishes first, then what
// gives way. Where nothing is to be said it is left to the byte. The notes tell
// what of a default counts no more.
func mergeConfig(raw []byte, given bool, settings []Setting) (merged []byte, notes []string, err error) {
	conf, err := parseConfig(raw)
	if err != nil {
		return nil, nil, err
	}
	merge := configMerge{conf: conf, given: given, said: map[string]string{}}
	var faults []error
	for _, yields := range []bool{false, true} {
		for _, s := range settings {
			if s.at == inConfig && s.yields == yields {
				faults = append(faults, merge.add(s))
			}
		}
	}
	if err := errors.Join(faults...); err != nil || !merge.changed {
		return raw, nil, err
	}
	merged, err = toml.Marshal(conf)
	return merged, merge.notes, err
}

type configMerge struct {
	conf    map[string]any
	given   bool              // by a person; else the store's default
	said    map[string]string // by key, the input that set it
	changed bool
	notes   []string
}

func (c *configMerge) add(s Setting) error {
	if table, ok := s.value.(map[string]any); ok {
		return c.addTable(s, table)
	}
	table, key, err := c.slot(s)
	if err != nil {
		return err
	}
	for _, other := range s.without {
		if there := spelled(table, other); there != "" {
			if err := c.settle(s, table, there); err != nil {
				return err
			}
			delete(table, there)
		}
	}
	old, there := table[key]
	switch {
	case !there:
	case s.adds:
		s.value = union(old, s.value)
	case reflect.DeepEqual(old, s.value), s.yields:
		return nil
	default:
		if err := c.settle(s, table, key); err != nil {
			return err
		}
	}
	table[key], c.changed = s.value, true
	c.said[strings.Join(s.key, "\x00")] = s.input
	return nil
}

// settle is a fault where what is there counts as much as the setting.
func (c *configMerge) settle(s Setting, table map[string]any, key string) error {
	full := append(slices.Clone(s.key[:len(s.key)-1]), key)
	input, said := c.said[strings.Join(full, "\x00")]
	switch {
	case said && input != s.input:
		return errdefs.BadInputf(s.input, s.line, "%s is %v by %s, and not %v", tomlKey(full), table[key], input, s.value).
			WithHint("leave out one of them")
	case said:
		return errdefs.BadInputf(s.input, s.line, "%s is %v by another line, and not %v", tomlKey(full), table[key], s.value)
	case c.given:
		return errdefs.BadInputf(s.input, s.line, "buildkitd-config says %s = %v already", tomlKey(full), table[key]).
			WithHint("leave it out there, or leave out %s", s.input)
	}
	c.notes = append(c.notes, fmt.Sprintf("%s counts more than buildkitd.default.toml's %s = %v", s.input, tomlKey(full), table[key]))
	return nil
}

// addTable fills in a table that has none of certain keys yet.
func (c *configMerge) addTable(s Setting, values map[string]any) error {
	probe := s
	probe.key = append(slices.Clone(s.key), "")
	table, _, err := c.slot(probe)
	if err != nil {
		return err
	}
	for _, other := range s.without {
		if spelled(table, other) != "" {
			return nil
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if spelled(table, key) == "" {
			table[key], c.changed = values[key], true
		}
	}
	return nil
}

// slot is the table and the key, as it is spelled there, of a setting. Tables
// that are missing are made; buildkitd takes an empty one for none.
func (c *configMerge) slot(s Setting) (map[string]any, string, error) {
	table := c.conf
	for i, part := range s.key {
		key := part
		// Hosts are data, and are compared as they are; keys in any case.
		if there := spelled(table, part); there != "" && (i != 1 || s.key[0] != "registry") {
			key = there
		}
		if i == len(s.key)-1 {
			return table, key, nil
		}
		next, ok := table[key].(map[string]any)
		if _, there := table[key]; there && !ok {
			return nil, "", errdefs.BadInputf(s.input, s.line, "buildkitd-config has %s, which is no table", tomlKey(s.key[:i+1]))
		}
		if !ok {
			next = map[string]any{}
			table[key] = next
		}
		table = next
	}
	return table, "", nil
}

// spelled is a key as a table has it; empty where it has not. buildkitd reads
// keys in any case.
func spelled(table map[string]any, key string) string {
	for there := range table {
		if strings.EqualFold(there, key) {
			return there
		}
	}
	return ""
}

func union(old, more any) any {
	list, _ := old.([]any)
	list = slices.Clone(list)
	for _, v := range more.([]any) {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// tomlKey writes a key as a person finds it in a file.
func tomlKey(key []string) string {
	parts := slices.Clone(key)
	for i, p := range parts {
		if strings.ContainsAny(p, ".:[] ") {
			parts[i] = `"` + p + `"`
		}
	}
	return strings.Join(parts, ".")
}

// mergeEnviron adds the settings of buildkitd's environment to the driver's
// options.
func mergeEnviron(opts map[string]string, settings []Setting) (map[string]string, error) {
	merged := maps.Clone(opts)
	var faults []error
	for _, s := range settings {
		if s.at != inEnviron {
			continue
		}
		key := "env." + s.key[0]
		there := spelledOpt(merged, key)
		switch {
		case there == "":
			if merged == nil {
				merged = map[string]string{}
			}
			merged[key] = s.value.(string)
		case s.yields || merged[there] == s.value:
		default: // the values may be secrets
			faults = append(faults, errdefs.BadInputf(s.input, s.line, "%s is said twice, the other time differently: driver-opts has it too, or another line", there).
				WithHint("leave out one of them"))
		}
	}
	return merged, errors.Join(faults...)
}

func spelledOpt(opts map[string]string, key string) string {
	for there := range opts {
		if strings.EqualFold(there, key) {
			return there
		}
	}
	return ""
}

// measure puts sizes in the place of the wish that they be taken from the disk.
// A limit that is given beside it counts more.
func (m *Manager) measure(ctx context.Context, spec Spec, driver, endpoint string) ([]Setting, error) {
	settings := spec.Settings
	at := slices.IndexFunc(settings, func(s Setting) bool { return s.at == fromDisk })
	if at < 0 {
		return settings, nil
	}
	free, err := m.freeSpace(ctx, spec, driver, endpoint)
	if err != nil {
		return nil, err
	}
	list := slices.Delete(slices.Clone(settings), at, at+1)
	shares := map[string]int64{"gc-max-used": free / 4 * 3, "gc-reserved": free / 4, "gc-min-free": free / 10}
	for _, input := range slices.Sorted(maps.Keys(shares)) {
		if slices.ContainsFunc(settings, func(s Setting) bool { return s.input == input }) {
			continue
		}
		s := gcLimit(input, fmt.Sprintf("%dMB", max(1, shares[input]>>20)))
		s.input = "gc"
		list = append(list, s)
	}
	m.stepf("gc: %d MB are free where the cache will be", free>>20)
	return list, nil
}

// freeSpace is what is free where the builder's cache will be, in bytes.
func (m *Manager) freeSpace(ctx context.Context, spec Spec, driver, endpoint string) (int64, error) {
	place := func() (string, error) { return m.rootPlace(spec) }
	if driver == DockerContainer {
		place = func() (string, error) { return m.engineDir(ctx, endpoint) }
	}
	dir, err := place()
	if err != nil {
		return 0, err
	}
	found, err := disk.GetDiskStat(dir)
	if err != nil {
		return 0, errdefs.New(errdefs.Environment, "free space of %s: %w", dir, err)
	}
	return found.Available, nil
}

// engineDir is where an engine on this machine keeps its volumes.
func (m *Manager) engineDir(ctx context.Context, endpoint string) (string, error) {
	here, err := m.sharesKernel(ctx, &Node{conn: &containerNode{m: m, node: groupNode{Endpoint: endpoint}}})
	if err != nil {
		return "", err
	}
	if !here {
		return "", errdefs.BadInputf("gc", 0, "auto can't see the disk of engine %s, which is on another machine", endpoint).
			WithHint("give gc-max-used, gc-reserved and gc-min-free")
	}
	api, err := m.engine(endpoint)
	if err != nil {
		return "", err
	}
	defer api.Close()
	info, err := api.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	return filepath.Join(info.Info.DockerRootDir, "volumes"), nil
}
