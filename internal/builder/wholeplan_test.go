package builder

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// Every field of a request shows in the plan, and no secret.
func TestPlanSaysAll(t *testing.T) {
	local := BuildContext{Dir: "/src/app", DockerfileDir: "/src/app", Dockerfile: "Dockerfile"}
	epoch, strict := int64(1700000000), false
	repo, err := name.NewRepository("one.example/by-digest")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]Request{
		"steps": {
			Context: local, AddHosts: []string{"a.example=10.1.2.3", "b.example=::1"}, CgroupParent: "/ci", Network: "host",
			ShmSize: 64 << 20, Ulimits: []string{"nofile=1024:2048", "nproc=5:5"}, Limits: map[string]string{"memory": "67108864", "cpuquota": "50000"},
			Entitlements: []string{"security.insecure"}, NoCacheStages: []string{"a", "b"}, SSH: []Agent{{ID: "default"}, {ID: "key", Paths: []string{"/k"}}},
			Secrets: map[string][]byte{"token": []byte("hunter2")}, VCS: VCS{Source: "https://git.example/app", Revision: "0123"},
			Policies: []Policy{{Files: []string{"/p.rego"}, Reset: true, Strict: &strict}}, Compatibility: 20,
		},
		"named": {
			Context: local,
			Named: map[string]NamedContext{
				"alpine":  {Image: "busybox:1"},
				"dir":     {Dir: "/src/lib"},
				"context": {Dir: "/src/other"},
				"git":     {URL: "https://git.example/lib.git?ref=main"},
				"layout":  {Layout: OCILayout{Dir: "/layouts/base", Tag: "1.2"}},
				"pinned":  {Layout: OCILayout{Dir: "/layouts/base", Digest: "sha256:" + strings.Repeat("a", 64)}},
			},
		},
		"outputs": {
			Context: local, Platforms: platformsOf(t, "linux/arm64"), Reproducible: &epoch, Push: true,
			Tags: tagsOf(t, "one.example/app:1", "app:2"), Repositories: []name.Repository{repo},
			Image:       map[string]string{"compression": "zstd", "unpack": "true", "name": "not/this"},
			Annotations: []Annotation{{Levels: []Level{{Type: "index"}}, Key: "k", Value: "v"}},
			Outputs: []Output{
				{Type: "docker", Attrs: map[string]string{"context": "far"}},
				{Type: "oci", Dest: "/out/image", Attrs: map[string]string{"tar": "false", "rewrite-timestamp": "false"}},
				{Type: "local", Dest: "/out/files", Attrs: map[string]string{"mode": "delete"}},
				{Type: "tar", Dest: Stdout},
			},
		},
		"git-query":            {Context: BuildContext{URL: "https://git.example/app.git?ref=main&subdir=a"}},
		"stdin":                {Context: BuildContext{Stdin: true, Dockerfile: "build/Dockerfile"}},
		"stdin-dockerfile":     {Context: BuildContext{Dir: "/src/app", DockerfileStdin: true}},
		"dockerfile-by-url":    {Context: BuildContext{URL: "https://git.example/app.git", DockerfileURL: "https://files.example/Dockerfile"}},
		"frontend-and-inlined": {Context: local, BuildArgs: map[string]string{"BUILDKIT_SYNTAX": "docker/dockerfile:1 --x", "BUILDKIT_INLINE_CACHE": "1", "BUILDKIT_MULTI_PLATFORM": "1"}},
		"call": {
			Context: local, Call: Call{Method: "lint"}, Attests: map[string]string{"provenance": "mode=max"},
			Outputs: []Output{{Type: "tar", Dest: Stdout}}, CacheTo: []Cache{{Type: "inline"}},
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
			golden(t, filepath.Join("testdata", "plan-all-"+title+".json"), append(got, '\n'))
		})
	}
}

func TestLoadInto(t *testing.T) {
	load := Output{Type: "docker", Attrs: map[string]string{}}
	cases := []struct {
		title string
		req   Request
		whole bool
		want  string // type of the export; empty is an error
	}{
		{"one platform", Request{Outputs: []Output{load}, Platforms: platformsOf(t, "linux/amd64")}, false, "docker"},
		{"two platforms", Request{Outputs: []Output{load}, Platforms: platformsOf(t, "linux/amd64", "linux/arm64")}, false, ""},
		{"attested", Request{Outputs: []Output{load}, Attests: map[string]string{"sbom": ""}}, false, ""},
		{"two platforms, whole", Request{Outputs: []Output{load}, Platforms: platformsOf(t, "linux/amd64", "linux/arm64")}, true, "oci"},
	}
	for _, c := range cases {
		if _, ok := Loaded(c.req); !ok {
			t.Fatalf("%s: nothing is loaded", c.title)
		}
		got, err := LoadInto(c.req, c.whole)
		switch {
		case c.want == "" && (err == nil || !strings.Contains(err.Error(), `input "load"`)):
			t.Errorf("%s: %v, want an error of input load", c.title, err)
		case c.want != "" && (err != nil || got.Outputs[0].Type != c.want):
			t.Errorf("%s: %v, %v, want type %s", c.title, got.Outputs, err, c.want)
		}
		if c.req.Outputs[0].Type != "docker" {
			t.Errorf("%s: the request that was given is changed", c.title)
		}
	}
	if _, ok := Loaded(Request{Outputs: []Output{{Type: "docker", Dest: "/file"}, {Type: "image"}}}); ok {
		t.Error("a file and an image in the builder are loaded")
	}
}
