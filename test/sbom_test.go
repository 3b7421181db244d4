package test

import (
	"encoding/json"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
)

const spdxType = "https://spdx.dev/Document"

// sbom checks that an index has images for these platforms and no others, and
// for each an SBOM of its own, whose subject is that image.
//
//	sbom REFERENCE PLATFORM...
func sbom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sbom REFERENCE PLATFORM...")
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	index, err := remote.Index(ref)
	ts.Check(err)
	manifest, err := index.IndexManifest()
	ts.Check(err)
	platformOf := map[string]string{} // digest -> platform
	for _, d := range manifest.Manifests {
		if d.Annotations["vnd.docker.reference.type"] == "" {
			platformOf[d.Digest.String()] = d.Platform.String()
		}
	}
	var found []string
	for _, d := range manifest.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			continue
		}
		about := d.Annotations["vnd.docker.reference.digest"]
		if platformOf[about] == "" {
			ts.Fatalf("the attestation %s is about %s, which is not in the index", d.Digest, about)
		}
		img, err := index.Image(d.Digest)
		ts.Check(err)
		if hasSBOM(ts, img, about) {
			found = append(found, platformOf[about])
		}
	}
	want := slices.Sorted(slices.Values(args[1:]))
	slices.Sort(found)
	if diff := cmp.Diff(want, found); diff != "" || len(platformOf) != len(want) {
		ts.Fatalf("%s has %d images; SBOMs (-want +got):\n%s", args[0], len(platformOf), diff)
	}
}

// hasSBOM finds the SPDX document among an image's attestations and checks that
// it is one, and about that image.
func hasSBOM(ts *testscript.TestScript, attestations v1.Image, about string) bool {
	layers, err := attestations.Layers()
	ts.Check(err)
	manifest, err := attestations.Manifest()
	ts.Check(err)
	for i, l := range layers {
		if manifest.Layers[i].Annotations["in-toto.io/predicate-type"] != spdxType {
			continue
		}
		r, err := l.Compressed()
		ts.Check(err)
		var statement struct {
			PredicateType string
			Subject       []struct{ Digest map[string]string }
			Predicate     struct {
				SPDXVersion string `json:"spdxVersion"`
				Files       []struct{ FileName string }
			}
		}
		err = json.NewDecoder(r).Decode(&statement)
		r.Close()
		ts.Check(err)
		if statement.PredicateType != spdxType || statement.Predicate.SPDXVersion != "SPDX-2.3" || len(statement.Predicate.Files) == 0 {
			ts.Fatalf("the SBOM of %s is %+v", about, statement)
		}
		if len(statement.Subject) == 0 || "sha256:"+statement.Subject[0].Digest["sha256"] != about {
			ts.Fatalf("the SBOM of %s is about %+v", about, statement.Subject)
		}
		return true
	}
	return false
}
