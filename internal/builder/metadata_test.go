package builder

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/progress"
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

func metadataOf(t *testing.T, r Result, m Metadata) map[string]any {
	t.Helper()
	raw, err := r.Metadata(m)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(raw), "{\n  \"") {
		t.Errorf("not indented by two: %s", raw)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMetadataOfOneNode(t *testing.T) {
	r := Result{
		Digest: hash("a"),
		Parts: []Part{{Node: "b0", Ref: "ref", Digest: hash("a"), Response: map[string]string{
			"containerimage.digest":     hash("a").String(),
			"containerimage.descriptor": b64(`{"size":1}`),
			"image.name":                "r.example/app@" + hash("a").String(),
			"plain":                     "aGVsbG8=",   // base64 of no JSON
			"empty":                     b64(`{}`),    // of nothing
			"strings":                   b64(`["a"]`), // of no objects
			"objects":                   b64(`[{"a":1}]`),
		}, Provenance: map[string]json.RawMessage{"": json.RawMessage(`{"p":1}`)}}},
		Summary: progress.Summary{Warnings: []client.VertexWarning{{Short: []byte("w")}, {Short: []byte("w")}}},
	}
	want := map[string]any{
		"buildx.build.ref":          "b/b0/ref",
		"buildx.build.provenance":   map[string]any{"p": 1.0},
		"buildx.build.warnings":     []any{map[string]any{"short": "dw=="}},
		"containerimage.digest":     hash("a").String(),
		"containerimage.descriptor": map[string]any{"size": 1.0},
		"image.name":                "r.example/app:1,other.example/app:1",
		"plain":                     "aGVsbG8=",
		"empty":                     b64(`{}`),
		"strings":                   b64(`["a"]`),
		"objects":                   []any{map[string]any{"a": 1.0}},
	}
	names := []string{"r.example/app:1", "other.example/app:1"}
	if diff := cmp.Diff(want, metadataOf(t, r, Metadata{Builder: "b", Names: names, Warnings: true})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got := metadataOf(t, r, Metadata{Builder: "b"})
	if _, told := got["buildx.build.warnings"]; told || got["image.name"] != r.Parts[0].Response["image.name"] {
		t.Errorf("without names and warnings: %v", got)
	}
	if got := r.ImageID(); got != hash("a").String() {
		t.Errorf("image id %s", got)
	}
	r.Parts[0].Response["containerimage.config.digest"] = hash("c").String()
	if got := r.ImageID(); got != hash("c").String() {
		t.Errorf("image id %s", got)
	}
}

// Of several nodes nothing is lost: what buildx has of one stands for the whole,
// and once more for every platform.
func TestMetadataOfSeveralNodes(t *testing.T) {
	part := func(node, ref, c string, platforms ...string) Part {
		p := Part{Node: node, Ref: ref, Platforms: platforms, Digest: hash(c), Response: map[string]string{
			"containerimage.digest":     hash(c).String(),
			"containerimage.descriptor": b64(`{"digest":"` + c + `"}`),
			"cache.manifest":            b64(`{"cache":"` + c + `"}`),
			"frontend.same":             "x",
			"image.name":                "r.example/app",
		}, Provenance: map[string]json.RawMessage{}}
		for _, platform := range platforms {
			p.Provenance[platform] = json.RawMessage(`{"p":"` + platform + `"}`)
		}
		return p
	}
	r := Result{
		Digest:     hash("f"),
		Descriptor: &ocispecs.Descriptor{MediaType: "index", Size: 9},
		Parts:      []Part{part("b0", "r0", "a", "linux/amd64", "linux/386"), part("b1", "r1", "b", "linux/arm64")},
	}
	got := metadataOf(t, r, Metadata{Builder: "b", Names: []string{"r.example/app:1"}})
	want := map[string]any{
		"containerimage.digest":     hash("f").String(),
		"containerimage.descriptor": map[string]any{"mediaType": "index", "digest": "", "size": 9.0},
		"buildx.build.ref":          "b/b0/r0",
		"frontend.same":             "x",
		"image.name":                "r.example/app:1",
	}
	for platform, of := range map[string][2]string{"linux/amd64": {"b0/r0", "a"}, "linux/386": {"b0/r0", "a"}, "linux/arm64": {"b1/r1", "b"}} {
		want["containerimage.digest/"+platform] = hash(of[1]).String()
		want["containerimage.descriptor/"+platform] = map[string]any{"digest": of[1]}
		want["cache.manifest/"+platform] = map[string]any{"cache": of[1]}
		want["buildx.build.ref/"+platform] = "b/" + of[0]
		want["buildx.build.provenance/"+platform] = map[string]any{"p": platform}
		want["frontend.same/"+platform] = "x"
		want["image.name/"+platform] = "r.example/app"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.ImageID() != hash("f").String() {
		t.Errorf("image id %s", r.ImageID())
	}
}

func TestMetadataOfACall(t *testing.T) {
	r := Result{
		Parts:   []Part{{Node: "b0", Ref: "ref", Response: map[string]string{"result.json": `{"warnings":[{"a":1}]}`, "result.txt": "text", "result.statuscode": "1"}}},
		Summary: progress.Summary{Warnings: []client.VertexWarning{{Short: []byte("w")}}},
	}
	want := map[string]any{"result.json": map[string]any{"warnings": []any{map[string]any{"a": 1.0}}}, "result.txt": "text", "result.statuscode": "1"}
	if diff := cmp.Diff(want, metadataOf(t, r, Metadata{Builder: "b", Warnings: true})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if id := r.ImageID(); id != "" {
		t.Errorf("image id %q", id)
	}
}

func TestMetadataProvenance(t *testing.T) {
	const slsa1 = `{"buildDefinition":{"buildType":"x","externalParameters":{"configSource":{"path":"Dockerfile"},"request":{"frontend":"dockerfile.v0"}},
		"internalParameters":{"builderPlatform":"linux/amd64","buildConfig":{"llbDefinition":[{"id":"step0"}]}},
		"resolvedDependencies":[{"uri":"pkg:docker/alpine@3","digest":{"sha256":"ab"}}]},
		"runDetails":{"builder":{"id":"job"},"metadata":{"invocationID":"i"}}}`
	for _, c := range []struct {
		mode    MetadataProvenance
		has     []string
		without []string
	}{
		{MinProvenance, []string{`"buildType":"https://mobyproject.org/buildkit@v1"`, `"entryPoint":"Dockerfile"`, `"uri":"pkg:docker/alpine@3"`, `"id":"job"`}, []string{"buildConfig", `"metadata"`}},
		{MaxProvenance, []string{`"buildConfig":{"llbDefinition"`, `"buildInvocationID":"i"`}, []string{"resolvedDependencies"}},
	} {
		raw, err := metadataProvenance([]byte(slsa1), "https://slsa.dev/provenance/v1", c.mode)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range c.has {
			if !strings.Contains(string(raw), text) {
				t.Errorf("%s: no %s in %s", c.mode, text, raw)
			}
		}
		for _, text := range c.without {
			if strings.Contains(string(raw), text) {
				t.Errorf("%s: %s in %s", c.mode, text, raw)
			}
		}
	}
	old, err := metadataProvenance([]byte(`{"buildType":"b","buildConfig":{},"metadata":{}}`), "https://slsa.dev/provenance/v0.2", MinProvenance)
	if err != nil || !strings.Contains(string(old), `"buildType":"b"`) || strings.Contains(string(old), "buildConfig") {
		t.Errorf("version 0.2: %s, %v", old, err)
	}
	for _, bad := range []string{"", "null", "[]", "{"} {
		if raw, err := metadataProvenance([]byte(bad), "https://slsa.dev/provenance/v0.2", MinProvenance); err == nil {
			t.Errorf("%q is taken: %s", bad, raw)
		}
	}
}

func TestParseMetadataProvenance(t *testing.T) {
	for in, want := range map[string]MetadataProvenance{
		"": MinProvenance, "min": MinProvenance, "true": MinProvenance, "max": MaxProvenance,
		"false": NoProvenance, "0": NoProvenance, "disabled": NoProvenance, "maximal": "",
	} {
		if got, err := ParseMetadataProvenance(in); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
