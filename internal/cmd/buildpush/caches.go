package buildpush

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// cacheKeys are the keys of one type of cache.
type cacheKeys struct {
	required []string // where it is imported from, and where it is exported to
	both     []string // for import and export
	from, to []string // for one of them only
}

// compressionKeys are how a cache's layers are stored.
var compressionKeys = []string{"compression", "compression-level", "force-compression", "oci-mediatypes", "image-manifest"}

// caches are the types of cache and what each can be told:
// https://docs.docker.com/build/cache/backends/
var caches = map[string]cacheKeys{
	"registry": {
		required: []string{"ref"},
		both:     []string{"registry.insecure"},
		to:       slices.Concat([]string{"mode", "ignore-error"}, compressionKeys),
	},
	"inline": {},
	"local": {
		both: []string{"tag"},
		from: []string{"src", "digest"},
		to:   slices.Concat([]string{"dest", "mode", "ignore-error", "reset"}, compressionKeys),
	},
	"gha": {
		both: []string{"scope", "token", "url", "url_v2", "version", "timeout", "repository", "ghtoken"},
		to:   []string{"mode", "ignore-error"},
	},
	"s3": {
		required: []string{"bucket", "region"},
		both: []string{
			"prefix", "blobs_prefix", "manifests_prefix", "name", "endpoint_url", "use_path_style", "access_key_id",
			"secret_access_key", "session_token", "disable_accept_encoding", "retry_mode", "retry_max_attempts",
		},
		to: []string{"mode", "ignore-error", "touch_refresh", "upload_parallelism"},
	},
	"azblob": {
		required: []string{"account_url"},
		both:     []string{"account_name", "container", "prefix", "blobs_prefix", "manifests_prefix", "name", "secret_access_key"},
		to:       []string{"mode", "ignore-error"},
	},
}

// known are the keys for one direction, those that must be there first.
func (k cacheKeys) known(exports bool) (keys []string, required int) {
	own := k.from
	if exports {
		own = k.to
	}
	need := len(k.required)
	if len(own) > 0 && (own[0] == "src" || own[0] == "dest") {
		need++ // no other key comes before it then
	}
	return slices.Concat(k.required, own, k.both), need
}

var cacheTypes = slices.Sorted(maps.Keys(caches))

// cacheEnv are keys that the environment gives where an entry does not, by the
// names that BuildKit reads them from; its daemon may be elsewhere.
var cacheEnv = map[string]map[string]string{
	"azblob": {
		"account_url":  "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",
		"account_name": "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME",
		"container":    "BUILDKIT_AZURE_STORAGE_CONTAINER",
		"prefix":       "BUILDKIT_AZURE_STORAGE_PREFIX",
	},
	"s3": {
		"bucket": "AWS_BUCKET",
		"region": "AWS_REGION",
	},
}

// parseCaches reads cache-from and cache-to.
func (j *job) parseCaches(context.Context) error {
	var errs [2]error
	j.request.CacheFrom, errs[0] = j.parseCacheList("cache-from", j.options.CacheFrom, false)
	j.request.CacheTo, errs[1] = j.parseCacheList("cache-to", j.options.CacheTo, true)
	j.tellAzure()
	return errors.Join(errs[:]...)
}

// parseCacheList reads the entries of one input, and keeps their secrets apart.
func (j *job) parseCacheList(in string, records input.Records, exports bool) ([]builder.Cache, error) {
	list, lines, err := parseCaches(in, records, exports, j.env.Dir, j.env.Environ)
	errs := []error{err}
	for i := range list {
		for _, key := range cacheSecretKeys {
			j.hide(list[i].Attrs[key])
		}
		j.cacheSecrets.take(list[i])
		if err := j.checkCacheLogin(list[i]); err != nil {
			errs = append(errs, at(in, lines[i], err))
		}
	}
	return list, errors.Join(errs...)
}

// parseCaches reads cache entries: plain references, several of which may share
// a line, or key=value with a type. exports says which of the two inputs it is.
// Local paths are made absolute. lines are where each entry stands.
func parseCaches(in string, records input.Records, exports bool, dir string, environ map[string]string) (list []builder.Cache, lines []int, err error) {
	var errs []error
	for _, r := range records {
		for _, entry := range splitReferences(r) {
			c, err := parseCache(entry, exports, dir, environ)
			if err != nil {
				errs = append(errs, at(in, r.Line, err))
				continue
			}
			list, lines = append(list, c), append(lines, r.Line)
		}
	}
	return list, lines, errors.Join(errs...)
}

// splitReferences gives each plain reference of a line an entry of its own, as
// docker buildx does.
func splitReferences(r input.Record) []input.Record {
	for _, f := range r.Fields {
		if f.Key != "" {
			return []input.Record{r}
		}
	}
	var entries []input.Record
	for _, f := range r.Fields {
		entries = append(entries, input.Record{Line: r.Line, Text: f.Value, Fields: []input.Field{
			{Key: "type", Value: "registry"}, {Key: "ref", Value: f.Value},
		}})
	}
	return entries
}

func parseCache(r input.Record, exports bool, dir string, environ map[string]string) (builder.Cache, error) {
	c := builder.Cache{Attrs: map[string]string{}}
	for _, f := range r.Fields {
		switch f.Key {
		case "":
			// It may be the rest of a secret that has a comma: it is not repeated.
			return c, errdefs.New(errdefs.BadInput, "a field is no key=value").
				WithHint(`a value with a comma is quoted with its key: "type=...,""key=a,b"""`)
		case "type":
			c.Type = f.Value
		default:
			c.Attrs[f.Key] = f.Value
		}
	}
	keys, ok := caches[c.Type]
	switch {
	case c.Type == "":
		return c, errdefs.New(errdefs.BadInput, "no type").WithHint("write type=... first, %s", keyList(cacheTypes))
	case !ok:
		return c, errdefs.New(errdefs.BadInput, "unknown cache type %q", c.Type).WithHint("%s", keyList(cacheTypes))
	case c.Type == "inline" && !exports:
		return c, errdefs.New(errdefs.BadInput, "inline cache is imported from its image").WithHint("write type=registry,ref=IMAGE")
	}
	for key, variable := range cacheEnv[c.Type] {
		if v := environ[variable]; v != "" && c.Attrs[key] == "" {
			c.Attrs[key] = v
		}
	}
	known, required := keys.known(exports)
	if err := checkCache(c, known, known[:required]); err != nil {
		return c, err
	}
	for _, path := range []string{"src", "dest"} {
		if v := c.Attrs[path]; v != "" {
			c.Attrs[path] = absolute(v, dir)
		}
	}
	return c, nil
}

func checkCache(c builder.Cache, known, required []string) error {
	for _, key := range required {
		if c.Attrs[key] == "" {
			return fmt.Errorf("type=%s needs %s", c.Type, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Attrs)) {
		if !slices.Contains(known, key) {
			return errdefs.New(errdefs.BadInput, "type=%s has no key %q", c.Type, key).WithHint("%s", keyList(known))
		}
	}
	if ref := c.Attrs["ref"]; ref != "" {
		if err := checkName(ref); err != nil {
			return fmt.Errorf("%q is no image reference: %w", ref, err)
		}
	}
	if mode := c.Attrs["mode"]; mode != "" && mode != "min" && mode != "max" {
		return errdefs.New(errdefs.BadInput, "unknown mode %q", mode).WithHint("one of min, max")
	}
	return nil
}

// checkCacheTargets refuses a cache that would be written over an image: whoever
// pulls that tag gets something that no engine runs.
func (j *job) checkCacheTargets(context.Context) error {
	taken := map[string]bool{}
	if j.request.Push {
		for _, tag := range j.request.Tags {
			taken[tag.Name()] = true
		}
		for _, repo := range j.request.Destinations() {
			taken[repo.Tag("latest").Name()] = true // where its users look for the image
		}
	}
	var errs []error
	for _, c := range j.request.CacheTo {
		ref, err := name.ParseReference(c.Attrs["ref"])
		if c.Type != "registry" || err != nil || !taken[ref.Name()] {
			continue
		}
		errs = append(errs, errdefs.BadInputf("cache-to", 0, "the cache would be written over the image %s", c.Attrs["ref"]).
			WithHint("give the cache a tag of its own, as %s:buildcache, or keep it in the image with type=inline", strings.TrimPrefix(ref.Context().Name(), "index.docker.io/")))
	}
	return errors.Join(errs...)
}
