package registry

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// aged is an image of some age, which it says at one of the places where an
// image may.
type aged struct {
	created, version string
	config           string // time of the config, where created is elsewhere
	at               string // "index", "manifest", "label", "config"
}

func (a aged) index(t *testing.T) v1.ImageIndex {
	t.Helper()
	says := map[string]string{}
	if a.created != "" {
		says[createdKey] = a.created
	}
	if a.version != "" {
		says[versionKey] = a.version
	}
	image := testImage(t, v1.Platform{OS: "linux", Architecture: "amd64"})
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	switch a.at {
	case "label":
		config.Config.Labels = says
	case "config":
		a.config = a.created
	}
	if a.config != "" {
		if config.Created.Time, err = time.Parse(time.RFC3339, a.config); err != nil {
			t.Fatal(err)
		}
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	if a.at == "manifest" {
		image = mutate.Annotations(image, says).(v1.Image)
	}
	// An attestation that stands first must not be asked for its age.
	var index v1.ImageIndex = mutate.AppendManifests(testIndex(t),
		mutate.IndexAddendum{Add: testImage(t, v1.Platform{OS: "unknown", Architecture: "unknown"}), Descriptor: v1.Descriptor{
			Annotations: map[string]string{referenceType: attestationManifest},
		}},
		mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if a.at == "index" {
		index = mutate.Annotations(index, says).(v1.ImageIndex)
	}
	return mutate.IndexMediaType(index, types.OCIImageIndex)
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const early, late = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+00:30" // 03:34:05Z
	for _, tt := range []struct {
		name         string
		guard        Guard
		theirs, ours aged
		tag          string // "latest" unless given
		kept         bool
		reason       string
	}{
		{"newer by time", GuardCreated, aged{created: late, version: "", at: "index"}, aged{created: early, version: "", at: "config"}, "", true, "has an image of 2026-01-02T03:34:05Z, newer than of 2026-01-02T03:04:05Z"},
		{"older by time", GuardCreated, aged{created: early, version: "", at: "label"}, aged{created: late, version: "", at: "manifest"}, "", false, ""},
		{"of one time", GuardCreated, aged{created: early, version: "", at: "label"}, aged{created: early, version: "", at: "index"}, "", false, ""},
		{"newer by version", GuardVersion, aged{created: early, version: "1.10.0", at: "label"}, aged{created: late, version: "v1.9.0", at: "index"}, "", true, "has version 1.10.0, newer than 1.9.0"},
		{"older by version", GuardVersion, aged{created: late, version: "1.9.0", at: "manifest"}, aged{created: early, version: "1.10.0", at: "label"}, "", false, ""},
		{"a prerelease of it", GuardVersion, aged{created: early, version: "1.9.0-rc.1", at: "label"}, aged{created: early, version: "1.9.0", at: "label"}, "", false, ""},
		{"version before time", GuardNewest, aged{created: early, version: "2.0.0", at: "label"}, aged{created: late, version: "1.9.1", at: "label"}, "", true, "has version 2.0.0"},
		{"time where a version is a branch", GuardNewest, aged{created: late, version: "main", at: "label"}, aged{created: early, version: "1.9.1", at: "label"}, "", true, "newer than of"},
		{"a minor tag", GuardVersion, aged{created: "", version: "1.4.3", at: "label"}, aged{created: "", version: "1.4.2", at: "label"}, "1.4", true, "1.4.3"},
		{"a label of the base image's", GuardCreated, aged{created: early, config: late, at: "label"}, aged{created: early, config: early, at: "label"}, "", true, "03:34:05Z"},
		{"a tag that never moves", GuardNewest, aged{created: late, version: "2.0.0", at: "label"}, aged{created: early, version: "1.9.1", at: "label"}, "1.9.1", false, ""},
		{"without a version", GuardVersion, aged{created: late, version: "", at: "label"}, aged{created: early, version: "1.9.1", at: "label"}, "", false, "not guarded: an image without a version and version 1.9.1 can't be compared"},
		{"without a time", GuardCreated, aged{created: "", version: "1.0.0", at: "label"}, aged{created: "", version: "1.9.1", at: "label"}, "", false, "not guarded: an image without a time"},
		{"no guard", GuardNothing, aged{created: late, version: "2.0.0", at: "label"}, aged{created: early, version: "1.9.1", at: "label"}, "", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			theirs, ours := p.seed("app", tt.theirs.index(t)), p.seed("app", tt.ours.index(t))
			if tt.tag == "" {
				tt.tag = "latest"
			}
			tag, fixed := p.tag("app:"+tt.tag), p.tag("app:sha-abc1234")
			p.point(tag, theirs)
			r := tags(ours, tag, fixed)
			r.Guard = tt.guard
			rows, err := newClient(t).Release(deadline(t), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			status, has := statusWritten, ours
			if tt.kept {
				status, has = statusKept, theirs
			}
			if rows[0].Status != status || p.has(tag) != has.String() || rows[0].After != has.String() || rows[0].Stands() == tt.kept {
				t.Errorf("row %+v, the tag has %s", rows[0], p.has(tag))
			}
			if (tt.reason == "") != (rows[0].Reason == "") || !strings.Contains(rows[0].Reason, tt.reason) {
				t.Errorf("reason %q, want %q", rows[0].Reason, tt.reason)
			}
			if p.has(fixed) != ours.String() {
				t.Errorf("the other tag has %q", p.has(fixed))
			}
			if gets := p.requests("^GET .*/(manifests|blobs)/"); len(gets) > 7 { // the index to write, and three for each image
				t.Errorf("%d requests: %q", len(gets), gets)
			}
		})
	}
}

// A newer run that is quicker than our write or our look back is no failure.
func TestGuardRace(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before the write", "after the write"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			old, newer := p.seed("app", aged{version: "1.3.0", at: "label"}.index(t)), p.seed("app", aged{version: "1.5.0", at: "label"}.index(t))
			ours := p.seed("app", aged{version: "1.4.0", at: "label"}.index(t))
			tag := p.tag("app:latest")
			p.point(tag, old)
			r := tags(ours, tag, p.tag("app:1.4.0"))
			r.Guard = GuardNewest
			calls := 0
			if name == "after the write" {
				p.rules = []*rule{{method: "PUT", path: "/latest$", action: then(func() { p.point(tag, newer) })}}
			}
			rows, err := newClient(t).Release(deadline(t), r, func([]Written) error {
				if calls++; calls == 1 && name == "before the write" {
					p.point(tag, newer)
				}
				return nil
			})
			if got := statuses(rows); err != nil || got != "latest:kept 1.4.0:written" || p.has(tag) != newer.String() {
				t.Errorf("rows %s, error %v, the tag has %s", got, err, p.has(tag))
			}
		})
	}
}

// A guard that can't read says so, and nothing is written.
func TestGuardUnreadable(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: "GET", path: "/blobs/", action: status(403, "")})
	theirs, ours := p.seed("app", aged{version: "1.3.0", at: "label"}.index(t)), p.seed("app", aged{version: "1.4.0", at: "label"}.index(t))
	p.point(p.tag("app:latest"), theirs)
	r := tags(ours, p.tag("app:latest"))
	r.Guard = GuardVersion
	rows, err := newClient(t).Release(deadline(t), r, nil)
	checkError(t, err, "guard of "+p.host()+"/app:latest: GET ")
	if statuses(rows) != "latest:pending" || len(p.requests("^PUT")) != 0 {
		t.Errorf("rows %s", statuses(rows))
	}
}
