package setup

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// containerOpts are the docker-container driver's options, read.
type containerOpts struct {
	image       string
	env         []string
	host        container.HostConfig // network, limits, cgroup parent and restart policy
	provenance  bool
	defaultLoad bool
}

// defaultImage is what buildx takes: the newest release that buildx was tested with.
const defaultImage = "moby/buildkit:buildx-stable-1"

// containerOptSetters read one option each. They are buildx's options
// (driver/docker-container/factory.go).
var containerOptSetters = map[string]func(o *containerOpts, value string) error{
	"image":          func(o *containerOpts, v string) error { o.image = v; return nil },
	"network":        func(o *containerOpts, v string) error { o.host.NetworkMode = container.NetworkMode(v); return nil },
	"memory":         func(o *containerOpts, v string) (err error) { o.host.Memory, err = units.RAMInBytes(v); return },
	"memory-swap":    func(o *containerOpts, v string) (err error) { o.host.MemorySwap, err = swap(v); return },
	"cpu-quota":      func(o *containerOpts, v string) (err error) { o.host.CPUQuota, err = whole(v); return },
	"cpu-period":     func(o *containerOpts, v string) (err error) { o.host.CPUPeriod, err = whole(v); return },
	"cpu-shares":     func(o *containerOpts, v string) (err error) { o.host.CPUShares, err = whole(v); return },
	"cpuset-cpus":    func(o *containerOpts, v string) error { o.host.CpusetCpus = v; return nil },
	"cpuset-mems":    func(o *containerOpts, v string) error { o.host.CpusetMems = v; return nil },
	"cgroup-parent":  func(o *containerOpts, v string) error { o.host.CgroupParent = v; return nil },
	"restart-policy": func(o *containerOpts, v string) (err error) { o.host.RestartPolicy, err = restart(v); return },
	"default-load":   func(o *containerOpts, v string) (err error) { o.defaultLoad, err = truth(v); return },
	"provenance-add-gha": func(o *containerOpts, v string) (err error) {
		o.provenance, err = truth(v)
		return
	},
	// buildx checks the default image against a built-in signature policy, which
	// this turns off. We have no such check: pin the image by digest instead.
	"allow-untrusted-image": func(_ *containerOpts, v string) error { _, err := truth(v); return err },
}

// parseContainerOpts reads the options; every fault is an errdefs.BadInput of
// input "driver-opts", joined.
func parseContainerOpts(opts map[string]string) (containerOpts, error) {
	o := containerOpts{image: defaultImage, provenance: true}
	o.host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyUnlessStopped}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		value := opts[key]
		if name, ok := strings.CutPrefix(key, "env."); ok && name != "" {
			o.env = append(o.env, name+"="+value)
			continue
		}
		set, ok := containerOptSetters[key]
		if !ok {
			faults = append(faults, unknownOpt(key, DockerContainer, slices.Sorted(maps.Keys(containerOptSetters))))
			continue
		}
		if err := set(&o, value); err != nil {
			faults = append(faults, errdefs.BadInputf("driver-opts", 0, "%s=%s: %w", key, value, err))
		}
	}
	return o, errors.Join(faults...)
}

func unknownOpt(key, driver string, known []string) error {
	bad := errdefs.BadInputf("driver-opts", 0, "unknown option %q of driver %s", key, driver)
	if near := errdefs.Nearest(key, known); near != "" {
		return bad.WithHint("did you mean %s?", near)
	}
	return bad.WithHint("one of env.NAME, %s", strings.Join(known, ", "))
}

// ShownOpt is an option's value for people: a proxy's without its password.
func ShownOpt(key, value string) string {
	if !strings.HasPrefix(key, "env.") || !strings.HasSuffix(strings.ToLower(key), "_proxy") {
		return value
	}
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return value
	}
	return u.Redacted()
}

func whole(v string) (int64, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, errors.New("expected a whole number")
	}
	return n, nil
}

func truth(v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errors.New("expected true or false")
	}
	return b, nil
}

// swap reads an amount; -1 is as much as there is.
func swap(v string) (int64, error) {
	if v == "-1" {
		return -1, nil
	}
	return units.RAMInBytes(v)
}

func restart(v string) (container.RestartPolicy, error) {
	name, tries, counted := strings.Cut(v, ":")
	policy := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	if counted {
		n, err := strconv.Atoi(tries)
		if err != nil {
			return policy, errors.New("expected a number of tries after the colon")
		}
		policy.MaximumRetryCount = n
	}
	if err := container.ValidateRestartPolicy(policy); err != nil {
		return policy, fmt.Errorf("expected no, always, unless-stopped or on-failure[:N]: %w", err)
	}
	return policy, nil
}
