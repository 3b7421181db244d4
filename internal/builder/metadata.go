package builder

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Metadata is the result as buildx's --metadata-file has it: each key of the
// exporter's response, decoded where it holds a JSON object, and the names and
// the build's reference, indented by two spaces.
func (r Result) Metadata(builder string, tags []name.Tag) ([]byte, error) {
	m := map[string]any{}
	part := r.Parts[0]
	for k, v := range part.Response {
		m[k] = embedded(v)
	}
	delete(m, "image.name") // names a repository by digest, as it was pushed
	if len(tags) > 0 {
		names := make([]string, len(tags))
		for i, t := range tags {
			names[i] = t.String()
		}
		m["image.name"] = strings.Join(names, ",")
	}
	m["buildx.build.ref"] = strings.Join([]string{builder, part.Node, part.Ref}, "/")
	if len(r.Summary.Warnings) > 0 {
		m["buildx.build.warnings"] = r.Summary.Warnings
	}
	return json.MarshalIndent(m, "", "  ")
}

// embedded is a value as JSON where it is base64 of an object or of a list of
// objects that is not empty, else as it is.
func embedded(v string) any {
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return v
	}
	var object map[string]any
	var list []map[string]any
	if json.Unmarshal(raw, &object) == nil && len(object) > 0 || json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		return json.RawMessage(raw)
	}
	return v
}

// ImageID is the image's id as docker shows it: the config's digest where there
// is one image, else the index's digest.
func (r Result) ImageID() string {
	if id := r.Parts[0].Response["containerimage.config.digest"]; id != "" {
		return id
	}
	return r.Parts[0].Response["containerimage.digest"]
}
