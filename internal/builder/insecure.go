package builder

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// insecureAttr lets BuildKit speak to an export's or a cache's registry over plain
// http, or without looking at its certificate.
const insecureAttr = "registry.insecure"

// allowInsecure marks the pushes and the caches of a solve whose registry is one of
// hosts. What an entry says of itself stands.
func allowInsecure(solve *Solve, hosts []string) {
	for i, e := range solve.Exports {
		if e.Type == "image" && e.Attrs["push"] == "true" {
			solve.Exports[i].Attrs = withInsecure(e.Attrs, e.Attrs["name"], hosts)
		}
	}
	solve.CacheImports = insecureCaches(solve.CacheImports, hosts)
	solve.CacheExports = insecureCaches(solve.CacheExports, hosts)
}

// insecureCaches is a copy: the list may be the request's own, as may be the
// attributes.
func insecureCaches(caches []Cache, hosts []string) []Cache {
	caches = slices.Clone(caches)
	for i, c := range caches {
		if c.Type == "registry" {
			caches[i].Attrs = withInsecure(c.Attrs, c.Attrs["ref"], hosts)
		}
	}
	return caches
}

func withInsecure(attrs map[string]string, ref string, hosts []string) map[string]string {
	if _, ok := attrs[insecureAttr]; ok || !isInsecure(ref, hosts) {
		return attrs
	}
	attrs = maps.Clone(attrs)
	attrs[insecureAttr] = "true"
	return attrs
}

// isInsecure is whether the registry of ref is one of hosts.
func isInsecure(ref string, hosts []string) bool {
	parsed, err := name.ParseReference(ref)
	return err == nil && slices.ContainsFunc(hosts, func(host string) bool {
		return strings.EqualFold(host, parsed.Context().RegistryStr())
	})
}
