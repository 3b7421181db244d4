package builder

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// TestClassicLimits asks an engine with the classic image store for each thing
// that it is not able to do, by itself.
func TestClassicLimits(t *testing.T) {
	image := Output{Type: "image"}
	annotated := []Annotation{{Levels: []Level{{Type: "manifest"}}, Key: "a", Value: "b"}}
	epoch := int64(1)
	for want, r := range map[string]EngineRequest{
		"platforms: linux/amd64 and linux/arm64":                {Request: Request{Platforms: platformsOf(t, "linux/amd64", "linux/arm64")}},
		"provenance: an attestation":                            {Request: Request{Attests: map[string]string{"provenance": "mode=max"}}},
		"sbom: an attestation":                                  {Request: Request{Attests: map[string]string{"sbom": ""}}},
		"annotations: a":                                        {Request: Request{Outputs: []Output{image}, Annotations: annotated}},
		"outputs: type=oci":                                     {Request: Request{Outputs: []Output{{Type: "oci", Dest: "/o"}}}},
		"outputs: type=docker":                                  {Request: Request{Outputs: []Output{{Type: "docker", Dest: "/o"}}}},
		"outputs: type=docker,context=far":                      {Request: Request{Outputs: []Output{{Type: "docker", Attrs: map[string]string{"context": "far"}}}}},
		"outputs: compression=zstd":                             {Request: Request{Image: map[string]string{"compression": "zstd", "oci-artifact": "false"}}},
		"outputs: oci-mediatypes=true":                          {Request: Request{Outputs: []Output{{Type: "docker", Attrs: map[string]string{"oci-mediatypes": "true", "name": "x"}}}}},
		"outputs: r.example/app by digest":                      {Request: Request{Push: true, Repositories: []name.Repository{tagsOf(t, "r.example/app:x")[0].Context()}}},
		"cache-to: type=gha":                                    {Request: Request{CacheTo: []Cache{{Type: "gha"}, {Type: "gha"}, {Type: "inline"}}}},
		"cache-from: type=local":                                {Request: Request{CacheFrom: []Cache{{Type: "local"}, {Type: "registry"}}}},
		"reproducible: the time of an image's files":            {Request: Request{Reproducible: &epoch}},
		"compatibility-version: the bytes of an older BuildKit": {Request: Request{Compatibility: 20}},
		"guard-moving-tags: a look before a tag moves":          {Request: Request{Push: true}, Moves: Moves{Guard: registry.GuardNewest}},
		"rollback: tags as they were before":                    {Request: Request{Push: true}, Moves: Moves{Rollback: true}},
	} {
		r.Images = setup.ClassicStore
		_, left, err := ForEngine(r)
		var bad *errdefs.Error
		if !errors.As(err, &bad) || len(errdefs.List(err)) != 1 || len(left) != 0 {
			t.Errorf("%s: %v, left %q", want, err, left)
			continue
		}
		got, _, _ := strings.Cut(bad.Input+": "+bad.Err.Error(), ": the engine's own")
		if got != want || bad.Kind != errdefs.BadInput || bad.Hint == "" {
			t.Errorf("%s (%v, hint %q), want %s", got, bad.Kind, bad.Hint, want)
		}
		r.Images = setup.ContainerdStore
		if _, left, err := ForEngine(r); err != nil || left != nil {
			t.Errorf("%s: with containerd's store: %v, left %q", want, err, left)
		}
	}
}

// TestEngineIsAble has the classic store do what it is able to do, and a question
// ask for what nothing comes of.
func TestEngineIsAble(t *testing.T) {
	for title, req := range map[string]Request{
		"nothing":         {},
		"an image":        {Outputs: []Output{{Type: "docker"}}, Tags: tagsOf(t, "app:1"), Platforms: platformsOf(t, "linux/arm64"), Image: map[string]string{"oci-artifact": "false"}},
		"a push":          {Push: true, Tags: tagsOf(t, "r.example/app:1")},
		"files":           {Outputs: []Output{{Type: "local", Dest: "/d"}}, Annotations: []Annotation{{Key: "a"}}},
		"a question":      {Call: Call{Method: "lint"}, Platforms: platformsOf(t, "linux/amd64", "linux/arm64"), Attests: map[string]string{"sbom": ""}},
		"caches it knows": {CacheFrom: []Cache{{Type: "registry"}}, CacheTo: []Cache{{Type: "inline"}}},
	} {
		got, left, err := ForEngine(EngineRequest{Request: req, Images: setup.ClassicStore})
		if err != nil || left != nil {
			t.Errorf("%s: %v, left %q", title, err, left)
		}
		if diff := cmp.Diff(req.Outputs, got.Outputs); diff != "" {
			t.Errorf("%s: %s", title, diff)
		}
	}
}

func TestEngineLeavesOut(t *testing.T) {
	req := Request{
		Push: true, Tags: tagsOf(t, "r.example/app:1"),
		Attests:     map[string]string{"provenance": "mode=min", "sbom": ""},
		Annotations: []Annotation{{Key: "a"}},
	}
	got, left, err := ForEngine(EngineRequest{Request: req, Images: setup.ClassicStore, Default: []string{"provenance", "annotations"}})
	if len(got.Attests) != 1 || got.Annotations != nil {
		t.Errorf("it still has %v, %v", got.Attests, got.Annotations)
	}
	if len(left) != 2 || !strings.HasPrefix(left[0], "provenance: left out, ") || !strings.HasPrefix(left[1], "annotations: left out, ") {
		t.Errorf("left %q", left)
	}
	if len(errdefs.List(err)) != 1 || !strings.Contains(err.Error(), `input "sbom"`) {
		t.Errorf("what was asked for: %v", err)
	}
	if len(req.Attests) != 2 {
		t.Error("the request itself was changed")
	}
}

func TestEngineExports(t *testing.T) {
	load, file := Output{Type: "docker", Attrs: map[string]string{}}, Output{Type: "tar", Dest: "/f"}
	far := Output{Type: "oci", Attrs: map[string]string{"context": "far"}}
	tags := tagsOf(t, "r.example/app:1", "r.example/app:2", "s.example/app:1")
	names := map[string]string{"name": "r.example/app:1,r.example/app:2,s.example/app:1"}
	stored := Export{Type: "moby", Attrs: names}
	for title, tt := range map[string]struct {
		images setup.ImageStore
		req    Request
		want   []Export
	}{
		"nothing":            {setup.ClassicStore, Request{}, nil},
		"load and image":     {setup.ClassicStore, Request{Tags: tags, Outputs: []Output{load, {Type: "image"}}}, []Export{stored}},
		"file":               {setup.ClassicStore, Request{Tags: tags, Outputs: []Output{file}}, []Export{{Type: "tar", Attrs: map[string]string{}, Dest: "/f"}}},
		"push":               {setup.ClassicStore, Request{Tags: tags, Push: true}, []Export{stored}},
		"push and load":      {setup.ClassicStore, Request{Tags: tags, Push: true, Outputs: []Output{load}}, []Export{stored}},
		"containerd, load":   {setup.ContainerdStore, Request{Tags: tags, Outputs: []Output{load}}, []Export{stored}},
		"containerd, engine": {setup.ContainerdStore, Request{Tags: tags, Outputs: []Output{far}}, []Export{{Type: "oci", Attrs: names}}},
		"containerd, push": {setup.ContainerdStore, Request{Tags: tags, Push: true, Outputs: []Output{load}}, []Export{
			stored,
			pushByDigest(Request{}, "s.example/app"),
			pushByDigest(Request{}, "r.example/app"),
		}},
	} {
		if diff := cmp.Diff(tt.want, exports(tt.req, tt.images)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

// TestPlanForEngine has a plan prefer the images that the engine has, unless it
// is to look again.
func TestPlanForEngine(t *testing.T) {
	node := setup.Node{Name: "default", Images: setup.ClassicStore, Platforms: platformsOf(t, "linux/amd64")}
	for _, pull := range []bool{false, true} {
		plan, err := NewPlan(Request{Pull: pull, Outputs: []Output{{Type: "image"}}}, []setup.Node{node})
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "local", true: "pull"}[pull]
		if got := plan.Solves[0].FrontendAttrs["image-resolve-mode"]; got != want {
			t.Errorf("pull %v: %q, want %q", pull, got, want)
		}
	}
}

func TestFirstTags(t *testing.T) {
	var got []string
	for _, tag := range firstTags(Request{Tags: tagsOf(t, "r.example/a:latest", "s.example/b:1", "r.example/a:1.2.3", "r.example/a:1.2.4", "s.example/b:1.2")}) {
		got = append(got, tag.Name())
	}
	if want := []string{"r.example/a:1.2.3", "s.example/b:1.2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestPushedAs has an engine's word for a digest, which is the image's id, take
// its place.
func TestPushedAs(t *testing.T) {
	const id, digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	for title, response := range map[string]map[string]string{
		"an old engine": {digestKey: id},
		"a newer one":   {digestKey: id, configKey: id},
	} {
		before := Result{Parts: []Part{{Response: response}}}
		got := before.pushedAs(hash)
		if got.ImageID() != id || got.ImageDigest() != digest || got.Parts[0].Response[digestKey] != digest {
			t.Errorf("%s: %v", title, got)
		}
		if response[digestKey] != id {
			t.Errorf("%s: what came was changed", title)
		}
	}
	stored := Result{Parts: []Part{{Response: map[string]string{digestKey: digest, configKey: id}}}}
	if got := stored.Stored(setup.ContainerdStore).ImageID(); got != digest {
		t.Errorf("containerd's store: %s", got)
	}
	if got := stored.Stored(setup.ClassicStore).ImageID(); got != id {
		t.Errorf("classic store: %s", got)
	}
}

// TestPushFault has texts as engines gave them.
func TestPushFault(t *testing.T) {
	tag := tagsOf(t, "r.example/app:1")[0]
	for text, tt := range map[string]struct {
		kind errdefs.Kind
		hint string
	}{
		"no basic auth credentials":                                                        {errdefs.Denied, "log in"},
		"unauthorized: authentication required":                                            {errdefs.Denied, "log in"},
		"denied: requested access to the resource is denied":                               {errdefs.Denied, "log in"},
		`Get "https://r.example/v2/": http: server gave HTTP response to HTTPS client`:     {errdefs.Environment, "insecure-registries"},
		`Get "https://r.example/v2/": x509: certificate signed by unknown authority`:       {errdefs.Environment, "certs.d"},
		`Get "https://r.example/v2/": dial tcp 192.0.2.1:443: connect: connection refused`: {errdefs.Environment, "reach"},
		"something else": {errdefs.Environment, ""},
		"received unexpected HTTP status: 429 Too Many Requests":      {errdefs.Environment, "log in"},
		`An image does not exist locally with the tag: r.example/app`: {errdefs.Environment, ""},
	} {
		err := pushFault(t.Context(), tag, errors.New(text))
		hints := strings.Join(errdefs.Hints(err), " ")
		if errdefs.KindOf(err) != tt.kind || !strings.Contains(hints, tt.hint) || tt.hint == "" && hints != "" {
			t.Errorf("%s: %v (%v), hint %q", text, err, errdefs.KindOf(err), hints)
		}
		if !strings.Contains(err.Error(), "r.example/app:1") {
			t.Errorf("%v does not say what", err)
		}
	}
}

func TestAuxDigest(t *testing.T) {
	if _, err := auxDigest([]byte(`{"Tag":"1","Digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","Size":5}`)); err != nil {
		t.Error(err)
	}
	for _, raw := range []string{`{`, `{"Digest":"x"}`, `{}`} {
		if got, err := auxDigest([]byte(raw)); err == nil {
			t.Errorf("%s: %v", raw, got)
		}
	}
}
