package builder

import (
	"cmp"
	"maps"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// cacheImports are where a node looks for cache. BuildKit's client writes into
// the attributes, so they are this solve's own.
func cacheImports(entries []Cache) []Cache {
	out := make([]Cache, 0, len(entries))
	for _, e := range entries {
		e.Attrs = maps.Clone(e.Attrs)
		out = append(out, e)
	}
	return out
}

// cacheExports makes explicit what daemons of different ages decide
// differently, and what a failed export may do.
func cacheExports(entries []Cache) []Cache {
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

// exportsOf are the caches that one of several nodes exports: each to a place of
// its own, since the last to write one place would be the only one to have
// written: https://github.com/docker/buildx/issues/1044
func exportsOf(entries []Cache, p part) []Cache {
	var out []Cache
	for _, e := range entries {
		own, ok := e.of(p)
		if !ok {
			own = e
		}
		out = append(out, own)
	}
	return out
}

// importsOf are the caches that each of several nodes imports: those as they
// were written, which a build on one node may have exported, and those of all
// the parts. One that is not there yet fails no build.
func importsOf(entries []Cache, parts []part) []Cache {
	var out []Cache
	for _, e := range entries {
		out = append(out, e)
		for _, p := range parts {
			if own, ok := e.of(p); ok {
				own.Extra = true
				out = append(out, own)
			}
		}
	}
	return out
}

// defaultCacheName is BuildKit's, of a scope and of a name.
const defaultCacheName = "buildkit"

// of is the cache that belongs to a part, named for the part's first platform,
// so that one more platform in a build gives no other names to the caches that
// are there. It is false where a cache has no place of its own: inline is in the
// image, and a digest names one content.
func (c Cache) of(p part) (Cache, bool) {
	key := cacheKey(p.platforms)
	attrs := maps.Clone(c.Attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	switch {
	case c.Type == "inline" || attrs["digest"] != "" || strings.Contains(attrs["ref"], "@"):
		return Cache{}, false
	case c.Type == "registry":
		attrs["ref"] = withTagSuffix(attrs["ref"], "-"+key)
	case c.Type == "gha":
		attrs["scope"] = cmp.Or(attrs["scope"], defaultCacheName) + "-" + key
	case c.Type == "s3", c.Type == "azblob":
		names := strings.Split(cmp.Or(attrs["name"], defaultCacheName), ";")
		attrs["name"] = strings.Join(names, "-"+key+";") + "-" + key
	case c.Type == "local":
		// A directory each, and not a tag: the nodes write at the same time, and
		// BuildKit's client neither waits for the lock of a directory's index nor
		// spares, with reset=true, what is not yet in it.
		for _, k := range []string{"src", "dest"} {
			if dir := attrs[k]; dir != "" {
				attrs[k] = filepath.Join(dir, key)
			}
		}
	default:
		return Cache{}, false
	}
	return Cache{Type: c.Type, Attrs: attrs}, true
}

// cacheKey is a part's name in its caches: linux-arm-v7.
func cacheKey(platforms []v1.Platform) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return '-'
	}, platforms[0].String())
}

// maxTag is how long a tag may be:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
const maxTag = 128

func withTagSuffix(ref, suffix string) string {
	repo, tag := ref, "latest"
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		repo, tag = ref[:i], ref[i+1:]
	}
	return repo + ":" + tag[:min(len(tag), maxTag-len(suffix))] + suffix
}
