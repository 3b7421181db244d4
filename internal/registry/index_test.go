package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// piece is an index of one node: images of the platforms in list and, where
// attested, an attestation of each.
func piece(t *testing.T, annotations string, attested bool, list ...string) Manifest {
	t.Helper()
	var images, attestations []string
	for _, p := range platformList(t, list...) {
		digest := fakeDigest(t, p.String())
		variant := ""
		if p.Variant != "" {
			variant = fmt.Sprintf(`,"variant":%q`, p.Variant)
		}
		images = append(images, fmt.Sprintf(
			`{"mediaType":%q,"digest":%q,"size":7,"new":"<field>","annotations":{"of":%q},"platform":{"os":%q,"architecture":%q%s}}`,
			types.OCIManifestSchema1, digest, p, p.OS, p.Architecture, variant))
		attestations = append(attestations, fmt.Sprintf(
			`{"mediaType":%q,"artifactType":"attests","digest":%q,"size":7,"annotations":{%q:%q,%q:%q},"platform":{"os":"unknown","architecture":"unknown"}}`,
			types.OCIManifestSchema1, fakeDigest(t, "of "+p.String()), referenceType, attestationManifest, referenceDigest, digest))
	}
	if attested {
		images = append(images, attestations...)
	}
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"annotations":%s}`,
		types.OCIImageIndex, strings.Join(images, ","), annotations)
	digest, err := digestOf("sha256", []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return Manifest{MediaType: types.OCIImageIndex, Raw: []byte(raw), Digest: digest}
}

func fakeDigest(t *testing.T, of string) v1.Hash {
	t.Helper()
	d, err := digestOf("sha256", []byte(of))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestJoin(t *testing.T) {
	t.Parallel()
	arm := piece(t, `{"shared":"1","arm":"<2>"}`, true, "linux/arm64", "linux/arm/v7")
	amd := piece(t, `{"shared":"1"}`, true, "linux/amd64")
	order := platformList(t, "linux/arm/v7", "linux/amd64", "linux/arm64")
	whole, err := Join([]Manifest{arm, amd}, order)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Join([]Manifest{amd, arm}, order)
	if err != nil || again.Digest != whole.Digest {
		t.Errorf("parts in another order give %s, %v, want %s", again.Digest, err, whole.Digest)
	}
	// All of it, to the byte: nothing is lost, escaped or in another order.
	image := func(p, arch, variant string) string {
		return fmt.Sprintf(`    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": %q,
      "size": 7,
      "new": "<field>",
      "annotations": {
        "of": %q
      },
      "platform": {
        "os": "linux",
        "architecture": %q%s
      }
    }`, fakeDigest(t, p), p, arch, variant)
	}
	attestation := func(p string) string {
		return fmt.Sprintf(`    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "artifactType": "attests",
      "digest": %q,
      "size": 7,
      "annotations": {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": %q
      },
      "platform": {
        "os": "unknown",
        "architecture": "unknown"
      }
    }`, fakeDigest(t, "of "+p), fakeDigest(t, p))
	}
	want := `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
` + strings.Join([]string{
		image("linux/arm/v7", "arm", ",\n        \"variant\": \"v7\""),
		image("linux/amd64", "amd64", ""),
		image("linux/arm64", "arm64", ""),
		attestation("linux/arm/v7"), attestation("linux/amd64"), attestation("linux/arm64"),
	}, ",\n") + `
  ],
  "annotations": {
    "arm": "<2>",
    "shared": "1"
  }
}`
	if diff := cmp.Diff(want, string(whole.Raw)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if d, err := digestOf("sha256", whole.Raw); err != nil || d != whole.Digest || whole.MediaType != types.OCIImageIndex {
		t.Errorf("digest %s, media type %s", whole.Digest, whole.MediaType)
	}
}

func TestJoinFaults(t *testing.T) {
	t.Parallel()
	amd := piece(t, `{"a":"1"}`, false, "linux/amd64")
	arm := piece(t, `{"a":"2"}`, false, "linux/arm64")
	image := Manifest{MediaType: types.OCIManifestSchema1, Raw: []byte(`{}`)}
	broken := Manifest{MediaType: types.OCIImageIndex, Raw: []byte(`{"manifests":[`)}
	subject := Manifest{MediaType: types.OCIImageIndex, Raw: []byte(`{"manifests":[],"subject":{"digest":"sha256:0"}}`)}
	for _, tt := range []struct {
		name  string
		parts []Manifest
		says  string
	}{
		{"one platform twice", []Manifest{amd, amd}, "two parts of the index have linux/amd64: sha256:"},
		{"one platform twice, written otherwise", []Manifest{piece(t, `{}`, false, "linux/arm64"), piece(t, `{}`, false, "linux/arm64/v8")}, "linux/arm64"},
		{"annotations at odds", []Manifest{amd, arm}, `annotation a of the index is "2", and "1" in another part`},
		{"an image", []Manifest{amd, image}, "no index"},
		{"no JSON", []Manifest{broken}, "index: unexpected end of JSON"},
		{"a subject", []Manifest{subject}, "subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Join(tt.parts, nil); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

// A list of Docker's kind stays one, unless a part is of OCI's.
func TestJoinMediaType(t *testing.T) {
	t.Parallel()
	docker := func(p string) Manifest {
		m := piece(t, `{}`, false, p)
		m.MediaType = types.DockerManifestList
		return m
	}
	for _, tt := range []struct {
		parts []Manifest
		want  types.MediaType
	}{
		{[]Manifest{docker("linux/amd64"), docker("linux/arm64")}, types.DockerManifestList},
		{[]Manifest{docker("linux/amd64"), piece(t, `{}`, false, "linux/arm64")}, types.OCIImageIndex},
	} {
		whole, err := Join(tt.parts, nil)
		if err != nil || whole.MediaType != tt.want || !strings.Contains(string(whole.Raw), string(tt.want)) {
			t.Errorf("%s, %v, want %s", whole.MediaType, err, tt.want)
		}
	}
}

// Two nodes' indexes in a repository become one, which reads back whole.
func TestPut(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: http.MethodPut, path: "/app/manifests/", count: 1, action: status(http.StatusServiceUnavailable, "")})
	c := newClient(t)
	repo := p.repo("app")
	var parts []Manifest
	for _, platform := range []string{"linux/arm64", "linux/amd64"} {
		m, err := c.Get(t.Context(), repo.Digest(p.seed("app", testIndex(t, platform)).String()))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, m)
	}
	both := platformList(t, "linux/amd64", "linux/arm64")
	whole, err := Join(parts, both)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), repo, whole); err != nil {
		t.Fatal(err)
	}
	rows, err := c.Verify(t.Context(), repo, whole.Digest, both)
	if err != nil {
		t.Fatal(err)
	}
	if want := "linux/amd64 linux/arm64 attestation attestation"; names(rows) != want {
		t.Errorf("read back %q, want %q", names(rows), want)
	}
}

func TestPutDenied(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: http.MethodPut, path: "/app/manifests/", action: status(http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`)})
	err := newClient(t).Put(t.Context(), p.repo("app"), piece(t, `{}`, false, "linux/amd64"))
	if errdefs.KindOf(err) != errdefs.Denied {
		t.Errorf("%v, want denied", err)
	}
}
