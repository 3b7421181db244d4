package buildpush

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/buildkit/util/entitlements"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/setup"
)

// parseSteps reads how RUN steps run.
func (j *job) parseSteps(context.Context) error {
	o, r := j.options, &j.request
	var errs []error
	var err error
	check := func(err error) { errs = append(errs, err) }
	r.CgroupParent = o.CgroupParent
	made := o.Driver != "" && o.Driver != setup.Docker || o.Append != ""
	r.AddHosts, err = parseAddHosts(o.AddHosts, !made || o.Builder != "")
	check(err)
	r.Entitlements, err = parseEntitlements(o.Allow)
	check(err)
	r.ShmSize, err = parseSize("shm-size", o.ShmSize)
	check(err)
	r.Ulimits, err = parseUlimits(o.Ulimit)
	check(err)
	r.Limits, err = parseResources(o.Resources)
	check(err)
	switch o.Network {
	case "", "default":
	case "none", "host":
		r.Network = o.Network
	default:
		check(errdefs.BadInputf("network", 0, "unknown network %q", o.Network).
			WithHint("one of default, none, host; a network of the engine is given to the builder: driver-opts network=..."))
	}
	return errors.Join(errs...)
}

// parseAddHosts reads host:ip and host=ip entries, with several addresses of a
// host between commas, into host=ip ones. The builder may be an engine's own, which
// knows its host-gateway, or not.
func parseAddHosts(words input.Words, engine bool) ([]string, error) {
	var hosts []string
	var errs []error
	for i, word := range words {
		host, ips, ok := strings.Cut(word, "=")
		if !ok {
			host, ips, ok = strings.Cut(word, ":")
		}
		switch {
		case !ok || host == "" || ips == "":
			errs = append(errs, errdefs.BadInputf("add-hosts", i+1, "%q is no host; expected host:ip", word))
			continue
		case ips == hostGateway && !engine:
			errs = append(errs, noGateway(i+1, "%s: only an engine's own builder knows its host-gateway", host))
			continue
		}
		for ip := range strings.SplitSeq(ips, ",") {
			bare := strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
			if len(bare) == len(ip)-2 {
				ip = bare // brackets mark an IPv6 address, and are not part of it
			}
			if ips != hostGateway && net.ParseIP(ip) == nil {
				errs = append(errs, errdefs.BadInputf("add-hosts", i+1, "%s: %q is no IP address", host, ip))
				continue
			}
			hosts = append(hosts, host+"="+ip)
		}
	}
	return hosts, errors.Join(errs...)
}

// hostGateway stands for the address by which steps reach the engine's machine.
const hostGateway = "host-gateway"

func noGateway(line int, format, host string) error {
	return errdefs.BadInputf("add-hosts", line, format, host).
		WithHint("write the address itself, often %s:172.17.0.1", host)
}

// fillGateway puts the engine's address in, where hosts ask for it; empty is one
// that is not told.
func fillGateway(hosts []string, address string) ([]string, error) {
	hosts = slices.Clone(hosts)
	var errs []error
	for i, entry := range hosts {
		host, ip, _ := strings.Cut(entry, "=")
		switch {
		case ip != hostGateway:
		case net.ParseIP(address) == nil:
			errs = append(errs, noGateway(0, "%s: this builder tells no host-gateway; an engine's own does, where it is new enough", host))
		default:
			hosts[i] = host + "=" + address
		}
	}
	return hosts, errors.Join(errs...)
}

// localDelete is the entitlement of this client itself: an output of type local
// may remove what it finds in a directory outside of the working directory.
const localDelete = "buildx.local.delete"

// parseEntitlements reads what a Dockerfile may use, without what concerns this
// client only.
func parseEntitlements(words input.Words) ([]string, error) {
	var allowed []string
	var errs []error
	for i, word := range words {
		if word == localDelete {
			continue
		}
		if _, _, err := entitlements.Parse(word); err != nil {
			errs = append(errs, errdefs.BadInputf("allow", i+1, "unknown entitlement %q", word).
				WithHint("one of network.host, security.insecure, device, device=NAME, %s", localDelete))
			continue
		}
		if !slices.Contains(allowed, word) {
			allowed = append(allowed, word)
		}
	}
	return allowed, errors.Join(errs...)
}

// parseSize reads bytes with docker's units: 64m is 64 MiB.
func parseSize(in, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil || n < 0 {
		return 0, errdefs.BadInputf(in, 0, "%q is no size", text).WithHint("a number with its unit, as 128m or 2g")
	}
	return n, nil
}

// parseUlimits reads name=soft[:hard] lines; of one name the last counts. They
// come sorted by name.
func parseUlimits(lines input.Lines) ([]string, error) {
	limits := map[string]string{}
	var errs []error
	for i, line := range lines {
		limit, err := units.ParseUlimit(line)
		if err != nil {
			errs = append(errs, errdefs.BadInputf("ulimit", i+1, "%q is no limit: %w", line, err).
				WithHint("name=soft or name=soft:hard, as nofile=1024:2048"))
			continue
		}
		limits[limit.Name] = limit.String()
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		list = append(list, limits[name])
	}
	return list, errors.Join(errs...)
}

// resource is a limit of one step.
type resource struct {
	name  string // to BuildKit's frontend
	parse func(string) (string, error)
}

// resources are the limits by the names that docker run has for them:
// https://docs.docker.com/reference/cli/docker/container/run/#memory
var resources = map[string]resource{
	"memory":      {"memory", memory},
	"memory-swap": {"memswap", swap},
	"cpu-shares":  {"cpushares", count},
	"cpu-period":  {"cpuperiod", count},
	"cpu-quota":   {"cpuquota", count},
	"cpuset-cpus": {"cpusetcpus", set},
	"cpuset-mems": {"cpusetmems", set},
}

var resourceNames = []string{"memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems"}

// parseResources reads key=value limits, several of which may share a line, by
// the names of BuildKit's frontend.
func parseResources(records input.Records) (map[string]string, error) {
	var limits map[string]string
	var errs []error
	for _, r := range records {
		for _, f := range r.Fields {
			res, ok := resources[f.Key]
			if !ok {
				errs = append(errs, errdefs.BadInputf("resources", r.Line, "unknown resource %q", cmp.Or(f.Key, f.Value)).WithHint("%s", keyList(resourceNames)))
				continue
			}
			value, err := res.parse(f.Value)
			if err != nil {
				errs = append(errs, errdefs.BadInputf("resources", r.Line, "%s: %w", f.Key, err))
				continue
			}
			if limits == nil {
				limits = map[string]string{}
			}
			limits[res.name] = value
		}
	}
	return limits, errors.Join(errs...)
}

func memory(text string) (string, error) {
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return "", fmt.Errorf("%q is no size; expected a number with its unit, as 512m or 2g", text)
	}
	return strconv.FormatInt(n, 10), nil
}

// swap is memory and swap together; -1 is no limit of swap.
func swap(text string) (string, error) {
	if text == "-1" {
		return text, nil
	}
	return memory(text)
}

func count(text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return "", fmt.Errorf("%q is no whole number above 0", text)
	}
	return strconv.FormatInt(n, 10), nil
}

func set(text string) (string, error) {
	if text == "" || strings.Trim(text, "0123456789,-") != "" {
		return "", fmt.Errorf("%q is no set; expected numbers as 0-3 or 0,1, quoted with its key where it has a comma", text)
	}
	return text, nil
}
