package builder

import (
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// cacheImports are where a node looks for cache.
func cacheImports(entries []Cache, platforms []v1.Platform, several bool) []Cache {
	return entries
}

// cacheExports makes explicit what daemons of different ages decide
// differently, and what a failed export may do.
func cacheExports(entries []Cache, platforms []v1.Platform, several bool) []Cache {
	out := make([]Cache, 0, len(entries))
	for _, e := range entries {
		attrs := map[string]string{}
		if e.Type == "registry" {
			// Before BuildKit 0.21 the default is an index, which ECR refuses:
			// https://github.com/aws/containers-roadmap/issues/876
			attrs["oci-mediatypes"] = "true"
			attrs["image-manifest"] = "true"
		}
		if e.Type != "inline" {
			// The image may be in its registry by the time that the cache export
			// fails: a release does not fail for its cache. The failure shows as
			// a warning.
			attrs["ignore-error"] = "true"
		}
		maps.Copy(attrs, e.Attrs)
		out = append(out, Cache{Type: e.Type, Attrs: attrs})
	}
	return out
}
