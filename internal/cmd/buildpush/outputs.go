package buildpush

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// imageKeys are what an image's exporter can be told:
// https://github.com/moby/buildkit/blob/master/exporter/containerimage/exptypes/keys.go
var imageKeys = []string{
	"name", "oci-mediatypes", "oci-artifact", "attestation-inline", "prefer-nondist-layers", "source-date-epoch", "compression",
	"compression-level", "force-compression", "rewrite-timestamp", "store", "unpack", "name-canonical", "dangling-name-prefix",
	"danging-name-empty-only", // as BuildKit spells it
}

// outputKeys are the keys of each type of output, besides annotations.
var outputKeys = map[string][]string{
	"image":     slices.Concat(imageKeys, []string{"push", "push-by-digest", "registry.insecure"}),
	"oci":       slices.Concat([]string{"dest", "tar"}, imageKeys),
	"docker":    slices.Concat([]string{"dest", "tar", "context"}, imageKeys),
	"tar":       {"dest", "platform-split", "attestation-prefix", "source-date-epoch"},
	"local":     {"dest", "mode", "platform-split", "attestation-prefix", "source-date-epoch"},
	"cacheonly": {},
}

var outputTypes = []string{"local", "tar", "oci", "docker", "image", "registry", "cacheonly"}

// parseOutputs reads what becomes of the build.
func (j *job) parseOutputs(context.Context) error {
	var errs []error
	toStdout := 0
	for _, r := range j.options.Outputs {
		o, err := parseOutput(r)
		if err == nil {
			err = j.placeOutput(&o)
		}
		if err == nil && o.Dest == builder.Stdout {
			if toStdout++; toStdout > 1 {
				err = errors.New("standard output can take one output only")
			}
		}
		if err != nil {
			errs = append(errs, at("outputs", r.Line, err))
			continue
		}
		j.outputs = append(j.outputs, o)
	}
	loads := func(o builder.Output) bool { return o.Type == "docker" && o.Dest == "" }
	if j.options.Load && !slices.ContainsFunc(j.outputs, loads) {
		j.outputs = append(j.outputs, builder.Output{Type: "docker", Attrs: map[string]string{}})
	}
	return errors.Join(errs...)
}

// parseOutput reads one output: a plain path, which is a directory, "-", which
// is a tar on standard output, or key=value with a type.
func parseOutput(r input.Record) (builder.Output, error) {
	o := builder.Output{Attrs: map[string]string{}}
	if len(r.Fields) == 1 && !strings.HasPrefix(r.Text, "type=") && !strings.HasPrefix(r.Text, `"`) {
		o.Type, o.Dest = "local", r.Text
		if r.Text == builder.Stdout {
			o.Type = "tar"
		}
		return o, nil
	}
	for _, f := range r.Fields {
		switch f.Key {
		case "":
			return o, fmt.Errorf("expected key=value, found %q", f.Value)
		case "type":
			o.Type = f.Value
		case "dest":
			o.Dest = f.Value
		default:
			o.Attrs[f.Key] = f.Value
		}
	}
	switch {
	case o.Type == "":
		return o, errdefs.New(errdefs.BadInput, "no type").WithHint("write type=..., %s", keyList(outputTypes))
	case o.Type == "registry":
		o.Type, o.Attrs["push"] = "image", "true"
	case outputKeys[o.Type] == nil:
		return o, errdefs.New(errdefs.BadInput, "unknown type of output %q", o.Type).WithHint("%s", keyList(outputTypes))
	}
	return o, checkOutput(o)
}

// outputBools are the keys that are true or false.
var outputBools = []string{
	"push", "push-by-digest", "registry.insecure", "unpack", "name-canonical", "store", "oci-mediatypes", "oci-artifact",
	"attestation-inline", "prefer-nondist-layers", "force-compression", "rewrite-timestamp", "tar", "platform-split",
}

// compressions are BuildKit's:
// https://github.com/moby/buildkit/blob/master/util/compression/parse.go
var compressions = []string{"uncompressed", "gzip", "estargz", "zstd"}

func checkOutput(o builder.Output) error {
	if o.Dest != "" && !slices.Contains(outputKeys[o.Type], "dest") {
		return fmt.Errorf("type=%s has no key \"dest\"", o.Type)
	}
	for _, key := range slices.Sorted(maps.Keys(o.Attrs)) {
		value := o.Attrs[key]
		annotates := slices.Contains(outputKeys[o.Type], "name") && strings.HasPrefix(key, "annotation")
		switch {
		case annotates:
		case !slices.Contains(outputKeys[o.Type], key):
			return errdefs.New(errdefs.BadInput, "type=%s has no key %q", o.Type, key).WithHint("%s", keyList(outputKeys[o.Type]))
		case slices.Contains(outputBools, key):
			if _, err := strconv.ParseBool(value); err != nil {
				return fmt.Errorf("%s=%q is neither true nor false", key, value)
			}
		case key == "compression" && !slices.Contains(compressions, value):
			return errdefs.New(errdefs.BadInput, "unknown compression %q", value).WithHint("%s", keyList(compressions))
		case key == "mode" && value != "copy" && value != "delete":
			return errdefs.New(errdefs.BadInput, "unknown mode %q", value).WithHint("one of copy, delete")
		}
	}
	return nil
}

// placeOutput makes the place of an output absolute, and sees that it can be
// what it has to be: a file or a directory.
func (j *job) placeOutput(o *builder.Output) error {
	tar := o.Attrs["tar"] == "" || isTrue(o.Attrs["tar"])
	dir := o.Type == "local" || !tar
	file := !dir && (o.Type == "tar" || o.Type == "oci" || o.Type == "docker")
	switch {
	case !dir && !file:
		return nil
	case dir && (o.Dest == "" || o.Dest == builder.Stdout):
		return fmt.Errorf("type=%s is a directory, and needs dest=DIR", describeOutput(o))
	case o.Dest == "" && o.Type == "docker":
		return nil // the engine loads it
	case o.Dest == "" || o.Dest == builder.Stdout:
		o.Dest = builder.Stdout
		return nil
	}
	path := absolute(o.Dest, j.env.Dir)
	info, err := os.Stat(path)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("dest: %w", err)
	case err == nil && dir && !info.IsDir():
		return fmt.Errorf("dest=%s is a file; type=%s needs a directory", o.Dest, describeOutput(o))
	case err == nil && file && info.IsDir():
		return fmt.Errorf("dest=%s is a directory; type=%s needs a file", o.Dest, o.Type)
	}
	o.Dest = path
	if o.Attrs["mode"] == "delete" && !slices.Contains(j.options.Allow, localDelete) && !within(path, j.env.Dir) {
		return errdefs.New(errdefs.BadInput, "mode=delete removes what is in %s, which is not in the working directory", path).
			WithHint("allow it with allow %s", localDelete)
	}
	return nil
}

func describeOutput(o *builder.Output) string {
	if o.Type == "local" {
		return o.Type
	}
	return o.Type + ",tar=false"
}

// within is whether path is below dir, symbolic links resolved as far as the
// path exists. The directory itself is not below itself.
func within(path, dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	rest := ""
	for {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			rel, err := filepath.Rel(dir, filepath.Join(real, rest))
			return err == nil && rel != "." && filepath.IsLocal(rel)
		}
		if path == filepath.Dir(path) {
			return false
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = filepath.Dir(path)
	}
}

func isTrue(text string) bool {
	b, err := strconv.ParseBool(text)
	return err == nil && b
}
