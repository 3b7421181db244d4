package buildpush

import (
	"encoding/json"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/registry"
)

// digests is the output of that name: all that was pushed, by digest.
type digests struct {
	Tags         map[string]string         `json:"tags"`         // digest by full reference
	Platforms    map[string]platformDigest `json:"platforms"`    // by platform, as linux/arm64
	Repositories map[string]string         `json:"repositories"` // the index's digest by repository
}

type platformDigest struct {
	Manifest     string   `json:"manifest"`
	Config       string   `json:"config"`
	Size         int64    `json:"size"` // manifest, config and layers, bytes
	Attestations []string `json:"attestations"`
}

// newDigests is what pushed and tags say. Every repository has the same index, so
// that the platforms of the first are those of all.
func newDigests(pushed []builder.Pushed, tags []registry.Written) digests {
	d := digests{Tags: map[string]string{}, Platforms: map[string]platformDigest{}, Repositories: map[string]string{}}
	for _, t := range tags {
		if t.Stands() {
			d.Tags[t.Tag] = t.After
		}
	}
	for _, p := range pushed {
		d.Repositories[p.Repository] = p.Digest
	}
	if len(pushed) == 0 {
		return d
	}
	attestations := map[string][]string{}
	for _, p := range pushed[0].Platforms {
		if p.Attestation {
			attestations[p.Of] = append(attestations[p.Of], p.Digest)
		}
	}
	for _, p := range pushed[0].Platforms {
		if p.Attestation {
			continue
		}
		about := attestations[p.Digest]
		if about == nil {
			about = []string{}
		}
		d.Platforms[p.Platform] = platformDigest{Manifest: p.Digest, Config: p.Config, Size: p.Size, Attestations: about}
	}
	return d
}

// pushOutputs are the outputs that say what was pushed, name and value.
func (j *job) pushOutputs() ([][2]string, error) {
	raw, err := json.Marshal(newDigests(j.pushed, j.tags))
	if err != nil {
		return nil, err
	}
	index := ""
	if len(j.pushed) > 0 {
		index = j.pushed[0].Repository + "@" + j.pushed[0].Digest
	}
	return [][2]string{{"digests", string(raw)}, {"index", index}}, nil
}
