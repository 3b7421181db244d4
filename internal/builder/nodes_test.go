package builder

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

func TestAssign(t *testing.T) {
	amd := setup.Node{Name: "amd", Platforms: platformsOf(t, "linux/amd64", "linux/arm64", "linux/arm/v7")}
	arm := setup.Node{Name: "arm", Platforms: platformsOf(t, "linux/arm64")}
	idle := setup.Node{Name: "idle", Platforms: platformsOf(t, "linux/s390x")}
	three := []setup.Node{idle, arm, amd}
	for title, c := range map[string]struct {
		req   Request
		nodes []setup.Node
		want  []string
		fault string
	}{
		"no platforms":        {nodes: three, want: []string{"node idle"}},
		"no nodes yet":        {req: Request{Platforms: platformsOf(t, "linux/amd64")}, want: []string{"node  (linux/amd64)"}},
		"a node each":         {req: Request{Platforms: platformsOf(t, "linux/amd64", "linux/arm64")}, nodes: three, want: []string{"node arm (linux/arm64)", "node amd (linux/amd64)"}},
		"as the request's":    {req: Request{Platforms: platformsOf(t, "linux/arm/v7", "linux/arm64", "linux/amd64")}, nodes: three, want: []string{"node arm (linux/arm64)", "node amd (linux/arm/v7, linux/amd64)"}},
		"a question asks one": {req: Request{Platforms: platformsOf(t, "linux/amd64", "linux/arm64"), Call: Call{Method: "lint"}}, nodes: three, want: []string{"node idle (linux/amd64, linux/arm64)"}},
		"nobody": {
			req: Request{Platforms: platformsOf(t, "linux/amd64", "linux/riscv64", "linux/386")}, nodes: three,
			fault: `input "platforms": no node of the builder runs linux/riscv64 and linux/386: idle has linux/s390x; arm has linux/arm64; amd has linux/amd64, linux/arm64, linux/arm/v7`,
		},
	} {
		t.Run(title, func(t *testing.T) {
			parts, err := assign(c.req, c.nodes)
			if c.fault != "" {
				if err == nil || err.Error() != c.fault || errdefs.KindOf(err) != errdefs.BadInput {
					t.Errorf("%v, want bad input %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range parts {
				got = append(got, p.name())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// severalNodes are a machine that emulates and one that runs arm64 alone.
func severalNodes(t *testing.T) []setup.Node {
	return []setup.Node{
		{Name: "amd", Platforms: platformsOf(t, "linux/amd64", "linux/arm64", "linux/arm/v7")},
		{Name: "arm", Platforms: platformsOf(t, "linux/arm64")},
	}
}

func TestNewPlanOfNodes(t *testing.T) {
	repo, err := name.NewRepository("three.example/app")
	if err != nil {
		t.Fatal(err)
	}
	registryCache := func(ref string) Cache { return Cache{Type: "registry", Attrs: map[string]string{"ref": ref}} }
	req := Request{
		Context:   BuildContext{Dir: "/src/app", DockerfileDir: "/src/app", Dockerfile: "Dockerfile"},
		Platforms: platformsOf(t, "linux/amd64", "linux/arm64", "linux/arm/v7"),
		Annotations: []Annotation{
			{Levels: []Level{{Type: "index"}, {Type: "manifest"}}, Key: "all", Value: "1"},
			{Levels: []Level{{Type: "index", Platform: "linux/arm64"}, {Type: "index-descriptor"}}, Key: "index", Value: "2"},
			{Levels: []Level{{Type: "manifest", Platform: "linux/arm64/v8"}}, Key: "arm", Value: "3"},
			{Levels: []Level{{Type: "manifest-descriptor", Platform: "linux/arm/v7"}}, Key: "v7", Value: "4"},
		},
		CacheFrom: []Cache{
			registryCache("one.example:5000/app"),
			registryCache("one.example/app@sha256:" + strings.Repeat("0", 64)),
			{Type: "gha"},
			{Type: "s3", Attrs: map[string]string{"bucket": "b", "name": "main;next"}},
			{Type: "local", Attrs: map[string]string{"src": "/cache"}},
		},
		CacheTo: []Cache{
			registryCache("one.example/app:cache"),
			{Type: "gha", Attrs: map[string]string{"scope": "app"}},
			{Type: "azblob", Attrs: map[string]string{"account_url": "https://blobs.example", "name": "a;b"}},
			{Type: "local", Attrs: map[string]string{"dest": "/cache"}},
			{Type: "inline"},
		},
		Outputs:      []Output{{Type: "local", Dest: "/out", Attrs: map[string]string{}}},
		Attests:      map[string]string{"provenance": "mode=max"},
		Push:         true,
		Tags:         tagsOf(t, "one.example/app:1.4.2", "two.example/app:latest"),
		Repositories: []name.Repository{repo},
	}
	plan, err := NewPlan(req, severalNodes(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "plan-nodes.json"), append(got, '\n'))
}

func TestSplitFaults(t *testing.T) {
	output := func(kind, dest string, attrs ...string) Output {
		o := Output{Type: kind, Dest: dest, Attrs: map[string]string{}}
		for i := 0; i+1 < len(attrs); i += 2 {
			o.Attrs[attrs[i]] = attrs[i+1]
		}
		return o
	}
	for title, c := range map[string]struct {
		outputs     []Output
		annotations []Annotation
		faults      []string
	}{
		"oci":              {outputs: []Output{output("oci", "/out.tar")}, faults: []string{`input "outputs": type=oci is written by one node, and this build has several: node amd (linux/amd64), node arm (linux/arm64)`}},
		"oci directory":    {outputs: []Output{output("oci", "/out", "tar", "false")}, faults: []string{"type=oci"}},
		"tar and docker":   {outputs: []Output{output("tar", Stdout), output("docker", "/out.tar")}, faults: []string{"type=tar", "type=docker"}},
		"load":             {outputs: []Output{output("docker", "")}, faults: []string{`input "load": the engine takes an image from one node`}},
		"pushed by itself": {outputs: []Output{output("image", "", "push", "true", "name", "one.example/app:1")}, faults: []string{`input "outputs": each node would push`}},
		"delete":           {outputs: []Output{output("local", "/out", "mode", "delete")}, faults: []string{"mode=delete"}},
		"not split":        {outputs: []Output{output("local", "/out", "platform-split", "false")}, faults: []string{"platform-split"}},
		"local and image":  {outputs: []Output{output("local", "/out", "platform-split", "true"), output("image", "")}},
		"annotation": {
			annotations: []Annotation{{Levels: []Level{{Type: "manifest", Platform: "linux/s390x"}}, Key: "k"}},
			faults:      []string{`input "annotations": k is for linux/s390x, which is not built`},
		},
	} {
		t.Run(title, func(t *testing.T) {
			req := Request{Platforms: platformsOf(t, "linux/amd64", "linux/arm64"), Outputs: c.outputs, Annotations: c.annotations}
			_, err := NewPlan(req, severalNodes(t))
			if list := errdefs.List(err); len(list) != len(c.faults) {
				t.Fatalf("%v, want %d faults", err, len(c.faults))
			}
			for i, e := range errdefs.List(err) {
				if !strings.Contains(e.Error(), c.faults[i]) || errdefs.KindOf(e) != errdefs.BadInput {
					t.Errorf("%v, want bad input %q", e, c.faults[i])
				}
			}
			// One node can do it, whatever it is; BuildKit judges annotations.
			if _, err := NewPlan(req, severalNodes(t)[:1]); err != nil {
				t.Errorf("on one node: %v", err)
			}
		})
	}
}

func TestWithTagSuffix(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, c := range [][2]string{
		{"localhost:5000/app", "localhost:5000/app:latest-linux-arm64"},
		{"localhost:5000/app:cache", "localhost:5000/app:cache-linux-arm64"},
		{"app", "app:latest-linux-arm64"},
		{"host/app:" + long, "host/app:" + long[:128-len("-linux-arm64")] + "-linux-arm64"},
	} {
		if got := withTagSuffix(c[0], "-linux-arm64"); got != c[1] {
			t.Errorf("%s: %s, want %s", c[0], got, c[1])
		}
	}
}
