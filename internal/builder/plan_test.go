package builder

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var update = flag.Bool("update", false, "write the golden files")

func platformsOf(t *testing.T, names ...string) []v1.Platform {
	t.Helper()
	var list []v1.Platform
	for _, n := range names {
		p, err := v1.ParsePlatform(n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, *p)
	}
	return list
}

func tagsOf(t *testing.T, refs ...string) []name.Tag {
	t.Helper()
	var tags []name.Tag
	for _, r := range refs {
		tag, err := name.NewTag(r)
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	return tags
}

func TestNewPlan(t *testing.T) {
	three := platformsOf(t, "linux/amd64", "linux/arm64", "linux/arm/v7")
	local := BuildContext{Dir: "/src/app", DockerfileDir: "/src/app/docker", Dockerfile: "Dockerfile"}
	cases := map[string]Request{
		"cache-only": {Context: local},
		"release": {
			Context:   local,
			Platforms: three,
			BuildArgs: map[string]string{"VERSION": "1.4.2"},
			Labels:    map[string]string{"org.opencontainers.image.version": "1.4.2"},
			Annotations: []Annotation{
				{Levels: []Level{{Type: "manifest"}, {Type: "index"}}, Key: "a", Value: "b"},
				{Levels: []Level{{Type: "manifest-descriptor", Platform: "linux/arm64"}}, Key: "c", Value: "d"},
			},
			Tags: tagsOf(t, "one.example/app:latest", "one.example/app:1.4.2", "two.example/team/app:1.4.2",
				"one.example/app:1.4", "one.example/app:1", "two.example/team/app:latest"),
			CacheFrom: []Cache{{Type: "registry", Attrs: map[string]string{"ref": "one.example/app:cache"}}},
			CacheTo:   []Cache{{Type: "registry", Attrs: map[string]string{"ref": "one.example/app:cache", "mode": "max"}}, {Type: "inline"}},
			Secrets:   map[string][]byte{"token": []byte("hunter2")},
			Pull:      true,
			Push:      true,
			Attests:   map[string]string{"provenance": "mode=min,inline-only=true"},
			VCS:       VCS{Source: "https://git.example/app", Revision: "0123456789012345678901234567890123456789"},
		},
		"git-context": {
			Context: BuildContext{URL: "https://git.example/app.git#main:sub", Dockerfile: "build/Dockerfile"},
			Target:  "test",
			NoCache: true,
			VCS:     VCS{Source: "https://git.example/app"},
		},
		"git-context-local-dockerfile": {
			Context: BuildContext{URL: "https://git.example/app.git", DockerfileDir: "/etc/build", Dockerfile: "Dockerfile.ci"},
		},
		"cache-export-may-fail-on-request": {
			Context: local,
			CacheTo: []Cache{{Type: "local", Attrs: map[string]string{"dest": "/cache", "ignore-error": "false"}}},
		},
	}
	for title, req := range cases {
		t.Run(title, func(t *testing.T) {
			plan, err := NewPlan(req, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(plan, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), "hunter2") {
				t.Error("the plan prints a secret")
			}
			golden(t, filepath.Join("testdata", "plan-"+title+".json"), append(got, '\n'))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
