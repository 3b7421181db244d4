package builder

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// The keys of an exporter's response by which an image is known.
const (
	digestKey = "containerimage.digest"
	configKey = "containerimage.config.digest"
)

// Metadata says what of a result its metadata holds besides the response.
type Metadata struct {
	Builder  string   // name of the builder
	Names    []string // that the image was pushed by; none leaves those of the response
	Warnings bool     // whether warnings are told
}

// Metadata is the result as buildx's --metadata-file has it: each key of the
// exporter's response, decoded where it holds a JSON object, and the names, the
// build's reference and its provenance, indented by two spaces.
//
// Of several parts a key stands for the whole where it has a value of the whole
// (the digest, the names) or where all parts agree, and beside it or instead
// once more for each platform of each part, as "containerimage.digest/linux/arm64".
// buildx keeps the digest alone.
func (r Result) Metadata(m Metadata) ([]byte, error) {
	if r.called() {
		return json.MarshalIndent(decoded(r.Parts[0].Response), "", "  ")
	}
	all := map[string]any{}
	for _, part := range r.Parts {
		part.tell(all, m.Builder, len(r.Parts) > 1)
	}
	if len(r.Parts) > 1 {
		r.tellWhole(all, m.Builder)
	}
	if len(m.Names) > 0 { // BuildKit's is the repository of one of several exporters
		all["image.name"] = strings.Join(m.Names, ",")
	}
	if warnings := r.Summary.DistinctWarnings(); m.Warnings && len(warnings) > 0 {
		all["buildx.build.warnings"] = warnings
	}
	return json.MarshalIndent(all, "", "  ")
}

// called is whether the frontend was asked something, and nothing was built.
func (r Result) called() bool { return r.Parts[0].Response["result.json"] != "" }

// tell adds what one node gave, under the names of its platforms where it is
// one of several.
func (p Part) tell(all map[string]any, builder string, several bool) {
	own := decoded(p.Response)
	own["buildx.build.ref"] = p.buildRef(builder)
	for platform, predicate := range p.Provenance {
		own[join("buildx.build.provenance", platform)] = predicate
	}
	for key, value := range own {
		if !several || strings.HasPrefix(key, "buildx.build.provenance/") {
			all[key] = value
			continue
		}
		for _, platform := range p.Platforms {
			all[join(key, platform)] = value
		}
	}
}

// tellWhole adds what is true of the index that is made of all parts.
func (r Result) tellWhole(all map[string]any, builder string) {
	for key, value := range r.Parts[0].Response {
		same := true
		for _, p := range r.Parts[1:] {
			same = same && p.Response[key] == value
		}
		if same {
			all[key] = embedded(key, value)
		}
	}
	all["buildx.build.ref"] = r.Parts[0].buildRef(builder)
	if r.Digest.Hex != "" {
		all[digestKey] = r.Digest.String()
	}
	if r.Descriptor != nil {
		all[descriptorKey] = r.Descriptor
	}
}

func (p Part) buildRef(builder string) string {
	return strings.Join([]string{builder, p.Node, p.Ref}, "/")
}

func join(key, platform string) string {
	if platform == "" {
		return key
	}
	return key + "/" + platform
}

func decoded(response map[string]string) map[string]any {
	m := map[string]any{}
	for k, v := range response {
		m[k] = embedded(k, v)
	}
	return m
}

// embedded is a value as JSON where it is base64 of an object or of a list of
// objects that is not empty, else as it is. What a frontend was asked comes as
// JSON itself.
func embedded(key, v string) any {
	raw, err := base64.StdEncoding.DecodeString(v)
	if key == "result.json" {
		raw, err = []byte(v), nil
	}
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
// is one image, else the index's digest. A store of containerd's has images by
// the latter too.
func (r Result) ImageID() string {
	if len(r.Parts) > 1 {
		if r.Digest.Hex == "" {
			return ""
		}
		return r.Digest.String()
	}
	if id := r.Parts[0].Response[configKey]; id != "" {
		return id
	}
	return r.Parts[0].Response[digestKey]
}
