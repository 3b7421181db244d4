package buildpush

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/registry"
)

func TestDigests(t *testing.T) {
	platforms := []registry.Platform{
		{Platform: "linux/amd64", Digest: "sha256:a", Config: "sha256:ac", Size: 10},
		{Platform: "linux/arm64", Digest: "sha256:b", Config: "sha256:bc", Size: 20},
		{Platform: "unknown/unknown", Digest: "sha256:aa", Attestation: true, Of: "sha256:a"},
	}
	pushed := []builder.Pushed{
		{Repository: "one.example/app", Digest: "sha256:i", Platforms: platforms},
		{Repository: "two.example/app", Digest: "sha256:i", Platforms: platforms},
	}
	tags := []registry.Written{
		{Tag: "one.example/app:1.4.2", After: "sha256:i", Status: "written"},
		{Tag: "one.example/app:1.4", After: "sha256:i", Status: "unchanged"},
		{Tag: "one.example/app:latest", After: "sha256:other", Status: "kept"},
	}
	for _, tt := range []struct {
		name   string
		pushed []builder.Pushed
		tags   []registry.Written
		want   string
	}{
		{"release", pushed, tags, `{"tags":{"one.example/app:1.4":"sha256:i","one.example/app:1.4.2":"sha256:i"},` +
			`"platforms":{"linux/amd64":{"manifest":"sha256:a","config":"sha256:ac","size":10,"attestations":["sha256:aa"]},` +
			`"linux/arm64":{"manifest":"sha256:b","config":"sha256:bc","size":20,"attestations":[]}},` +
			`"repositories":{"one.example/app":"sha256:i","two.example/app":"sha256:i"}}`},
		{"nothing", nil, nil, `{"tags":{},"platforms":{},"repositories":{}}`},
	} {
		raw, err := json.Marshal(newDigests(tt.pushed, tt.tags))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, string(raw)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
