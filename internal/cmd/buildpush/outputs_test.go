package buildpush

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
)

// become is what becomes of a build.
type become struct {
	Push         bool
	Tags         []string
	Repositories []string
	Image        map[string]string
	Outputs      []builder.Output
}

func becomes(r builder.Request) become {
	b := become{Push: r.Push, Image: r.Image, Outputs: r.Outputs}
	for _, t := range r.Tags {
		b.Tags = append(b.Tags, t.Name())
	}
	for _, repo := range r.Repositories {
		b.Repositories = append(b.Repositories, repo.Name())
	}
	return b
}

func TestOutputs(t *testing.T) {
	dir := repository(t)
	app := []string{"r.example/app:1"}
	none := map[string]string{}
	cases := []struct {
		name    string
		outputs string
		args    []string
		want    become
	}{
		{name: "nothing is asked for", want: become{}},
		{name: "push", args: []string{"--tags", "r.example/app:1", "--push"}, want: become{Push: true, Tags: app}},
		{name: "tags alone push nothing", args: []string{"--tags", "r.example/app:1"}, want: become{Tags: app}},
		{name: "images push", args: []string{"--images", "r.example/app", "--tags", "1"}, want: become{Push: true, Tags: app}},
		{name: "images do not push what is loaded", args: []string{"--images", "r.example/app", "--tags", "1", "--load"},
			want: become{Tags: app, Outputs: []builder.Output{{Type: "docker", Attrs: none}}}},
		{name: "images that are pushed by digest write no tag", outputs: "type=image,push-by-digest=true,push=true",
			args: []string{"--images", "r.example/app\nr.example/b", "--tags", "1"},
			want: become{Push: true, Repositories: []string{"r.example/app", "r.example/b"}, Image: nil}},
		{name: "a matrix job", outputs: `type=image,"name=r.example/a,r.example/b",push-by-digest=true,name-canonical=true,push=true`,
			want: become{Push: true, Repositories: []string{"r.example/a", "r.example/b"}}},
		{name: "a matrix job with tags for names", outputs: "type=image,push-by-digest=true,name-canonical=true,push=true", args: []string{"--tags", "r.example/a"},
			want: become{Push: true, Repositories: []string{"r.example/a"}}},
		{name: "names with tags", outputs: `type=registry,"name=r.example/app:1,r.example/app:2"`,
			want: become{Push: true, Tags: []string{"r.example/app:1", "r.example/app:2"}}},
		{name: "tags count more than a name", outputs: "type=image,name=target,annotation-index.a.b=c", args: []string{"--tags", "r.example/app:1", "--push"},
			want: become{Push: true, Tags: app, Image: map[string]string{"annotation-index.a.b": "c"}}},
		{name: "attributes", outputs: "type=registry,compression=zstd,force-compression=true,oci-mediatypes=true,unpack=true", args: []string{"--tags", "r.example/app:1"},
			want: become{Push: true, Tags: app, Image: map[string]string{"compression": "zstd", "force-compression": "true", "oci-mediatypes": "true", "unpack": "true"}}},
		{name: "two alike are one", outputs: "type=image,push=true,name=r.example/app:1\ntype=registry,name=r.example/b:1",
			want: become{Push: true, Tags: []string{"r.example/app:1", "r.example/b:1"}}},
		{name: "an image that stays", outputs: "type=image", args: []string{"--tags", "r.example/app:1"},
			want: become{Tags: app, Outputs: []builder.Output{{Type: "image", Attrs: none}}}},
		{name: "push makes an image go", outputs: "type=image,compression=gzip", args: []string{"--tags", "r.example/app:1", "--push"},
			want: become{Push: true, Tags: app, Image: map[string]string{"compression": "gzip"}}},
		{name: "a directory", outputs: "out", want: become{Outputs: []builder.Output{{Type: "local", Attrs: none, Dest: filepath.Join(dir, "out")}}}},
		{name: "a directory with an odd name", outputs: "a=b", want: become{Outputs: []builder.Output{{Type: "local", Attrs: none, Dest: filepath.Join(dir, "a=b")}}}},
		{name: "a tar on standard output", outputs: "-", want: become{Outputs: []builder.Output{{Type: "tar", Attrs: none, Dest: "-"}}}},
		{name: "oci goes to standard output", outputs: "type=oci", want: become{Outputs: []builder.Output{{Type: "oci", Attrs: none, Dest: "-"}}}},
		{name: "several", outputs: "type=local,dest=out,platform-split=false\ntype=oci,dest=app.tar,compression=estargz\ntype=oci,tar=false,dest=layout\ntype=docker",
			want: become{Outputs: []builder.Output{
				{Type: "local", Attrs: map[string]string{"platform-split": "false"}, Dest: filepath.Join(dir, "out")},
				{Type: "oci", Attrs: map[string]string{"compression": "estargz"}, Dest: filepath.Join(dir, "app.tar")},
				{Type: "oci", Attrs: map[string]string{"tar": "false"}, Dest: filepath.Join(dir, "layout")},
				{Type: "docker", Attrs: none},
			}}},
		{name: "load beside an output that loads", outputs: "type=docker", args: []string{"--load"},
			want: become{Outputs: []builder.Output{{Type: "docker", Attrs: none}}}},
		{name: "load beside an output to a file", outputs: "type=docker,dest=app.tar", args: []string{"--load"},
			want: become{Outputs: []builder.Output{{Type: "docker", Attrs: none, Dest: filepath.Join(dir, "app.tar")}, {Type: "docker", Attrs: none}}}},
		{name: "cache only", outputs: "type=cacheonly", want: become{}},
		{name: "a question leaves nothing behind", outputs: "type=oci,dest=app.tar", args: []string{"--call", "check", "--push", "--tags", "r.example/app:1"}, want: become{Tags: app}},
		{name: "attestations in the older form", outputs: "type=oci,dest=app.tar\ntype=registry", args: []string{"--tags", "r.example/app:1", "--no-default-oci-artifact"},
			want: become{Push: true, Tags: app, Image: map[string]string{"oci-artifact": "false"},
				Outputs: []builder.Output{{Type: "oci", Attrs: map[string]string{"oci-artifact": "false"}, Dest: filepath.Join(dir, "app.tar")}}}},
		{name: "delete in the working directory", outputs: "type=local,dest=out/sub,mode=delete",
			want: become{Outputs: []builder.Output{{Type: "local", Attrs: map[string]string{"mode": "delete"}, Dest: filepath.Join(dir, "out/sub")}}}},
		{name: "delete elsewhere, allowed", outputs: "type=local,dest=/srv/out,mode=delete", args: []string{"--allow", "buildx.local.delete"},
			want: become{Outputs: []builder.Output{{Type: "local", Attrs: map[string]string{"mode": "delete"}, Dest: "/srv/out"}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j, stderr, err := door(t, dir, map[string]string{"INPUT_OUTPUTS": c.outputs}, append(c.args, ".")...)
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if diff := cmp.Diff(c.want, becomes(j.request)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutputFaults(t *testing.T) {
	dir := contextDir(t)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"type=loca":                            `line 1: unknown type of output "loca"`,
		"dest=x,mode=copy":                     "no type",
		"type=oci,stray":                       `expected key=value, found "stray"`,
		"type=image,nam=x":                     `type=image has no key "nam"`,
		"type=local":                           "needs dest=DIR",
		"type=local,dest=-":                    "needs dest=DIR",
		"type=oci,tar=false":                   "needs dest=DIR",
		"type=local,dest=Dockerfile":           "is a file",
		"type=oci,dest=sub":                    "is a directory",
		"type=oci\ntype=tar":                   "line 2: standard output can take one output only",
		"type=image,push=yes":                  `push="yes" is neither true nor false`,
		"type=image,compression=brotli":        `unknown compression "brotli"`,
		"type=local,dest=x,mode=move":          `unknown mode "move"`,
		"type=local,dest=/srv/x,mode=delete":   "mode=delete removes",
		"type=local,dest=.,mode=delete":        "mode=delete removes",
		"type=local,dest=../x,mode=delete":     "mode=delete removes",
		"type=local,dest=root/srv,mode=delete": "mode=delete removes",
		"type=image,push=true":                 "push needs a tag",
		"type=registry,name=r/a:1\ntype=registry,name=r/b:1,compression=zstd": "attributes differ",
		"type=image,push=true,push-by-digest=true,name=r.example/app:1":       "is no repository",
		"type=registry,name=UPPER/x":                                          "is no image reference",
		`type=image,"name=a`:                                                  "line 1: column",
	}
	for text, want := range cases {
		t.Run(text, func(t *testing.T) {
			_, _, err := door(t, dir, map[string]string{"INPUT_OUTPUTS": text}, ".")
			wantFault(t, err, want)
			if err != nil && !strings.Contains(err.Error(), `input "`) {
				t.Errorf("%v names no input", err)
			}
		})
	}
	_, _, err := door(t, dir, map[string]string{"INPUT_OUTPUTS": "type=image,push=true,push-by-digest=true"}, "--tags", "r.example/app:1", ".")
	wantFault(t, err, `input "tags": r.example/app:1 has a tag`)
}
