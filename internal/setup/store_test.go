package setup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func testStore(t *testing.T) *store {
	t.Helper()
	s := &store{dir: t.TempDir(), now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}
	check(t, s.locked(t.Context(), func() error { return nil })) // makes its directories
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	return string(raw)
}

// TestStoreShape holds what we write against what buildx v0.37.0 writes for
// `buildx create --name b --driver docker-container --driver-opt network=host
// --platform linux/arm64`, the mark of the maker aside.
func TestStoreShape(t *testing.T) {
	s := testStore(t)
	g := &group{Name: "b", Driver: DockerContainer, Nodes: []groupNode{{
		Name: "b0", Endpoint: "unix:///var/run/docker.sock",
		Platforms:  []ocispecs.Platform{{OS: "linux", Architecture: "arm64"}},
		DriverOpts: map[string]string{"network": "host"},
		Flags:      []string{"--allow-insecure-entitlement=network.host"},
		Files:      map[string][]byte{"buildkitd.toml": []byte("debug = true\n")},
	}}}
	check(t, s.write(g))
	const want = `{"Name":"b","Driver":"docker-container","Nodes":[{"Name":"b0","Endpoint":"unix:///var/run/docker.sock",` +
		`"Platforms":[{"architecture":"arm64","os":"linux"}],"DriverOpts":{"network":"host"},` +
		`"Flags":["--allow-insecure-entitlement=network.host"],"Files":{"buildkitd.toml":"ZGVidWcgPSB0cnVlCg=="}}],"Dynamic":false}`
	if diff := cmp.Diff(want, readFile(t, s.path("instances", "b"))); diff != "" {
		t.Error(diff)
	}
	if got := readFile(t, s.path("activity", "b")); got != "2026-01-02T03:04:05Z" {
		t.Errorf("activity %q", got)
	}
	back, err := s.read("b")
	check(t, err)
	if diff := cmp.Diff(g, back, cmp.AllowUnexported(group{}), cmp.AllowUnexported(processNode{})); diff != "" {
		t.Error(diff)
	}
	check(t, s.remove("b"))
	if _, err := s.read("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	check(t, s.remove("b"))
}

func TestStoreGarbled(t *testing.T) {
	s := testStore(t)
	check(t, os.WriteFile(s.path("instances", "b"), []byte("{"), 0o600))
	if _, err := s.read("b"); errdefs.KindOf(err) != errdefs.Environment || len(errdefs.Hints(err)) == 0 {
		t.Errorf("got %v", err)
	}
}

func TestStoreCurrent(t *testing.T) {
	const key = "unix:///var/run/docker.sock"
	for name, tt := range map[string]struct {
		current, byDefault string // files' content
		want               string
	}{
		"none":              {want: ""},
		"of the key":        {current: `{"Key":"` + key + `","Name":"b"}`, want: "b"},
		"of another key":    {current: `{"Key":"other","Name":"b"}`, want: ""},
		"global":            {current: `{"Key":"other","Name":"b","Global":true}`, want: "b"},
		"removed since":     {current: `{"Key":"` + key + `","Name":"gone"}`, want: ""},
		"default of a key":  {byDefault: "d", want: "d"},
		"beside a default":  {current: `{"Key":"` + key + `","Name":"b"}`, byDefault: "d", want: "b"},
		"reset to built-in": {current: `{"Key":"` + key + `"}`, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			check(t, s.write(&group{Name: "b"}))
			if tt.current != "" {
				check(t, os.WriteFile(filepath.Join(s.dir, "current"), []byte(tt.current), 0o600))
			}
			if tt.byDefault != "" { // the name is buildx's hash of the key
				check(t, os.WriteFile(s.path("defaults", "13c4025c96f36e94b348"), []byte(tt.byDefault), 0o600))
			}
			got, err := s.currentName(key)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestStoreUseAndRestore(t *testing.T) {
	s := testStore(t)
	path := filepath.Join(s.dir, "current")
	check(t, s.use("key", "b"))
	if got := readFile(t, path); got != `{"Key":"key","Name":"b","Global":false}` {
		t.Errorf("current %s", got)
	}
	const before = `{"Key":"key","Name":"older","Global":false}`
	if err := s.restore("another", before); !errors.Is(err, errGone) {
		t.Errorf("the choice of another builder was undone: %v", err)
	}
	check(t, s.write(&group{Name: "older"}))
	check(t, s.restore("b", before))
	if got := readFile(t, path); got != before {
		t.Errorf("current %s", got)
	}
	check(t, s.restore("older", ""))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	check(t, s.use("key", "b"))
	check(t, s.remove("older"))
	check(t, s.restore("b", before)) // which would point to nothing
	missing(t, path)
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]string{
		"ci": "ci", "Build-1.x_y": "build-1.x_y",
		"": "", "1a": "", "../x": "", "a/b": "", "default": "", "; docker rm -f $(docker ps -aq)": "", "a\n": "",
		"a123456789012345678901234567890123456789012345678901234567890123":  "a123456789012345678901234567890123456789012345678901234567890123",
		"a1234567890123456789012345678901234567890123456789012345678901234": "",
	} {
		got, err := validName("name", name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
		if err != nil && errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What a killed writer left of a builder's files goes with the builder, and
// nothing of another's.
func TestStoreSweep(t *testing.T) {
	s := &store{dir: t.TempDir(), now: time.Now}
	kept := []string{".tmp-other12", ".tmp-name-x7", "name-2"}
	for _, file := range append([]string{".tmp-name123", "name"}, kept...) {
		check(t, os.MkdirAll(filepath.Join(s.dir, "activity"), 0o700))
		check(t, os.WriteFile(s.path("activity", file), nil, 0o600))
	}
	half := filepath.Join(s.dir, ".tmp-current4711")
	check(t, os.WriteFile(half, nil, 0o600))
	check(t, s.remove("name"))
	missing(t, half)
	entries, err := os.ReadDir(filepath.Join(s.dir, "activity"))
	check(t, err)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	slices.Sort(kept)
	if !slices.Equal(left, kept) {
		t.Errorf("left are %q, want %q", left, kept)
	}
}
