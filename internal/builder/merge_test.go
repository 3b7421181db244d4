package builder

import (
	"encoding/base64"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	server "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// pushPart is what a node pushes to repo for one platform.
func pushPart(t *testing.T, repo name.Repository, platform v1.Platform, annotations map[string]string) v1.Hash {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = platform.OS, platform.Architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	var index v1.ImageIndex = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(repo.Digest(digest.String()), index); err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestMerge(t *testing.T) {
	s := httptest.NewServer(server.New(server.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	tags := tagsOf(t, strings.TrimPrefix(s.URL, "http://")+"/app:1")
	repo := tags[0].Context()
	both := platformsOf(t, "linux/amd64", "linux/arm64")
	part := func(node string, p v1.Platform, annotations map[string]string, descriptor string) Part {
		return Part{
			Node: node, Platforms: []string{p.String()}, Digest: pushPart(t, repo, p, annotations),
			Response: map[string]string{descriptorKey: base64.StdEncoding.EncodeToString([]byte(descriptor))},
		}
	}
	arm := part("arm", both[1], map[string]string{"all": "1"}, `{"annotations":{"told":"t","created":"first"}}`)
	amd := part("amd", both[0], map[string]string{"all": "1"}, `{"annotations":{"told":"t","created":"second","own":"o"}}`)
	other := part("amd", both[0], map[string]string{"all": "2"}, `{}`)
	broken := amd
	broken.Response = map[string]string{descriptorKey: "%"}

	reg := registry.New(registry.WithKeychain(authn.NewMultiKeychain()))
	req := Request{Tags: tags, Platforms: both, Push: true}
	got, err := Merge(t.Context(), reg, req, Result{Parts: []Part{arm, amd}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Parts) != 2 || got.ImageDigest() != got.Descriptor.Digest.String() {
		t.Errorf("result %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"told": "t", "created": "first", "own": "o"}, got.Descriptor.Annotations); diff != "" {
		t.Errorf("descriptor: %s", diff)
	}
	rows, err := reg.Verify(t.Context(), repo, got.Digest, both)
	if err != nil || len(rows) != 2 || rows[0].Platform != "linux/amd64" {
		t.Errorf("read back %+v, %v", rows, err)
	}

	for _, c := range []struct {
		parts []Part
		fault string
	}{
		{[]Part{arm, {Node: "amd", Platforms: []string{"linux/amd64"}}}, "node amd (linux/amd64) gave no digest of what it pushed"},
		{[]Part{arm, other}, "annotation all of the index"},
		{[]Part{amd, amd}, "two parts of the index have linux/amd64"},
		{[]Part{arm, broken}, "node amd (linux/amd64): containerimage.descriptor"},
	} {
		if _, err := Merge(t.Context(), reg, req, Result{Parts: c.parts}); err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != errdefs.Environment {
			t.Errorf("%v, want %q of the environment", err, c.fault)
		}
	}
}

// Only a solve that no step of which failed may be done again, and only one that
// has written nothing that can't be taken back.
func TestWhatIsDoneAgain(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		vertex client.Vertex
		failed bool
	}{
		{client.Vertex{Name: "[2/2] RUN make", Started: &at}, false},
		{client.Vertex{Name: "[2/2] RUN make", Started: &at, Completed: &at, Error: "exit code: 1"}, true},
		{client.Vertex{Name: "[2/2] RUN make", Started: &at, Completed: &at, Error: "context canceled"}, false},
		{client.Vertex{Name: "importing cache manifest from host/app:none", Error: "not found"}, false},
	} {
		var w watch
		w.see(&client.SolveStatus{Vertexes: []*client.Vertex{&c.vertex}})
		if w.failed != c.failed {
			t.Errorf("%s %s: failed is %v", c.vertex.Name, c.vertex.Error, w.failed)
		}
		if c.vertex.Started != nil && !w.last.Equal(at) {
			t.Errorf("%s: last seen at %s", c.vertex.Name, w.last)
		}
	}
	for dest, again := range map[string]bool{"": true, "/out.tar": true, Stdout: false} {
		if got := (Solve{Exports: []Export{{Type: "image"}, {Type: "tar", Dest: dest}}}).repeatable(); got != again {
			t.Errorf("an output to %q: done again is %v", dest, got)
		}
	}
}

// A cache that nobody named is not missed.
func TestCalm(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	solve := Solve{CacheImports: []Cache{
		{Type: "registry", Attrs: map[string]string{"ref": "host/app:cache"}},
		{Type: "registry", Attrs: map[string]string{"ref": "host/app:cache-linux-arm64"}, Extra: true},
	}}
	for _, c := range []struct {
		ref, fault string
		shown      string
	}{
		{"host/app:cache", "host/app:cache: not found", "host/app:cache: not found"},
		{"host/app:cache-linux-arm64", "host/app:cache-linux-arm64: not found", ""},
		{"host/app:cache-linux-arm64", "401 Unauthorized", "401 Unauthorized"},
	} {
		st := &client.SolveStatus{Vertexes: []*client.Vertex{{Name: importingCache + c.ref, Error: c.fault, Completed: &at}}}
		solve.calm(st)
		if got := st.Vertexes[0].Error; got != c.shown || len(st.Logs) != 0 != (c.shown == "") {
			t.Errorf("%s: %q with %d logs, want %q", c.ref, got, len(st.Logs), c.shown)
		}
	}
}
