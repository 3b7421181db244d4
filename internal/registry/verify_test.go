package registry

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func platformList(t *testing.T, list ...string) []v1.Platform {
	t.Helper()
	var out []v1.Platform
	for _, s := range list {
		p, err := v1.ParsePlatform(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *p)
	}
	return out
}

// names are the platforms of rows, attestations marked.
func names(rows []Platform) string {
	var out []string
	for _, r := range rows {
		s := r.Platform
		if r.Attestation {
			s = "attestation"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestVerify(t *testing.T) {
	t.Parallel()
	three := []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}
	const all = "linux/amd64 attestation linux/arm64 attestation linux/arm/v7 attestation"
	for _, tt := range []struct {
		name  string
		have  []string
		want  []string
		rules []*rule
		err   string
		rows  string
	}{
		{name: "as built", have: three, want: three, rows: all},
		{name: "variants spelled out", have: []string{"linux/amd64", "linux/arm64/v8", "linux/arm"}, want: []string{"linux/amd64/v1", "linux/arm64", "linux/arm/v7"}, rows: all},
		{name: "one missing", have: three[:2], want: three, err: "platforms: missing linux/arm/v7"},
		{name: "one too many", have: three, want: three[:2], err: "platforms: not asked for linux/arm/v7 sha256:"},
		{name: "another one", have: []string{"linux/arm/v6"}, want: []string{"linux/arm/v7"}, err: "platforms: missing linux/arm/v7; not asked for linux/arm/v6 sha256:"},
		{name: "one twice", have: []string{"linux/arm64", "linux/arm64/v8"}, want: []string{"linux/arm64"}, err: "linux/arm64 is there twice: sha256:"},
		{name: "HEAD is not allowed", have: three, want: three, rules: []*rule{{method: "HEAD", action: status(405, "")}}, rows: all},
		{name: "HEAD is not signed", have: three, want: three, rules: []*rule{{method: "HEAD", path: "/blobs/", action: status(403, "")}}, rows: all},
		{name: "layer gone", have: three, want: three, rules: []*rule{{method: "HEAD", path: "/blobs/", count: 1, action: status(404, "")}},
			err: ": layer: HEAD "},
		{name: "layer of another size", have: three, want: three, rules: []*rule{{method: "HEAD", path: "/blobs/", count: 1, action: with("Content-Length", "7")}},
			err: " has 7 bytes, the manifest says "},
		{name: "config corrupted", have: three, want: three, rules: []*rule{{method: "GET", path: "/blobs/", count: 1, action: edit(corrupt)}},
			err: "the manifest says "},
		{name: "config gone", have: three, want: three, rules: []*rule{{method: "GET", path: "/blobs/", count: 1, action: status(404, "")}}, err: ": config: GET "},
		{name: "config truncated once", have: three, want: three, rules: []*rule{{method: "GET", path: "/blobs/", count: 1, action: edit(truncate)}}, rows: all},
		{name: "manifest corrupted", have: three, want: three, rules: []*rule{{method: "GET", path: "/manifests/", skip: 1, count: 1, action: edit(corrupt)}},
			err: "registry sent a manifest with digest"},
		{name: "index corrupted", have: three, want: three, rules: []*rule{{method: "GET", path: "/manifests/", action: edit(corrupt)}},
			err: "registry sent a manifest with digest"},
		{name: "manifest gone", have: three, want: three, rules: []*rule{{method: "GET", path: "/manifests/", skip: 1, count: 1, action: status(404, "")}}, err: "not found"},
		{name: "denied", have: three, want: three, rules: []*rule{{method: "GET", path: "/manifests/", action: status(403, "")}}, err: "403 Forbidden"},
		{name: "503 here and there", have: three, want: three, rules: []*rule{{count: 4, action: status(503, "")}}, rows: all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, tt.rules...)
			digest := p.seed("app", testIndex(t, tt.have...))
			rows, err := newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, tt.want...))
			checkError(t, err, tt.err)
			if got := names(rows); got != tt.rows {
				t.Errorf("rows %q, want %q", got, tt.rows)
			}
			if err != nil && !strings.Contains(err.Error(), digest.String()) {
				t.Errorf("error %q does not name %s", err, digest)
			}
		})
	}
}

func TestVerifyRow(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	index := testIndex(t, "linux/arm64/v8")
	digest := p.seed("app", index)
	rows, err := newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/arm64"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, _ := index.IndexManifest()
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := image.Manifest()
	size := manifest.Manifests[0].Size + m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	want := Platform{Platform: "linux/arm64", Digest: manifest.Manifests[0].Digest.String(), Config: m.Config.Digest.String(), Size: size}
	if rows[0] != want {
		t.Errorf("row %+v\nwant %+v", rows[0], want)
	}
	if a := rows[1]; !a.Attestation || a.Platform != "unknown/unknown" || a.Digest != manifest.Manifests[1].Digest.String() {
		t.Errorf("attestation %+v", a)
	}
}

// What one platform's build gives: a manifest and no index.
func TestVerifySingle(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	image := testImage(t, v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"})
	digest, _ := image.Digest()
	if err := remote.Write(p.repo("app").Digest(digest.String()), image); err != nil {
		t.Fatal(err)
	}
	rows, err := newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/arm/v7"))
	if err != nil || names(rows) != "linux/arm/v7" || rows[0].Digest != digest.String() {
		t.Errorf("rows %+v, error %v", rows, err)
	}
	_, err = newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/amd64"))
	checkError(t, err, "missing linux/amd64; not asked for linux/arm/v7 "+digest.String())
}

// An index that says one platform of an image that was built for another.
func TestVerifyMislabeled(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	index := mutate.AppendManifests(testIndex(t), mutate.IndexAddendum{
		Add:        testImage(t, v1.Platform{OS: "linux", Architecture: "amd64"}),
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}},
	})
	digest := p.seed("app", index)
	_, err := newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/arm64"))
	checkError(t, err, "is of an image for linux/amd64")
}

// Layers that are not for distribution are at their vendor's, not here.
func TestVerifyForeignLayer(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	image, err := mutate.Append(testImage(t, v1.Platform{OS: "linux", Architecture: "amd64"}), mutate.Addendum{
		Layer: static.NewLayer([]byte("far away"), types.DockerForeignLayer), MediaType: types.DockerForeignLayer, URLs: []string{"http://vendor.test/layer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := image.Digest()
	if err := remote.Write(p.repo("app").Digest(digest.String()), image); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t).Verify(deadline(t), p.repo("app"), digest, platformList(t, "linux/amd64")); err != nil {
		t.Error(err)
	}
}

func TestVerifyStrangeIndex(t *testing.T) {
	t.Parallel()
	many := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for range indexLimit + 1 {
		many.Manifests = append(many.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}})
	}
	raw, _ := json.Marshal(many)
	for _, tt := range []struct{ mediaType, body, err string }{
		{string(types.OCIImageIndex), string(raw), "index has 1001 manifests, more than 1000"},
		{string(types.OCIImageIndex), "{", "index: "},
		{string(types.OCIManifestSchema1), "[]", "manifest: "},
		{"text/plain", "hello", `neither an index nor an image: media type "text/plain"`},
		{string(types.OCIImageIndex), `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":"sha256:` + strings.Repeat("0", 64) + `"}]}`,
			`is no image: media type "application/vnd.oci.image.index.v1+json"`},
	} {
		digest, err := digestOf("sha256", []byte(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, &rule{path: "/manifests/", action: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", tt.mediaType)
			w.Write([]byte(tt.body))
		}})
		_, err = newClient(t).Verify(deadline(t), p.repo("app"), digest, nil)
		checkError(t, err, tt.err)
	}
}
