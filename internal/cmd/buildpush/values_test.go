package buildpush

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// records binds text as the input cache-from would be.
func records(t *testing.T, text string) input.Records {
	t.Helper()
	var o struct {
		Cache input.Records `env:"CACHE" help:"Caches."`
	}
	if err := input.Bind(&o, map[string]string{"INPUT_CACHE": text}, nil); err != nil {
		t.Fatal(err)
	}
	return o.Cache
}

func TestParseCaches(t *testing.T) {
	cases := []struct {
		name    string
		text    string
		exports bool
		want    []builder.Cache
		fault   string
		hint    string
	}{
		{name: "plain reference", text: "user/app:cache", want: []builder.Cache{{Type: "registry", Attrs: map[string]string{"ref": "user/app:cache"}}}},
		{name: "registry", text: "type=registry,ref=r.example/app:c,mode=max", exports: true,
			want: []builder.Cache{{Type: "registry", Attrs: map[string]string{"ref": "r.example/app:c", "mode": "max"}}}},
		{name: "inline", text: "type=inline", exports: true, want: []builder.Cache{{Type: "inline", Attrs: map[string]string{}}}},
		{name: "local is absolute", text: "type=local,src=cache", want: []builder.Cache{{Type: "local", Attrs: map[string]string{"src": "/src/cache"}}}},
		{name: "two lines", text: "a/b:c\ntype=local,src=/x", want: []builder.Cache{
			{Type: "registry", Attrs: map[string]string{"ref": "a/b:c"}}, {Type: "local", Attrs: map[string]string{"src": "/x"}}}},
		{name: "slip", text: "a/b\ntype=registy,ref=a", fault: `input "cache" line 2: unknown cache type "registy"`, hint: "one of azblob, gha, inline, local, registry, s3"},
		{name: "inline import", text: "type=inline", fault: "inline cache is imported from its image", hint: "write type=registry,ref=IMAGE"},
		{name: "no ref", text: "type=registry,mode=max", exports: true, fault: "type=registry needs ref"},
		{name: "unknown key", text: "type=local,src=a,scope=b", fault: `type=local has no key "scope"`, hint: "one of src, digest, tag"},
		{name: "no type", text: "ref=a/b,mode=max", exports: true, fault: "no type", hint: "one of azblob, gha, inline, local, registry, s3"},
		{name: "bad ref", text: "type=registry,ref=UPPER", fault: "is no image reference"},
		{name: "bad mode", text: "type=registry,ref=a/b,mode=all", exports: true, fault: `unknown mode "all"`, hint: "one of min, max"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := parseCaches("cache", records(t, c.text), c.exports, "/src", nil)
			if c.fault == "" {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("%v, want bad input with %q", err, c.fault)
			}
			if c.hint != "" && !strings.Contains(strings.Join(errdefs.Hints(err), "\n"), c.hint) {
				t.Errorf("hints %q, want %q", errdefs.Hints(err), c.hint)
			}
		})
	}
}

func TestParseReferences(t *testing.T) {
	tags, err := parseReferences("tags", records(t, "r.example/app:1,r.example/app:2\nuser/app\n[::1]:5000/a:b\nr.example/app:1"))
	var got []string
	for _, tag := range tags {
		got = append(got, tag.Name())
	}
	want := []string{"r.example/app:1", "r.example/app:2", "index.docker.io/user/app:latest", "[::1]:5000/a:b"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{
		"UPPER/x", "a//b", "http://r/x", "r:99999/x", "../x", "r.example/app:-x", "r.example/app:" + strings.Repeat("a", 129),
		"a b", "r.example/" + strings.Repeat("a", 300), "r.example/app@sha256:00", "type=sha", "ghcr.io@evil.example/x",
	} {
		_, err := parseReferences("tags", records(t, bad))
		if err == nil || errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "tags" line 1`) {
			t.Errorf("%q: %v, want bad input", bad, err)
		}
	}
}

func TestParseSecrets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parseSecrets(Options{
		Secrets:     input.Secrets{"a=one=1 ", "b=two\nlines"},
		SecretEnvs:  input.Words{"c=TOKEN", "d=EMPTY"},
		SecretFiles: input.Lines{"e=key"},
	}, dir, map[string]string{"TOKEN": "from env", "EMPTY": ""})
	want := map[string][]byte{
		"a": []byte("one=1 "), "b": []byte("two\nlines"), "c": []byte("from env"), "d": {}, "e": []byte("from file\n"),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	_, err = parseSecrets(Options{
		Secrets:     input.Secrets{"hunter2"},
		SecretEnvs:  input.Words{"c=NONE", "broken"},
		SecretFiles: input.Lines{"e=none"},
	}, dir, nil)
	if n := len(errdefs.List(err)); n != 4 || errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("%d faults, want all 4 at once: %v", n, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("a malformed secret is repeated in its error")
	}
}

func TestParseAnnotations(t *testing.T) {
	got, err := parseAnnotations([]string{"a=b", "index:c=d=e", "index,manifest[linux/arm64]:org.example.key=v:w", "manifest-descriptor:x="})
	want := []builder.Annotation{
		{Levels: []builder.Level{{Type: "manifest"}}, Key: "a", Value: "b"},
		{Levels: []builder.Level{{Type: "index"}}, Key: "c", Value: "d=e"},
		{Levels: []builder.Level{{Type: "index"}, {Type: "manifest", Platform: "linux/arm64"}}, Key: "org.example.key", Value: "v:w"},
		{Levels: []builder.Level{{Type: "manifest-descriptor"}}, Key: "x", Value: ""},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := parseAnnotations([]string{"plain", "image:a=b", "index:=c"}); len(errdefs.List(err)) != 3 {
		t.Errorf("want three faults: %v", err)
	}
}

func TestParseBuildArgs(t *testing.T) {
	got, err := parseBuildArgs([]string{"A=1", "B", "C", "D="}, map[string]string{"B": "env", "SOURCE_DATE_EPOCH": "7"})
	want := map[string]string{"A": "1", "B": "env", "D": "", "SOURCE_DATE_EPOCH": "7"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestParseContext(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"Dockerfile", "sub/dockerfile", "docker/Dockerfile.ci"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	github := ci.Event{Provider: "github", ServerURL: "https://github.com", SHA: "0a1b", Repository: ci.Repository{Slug: "o/r"}}
	cases := []struct {
		name, context, file string
		event               ci.Event
		want                builder.BuildContext
		fault               string
	}{
		{name: "default off GitHub", want: builder.BuildContext{Dir: dir, DockerfileDir: dir, Dockerfile: "Dockerfile"}},
		{name: "default on GitHub", event: github, want: builder.BuildContext{URL: "https://github.com/o/r.git#0a1b", Dockerfile: "Dockerfile"}},
		{name: "defaultContext", context: "{{defaultContext}}:app", event: github, want: builder.BuildContext{URL: "https://github.com/o/r.git#0a1b:app", Dockerfile: "Dockerfile"}},
		{name: "lower case", context: "sub", want: builder.BuildContext{Dir: dir + "/sub", DockerfileDir: dir + "/sub", Dockerfile: "dockerfile"}},
		{name: "file is relative to the working directory", context: "sub", file: "docker/Dockerfile.ci",
			want: builder.BuildContext{Dir: dir + "/sub", DockerfileDir: dir + "/docker", Dockerfile: "Dockerfile.ci"}},
		{name: "git with a Dockerfile of its own", context: "https://g.example/a.git", file: "b/Dockerfile",
			want: builder.BuildContext{URL: "https://g.example/a.git", Dockerfile: "b/Dockerfile"}},
		{name: "git with a Dockerfile of ours", context: "https://g.example/a.git", file: dir + "/Dockerfile",
			want: builder.BuildContext{URL: "https://g.example/a.git", DockerfileDir: dir, Dockerfile: "Dockerfile"}},
		{name: "no directory", context: "none", fault: `input "context": no directory none`},
		{name: "a file", context: "Dockerfile", fault: "is a file"},
		{name: "no Dockerfile", context: "docker", fault: `input "file": no Dockerfile at docker/Dockerfile`},
		{name: "file is a directory", file: "docker", fault: "no Dockerfile at docker"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j := &job{event: c.event, options: Options{Context: c.context, File: c.file}, env: &cli.Env{Dir: dir}}
			err := j.parseContext(context.Background())
			got := j.request.Context
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != errdefs.BadInput {
					t.Errorf("%v, want bad input with %q", err, c.fault)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestAttests(t *testing.T) {
	public := ci.Event{Repository: ci.Repository{Visibility: ci.Public}, JobURL: "https://ci.example/1"}
	provenance := func(attrs string) map[string]string { return map[string]string{"provenance": attrs} }
	cases := []struct {
		name    string
		options Options
		event   ci.Event
		want    map[string]string
	}{
		{name: "visibility unknown: build arguments are not recorded", want: provenance("mode=min,inline-only=true")},
		{name: "public", event: public, want: provenance("mode=max,builder-id=https://ci.example/1")},
		{name: "none", options: Options{Provenance: "false"}, event: public},
		{name: "true", options: Options{Provenance: "true"}, want: provenance("mode=max")},
		{name: "attributes", options: Options{Provenance: "mode=min"}, event: public, want: provenance("mode=min,builder-id=https://ci.example/1")},
		{name: "own builder id", options: Options{Provenance: "mode=max,builder-id=me"}, event: public, want: provenance("mode=max,builder-id=me")},
		{name: "a boolean among attributes", options: Options{Provenance: "mode=max,false"}},
		{name: "sbom", options: Options{Provenance: "false", Sbom: "true"}, want: map[string]string{"sbom": ""}},
		{name: "generator", options: Options{Provenance: "false", Sbom: "generator=r.example/scan:1"}, want: map[string]string{"sbom": "generator=r.example/scan:1"}},
		{name: "lines", options: Options{Attests: records(t, "type=provenance,mode=min\n\"type=sbom,\"\"generator=a,b\"\"\"")},
			want: map[string]string{"provenance": "mode=min", "sbom": "\"generator=a,b\""}},
		{name: "inputs beat lines", options: Options{Provenance: "mode=max", Sbom: "false", Attests: records(t, "type=provenance,mode=min\ntype=sbom")},
			want: provenance("mode=max")},
		{name: "a line turns the default off", options: Options{Attests: records(t, "type=provenance,disabled=true")}, event: public},
		{name: "load attests nothing unasked", options: Options{Load: true}, event: public},
		{name: "load attests what is asked", options: Options{Load: true, Provenance: "true"}, want: provenance("mode=max")},
		{name: "switched off", options: Options{NoDefaultAttestations: true}, event: public},
		{name: "reproducible", options: Options{Reproducible: true}, event: public},
		{name: "an engine's output", options: Options{Outputs: records(t, "type=docker")}, event: public},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j := &job{event: c.event, options: c.options, env: &cli.Env{Dir: t.TempDir()}}
			err := errors.Join(j.parseAttests(context.Background()), j.parseOutputs(context.Background()))
			j.settleAttests()
			if diff := cmp.Diff(c.want, j.request.Attests); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	for _, bad := range []Options{
		{Provenance: "maximum"}, {Sbom: "perhaps"}, {Provenance: "mode=all"}, {Provenance: "disabled=2"},
		{Attests: records(t, "type=vex")}, {Attests: records(t, "mode=max")}, {Attests: records(t, "type=sbom\ntype=sbom")},
	} {
		j := &job{options: bad}
		if err := j.parseAttests(context.Background()); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%+v: %v, want bad input", bad.Provenance, err)
		}
	}
}

func TestParsePush(t *testing.T) {
	for in, want := range map[string][2]bool{"auto": {false, true}, "true": {true, true}, "false": {false, false}} {
		for i, whole := range []bool{false, true} {
			if got, err := parsePush(in, whole); err != nil || got != want[i] {
				t.Errorf("parsePush(%q, %t) = %t, %v", in, whole, got, err)
			}
		}
	}
	if _, err := parsePush("perhaps", false); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("parsePush(perhaps): %v", err)
	}
}
