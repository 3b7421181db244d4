package buildpush

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// parseReferences reads full references, several of which may share a line. A
// repository without a tag means latest, as everywhere; a digest can't be
// written to.
func parseReferences(in string, records input.Records) ([]name.Tag, error) {
	var tags []name.Tag
	var errs []error
	seen := map[string]bool{}
	for _, r := range records {
		for _, field := range r.Fields {
			tag, err := parseReference(field)
			switch {
			case err != nil:
				errs = append(errs, errdefs.BadInputf(in, r.Line, "%w", err).
					WithHint("a reference reads registry/repository:tag, in lower case, as ghcr.io/owner/app:1.4.2; rules, as type=sha, need images"))
			case !seen[tag.Name()]:
				seen[tag.Name()] = true
				tags = append(tags, tag)
			}
		}
	}
	return tags, errors.Join(errs...)
}

func parseReference(field input.Field) (name.Tag, error) {
	text := field.Value
	if field.Key != "" {
		text = field.Key + "=" + field.Value
	}
	if err := checkName(text); err != nil {
		return name.Tag{}, fmt.Errorf("%q is no image reference: %w", text, err)
	}
	tag, err := name.NewTag(text)
	if err != nil {
		return tag, fmt.Errorf("%q is no image reference: %w", text, unwrapName(err))
	}
	return tag, nil
}

// checkName refuses what a registry's client would take for a host and ask the
// network about: a scheme, a port that can't be.
func checkName(text string) error {
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		return fmt.Errorf("it has the scheme %q", scheme)
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return err
	}
	if _, port, ok := strings.Cut(reference.Domain(named), "]:"); ok {
		return checkPort(port)
	}
	if _, port, ok := strings.Cut(reference.Domain(named), ":"); ok && !strings.HasPrefix(reference.Domain(named), "[") {
		return checkPort(port)
	}
	return nil
}

func checkPort(port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

// unwrapName is the reason within a reference's parse error, without the words
// that repeat the reference.
func unwrapName(err error) error {
	var bad *name.ErrBadName
	if errors.As(err, &bad) {
		return errors.New(strings.TrimPrefix(bad.Error(), "could not parse reference: "))
	}
	return err
}

// parseBuildArgs reads KEY=value lines. A bare KEY takes its value from the
// environment and is left out where it is not set, as docker build does.
func parseBuildArgs(lines []string, environ map[string]string) (map[string]string, error) {
	args := map[string]string{}
	var errs []error
	for i, line := range lines {
		k, v, ok := strings.Cut(line, "=")
		if k == "" {
			errs = append(errs, errdefs.BadInputf("build-args", i+1, "%q has no name; expected KEY=value", line))
			continue
		}
		if !ok {
			if v, ok = environ[k]; !ok {
				continue
			}
		}
		args[k] = v
	}
	if _, ok := args["SOURCE_DATE_EPOCH"]; !ok {
		if v, ok := environ["SOURCE_DATE_EPOCH"]; ok {
			args["SOURCE_DATE_EPOCH"] = v
		}
	}
	return args, errors.Join(errs...)
}

// parseLabels reads KEY=value lines; a bare KEY has an empty value.
func parseLabels(lines []string) (map[string]string, error) {
	labels := map[string]string{}
	var errs []error
	for i, line := range lines {
		k, v, _ := strings.Cut(line, "=")
		if k == "" {
			errs = append(errs, errdefs.BadInputf("labels", i+1, "%q has no name; expected KEY=value", line))
			continue
		}
		labels[k] = v
	}
	return labels, errors.Join(errs...)
}

// levelPattern is a place of an annotation, as buildx reads it.
var levelPattern = regexp.MustCompile(`^(manifest|index|manifest-descriptor|index-descriptor)(?:\[([A-Za-z0-9_/-]+)\])?$`)

// parseAnnotations reads [level[,level]:]key=value lines, a level being
// manifest, index, manifest-descriptor or index-descriptor, with a platform in
// brackets or none. Without a level it is manifest.
func parseAnnotations(lines []string) ([]builder.Annotation, error) {
	var annotations []builder.Annotation
	var errs []error
	for i, line := range lines {
		a, err := parseAnnotation(line)
		if err != nil {
			errs = append(errs, errdefs.BadInputf("annotations", i+1, "%w", err))
			continue
		}
		annotations = append(annotations, a)
	}
	return annotations, errors.Join(errs...)
}

func parseAnnotation(line string) (builder.Annotation, error) {
	key, value, ok := strings.Cut(line, "=")
	if !ok || key == "" {
		return builder.Annotation{}, fmt.Errorf("%q is no annotation; expected [level:]key=value", line)
	}
	a := builder.Annotation{Levels: []builder.Level{{Type: "manifest"}}, Key: key, Value: value}
	levels, rest, ok := strings.Cut(key, ":")
	if !ok {
		return a, nil
	}
	a.Key, a.Levels = rest, nil
	for _, l := range strings.Split(levels, ",") {
		m := levelPattern.FindStringSubmatch(l)
		if m == nil {
			return a, fmt.Errorf("unknown level %q of annotation %q; expected manifest, index, manifest-descriptor or index-descriptor, with [os/arch] or without", l, rest)
		}
		a.Levels = append(a.Levels, builder.Level{Type: m[1], Platform: m[2]})
	}
	if a.Key == "" {
		return a, fmt.Errorf("%q has no key; expected [level:]key=value", line)
	}
	return a, nil
}

// parseSecrets reads the three forms of secrets into values by id.
func parseSecrets(o Options, dir string, environ map[string]string) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	var errs []error
	for i, line := range o.Secrets {
		id, value, ok := strings.Cut(line, "=")
		id = strings.TrimSpace(id)
		if !ok || id == "" {
			// The line may be the secret itself: it is not repeated.
			errs = append(errs, errdefs.BadInputf("secrets", i+1, "expected id=value").
				WithHint("quote a value that has line breaks, the id included: \"id=line 1\nline 2\""))
			continue
		}
		secrets[id] = []byte(value)
	}
	for i, word := range o.SecretEnvs {
		id, variable, ok := strings.Cut(word, "=")
		if !ok || id == "" || variable == "" {
			errs = append(errs, errdefs.BadInputf("secret-envs", i+1, "expected id=VARIABLE, found %q", word))
			continue
		}
		value, ok := environ[variable]
		if !ok {
			errs = append(errs, errdefs.BadInputf("secret-envs", i+1, "secret %s: the environment has no %s", id, variable))
			continue
		}
		secrets[id] = []byte(value)
	}
	for i, line := range o.SecretFiles {
		id, value, err := secretFile(line, dir)
		if err != nil {
			errs = append(errs, errdefs.BadInputf("secret-files", i+1, "%w", err))
			continue
		}
		secrets[id] = value
	}
	for id, value := range secrets {
		if len(value) > secretsprovider.MaxSecretSize {
			errs = append(errs, errdefs.New(errdefs.BadInput, "secret %s has %d bytes; BuildKit takes %d at most", id, len(value), secretsprovider.MaxSecretSize))
		}
	}
	return secrets, errors.Join(errs...)
}

func secretFile(line, dir string) (id string, value []byte, err error) {
	id, path, ok := strings.Cut(line, "=")
	if !ok || id == "" || path == "" {
		return "", nil, fmt.Errorf("expected id=path, found %q", line)
	}
	value, err = os.ReadFile(absolute(path, dir))
	if err != nil {
		return "", nil, fmt.Errorf("secret %s: %w", id, err)
	}
	return id, value, nil
}

// cacheKeys are the keys of each type of cache, where it is imported from and
// exported to; the first is required.
var cacheKeys = map[string]struct{ from, to []string }{
	"registry": {
		from: []string{"ref", "registry.insecure"},
		to: []string{"ref", "mode", "registry.insecure", "oci-mediatypes", "image-manifest", "compression", "compression-level",
			"force-compression", "ignore-error"},
	},
	"local": {
		from: []string{"src", "tag", "digest"},
		to: []string{"dest", "mode", "tag", "oci-mediatypes", "image-manifest", "compression", "compression-level",
			"force-compression", "ignore-error", "reset"},
	},
	"inline": {},
}

// parseCaches reads cache entries: a plain reference, or key=value with a type.
// exports says which of the two inputs it is. Local paths are made absolute.
func parseCaches(in string, records input.Records, exports bool, dir string) ([]builder.Cache, error) {
	var caches []builder.Cache
	var errs []error
	for _, r := range records {
		c, err := parseCache(r, exports, dir)
		if err != nil {
			var e *errdefs.Error
			if !errors.As(err, &e) {
				e = errdefs.BadInputf(in, r.Line, "%w", err)
			}
			e.Input, e.Line = in, r.Line
			errs = append(errs, e)
			continue
		}
		caches = append(caches, c)
	}
	return caches, errors.Join(errs...)
}

func parseCache(r input.Record, exports bool, dir string) (builder.Cache, error) {
	if len(r.Fields) == 1 && r.Fields[0].Key == "" {
		r.Fields = []input.Field{{Key: "type", Value: "registry"}, {Key: "ref", Value: r.Fields[0].Value}}
	}
	c := builder.Cache{Attrs: map[string]string{}}
	for _, f := range r.Fields {
		switch f.Key {
		case "":
			return c, fmt.Errorf("expected key=value, found %q", f.Value)
		case "type":
			c.Type = f.Value
		default:
			c.Attrs[f.Key] = f.Value
		}
	}
	known, ok := cacheKeys[c.Type]
	switch {
	case c.Type == "":
		return c, errdefs.New(errdefs.BadInput, "no type in %q", r.Text).WithHint("one of inline, local, registry")
	case !ok:
		return c, errdefs.New(errdefs.BadInput, "unknown cache type %q", c.Type).WithHint("one of inline, local, registry")
	case c.Type == "inline" && !exports:
		return c, errdefs.New(errdefs.BadInput, "inline cache is imported from its image").WithHint("write type=registry,ref=IMAGE")
	}
	keys := known.from
	if exports {
		keys = known.to
	}
	if err := checkKeys(c, keys); err != nil {
		return c, err
	}
	for _, path := range []string{"src", "dest"} {
		if v := c.Attrs[path]; v != "" {
			c.Attrs[path] = absolute(v, dir)
		}
	}
	return c, nil
}

func checkKeys(c builder.Cache, keys []string) error {
	if len(keys) > 0 && c.Attrs[keys[0]] == "" {
		return fmt.Errorf("type=%s needs %s", c.Type, keys[0])
	}
	for k := range c.Attrs {
		if !slices.Contains(keys, k) {
			return errdefs.New(errdefs.BadInput, "type=%s has no key %q", c.Type, k).WithHint("one of %s", strings.Join(keys, ", "))
		}
	}
	if ref := c.Attrs["ref"]; ref != "" {
		if _, err := name.ParseReference(ref); err != nil {
			return fmt.Errorf("%q is no image reference: %w", ref, unwrapName(err))
		}
	}
	if mode := c.Attrs["mode"]; mode != "" && mode != "min" && mode != "max" {
		return errdefs.New(errdefs.BadInput, "unknown mode %q", mode).WithHint("one of min, max")
	}
	return nil
}
