package buildpush

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
)

const someDigest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestNamedContexts(t *testing.T) {
	dir := contextDir(t)
	for _, d := range []string{"lib", "layout", "odd:name@x"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layout := func(tag, digest string) builder.NamedContext {
		return builder.NamedContext{Layout: builder.OCILayout{Dir: filepath.Join(dir, "layout"), Tag: tag, Digest: digest}}
	}
	for line, want := range map[string]map[string]builder.NamedContext{
		"lib=lib":                             {"lib": {Dir: filepath.Join(dir, "lib")}},
		"docker.io/library/alpine:latest=lib": {"alpine": {Dir: filepath.Join(dir, "lib")}},
		"golang:1=docker-image://r.example/go@" + someDigest: {"golang:1": {Image: "r.example/go@" + someDigest}},
		"git=https://g.example/a.git#main:sub":               {"git": {URL: "https://g.example/a.git#main:sub"}},
		"ssh=git@g.example:a/b.git":                          {"ssh": {URL: "git@g.example:a/b.git"}},
		"tar=https://h.example/a.tar":                        {"tar": {URL: "https://h.example/a.tar"}},
		"own={{defaultContext}}:sub":                         {"own": {URL: "https://github.com/acme/app.git#860c1904a1ce19322e91ac35af1ab07466440c37:sub"}},
		"a=oci-layout://layout":                              {"a": layout("", "")},
		"a=oci-layout://layout:v1":                           {"a": layout("v1", "")},
		"a=oci-layout://layout@" + someDigest:                {"a": layout("", someDigest)},
		"a=oci-layout://layout:v1@" + someDigest:             {"a": layout("v1", someDigest)},
		"a=oci-layout://odd:name@x":                          {"a": {Layout: builder.OCILayout{Dir: filepath.Join(dir, "odd:name@x")}}},
	} {
		j, _, err := door(t, dir, github(), "--build-contexts", line, ".")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, j.request.Named); diff != "" {
			t.Errorf("%s:\n%s", line, diff)
		}
	}
	for line, want := range map[string]string{
		"lib":                              `"lib" is no context`,
		"lib=":                             "is no context",
		"UPPER=lib":                        "is no name of a context",
		"a=target:base":                    "is a target of a bake file",
		"a=docker-image://UPPER":           "is no image reference",
		"a=none":                           "no directory none",
		"a=Dockerfile":                     "no directory Dockerfile",
		"a=oci-layout://none":              "no directory none",
		"a=https://g.example/a.git?x=y":    `unexpected query "x"`,
		"a=https://g.example/a.git#m:../x": "leaves the repository",
	} {
		_, _, err := door(t, dir, nil, "--build-contexts", line, ".")
		wantFault(t, err, want)
	}
}

// Of a private repository the builder fetches named contexts too.
func TestTokenForNamedContext(t *testing.T) {
	environ := github()
	environ["INPUT_GITHUB-TOKEN"] = "ghs_token"
	for _, c := range []struct {
		secrets string
		want    string
	}{{"", "ghs_token"}, {"GIT_AUTH_TOKEN=own", ""}, {"GIT_AUTH_HEADER.github.com=basic own", ""}} {
		environ["INPUT_SECRETS"] = c.secrets
		j, _, err := door(t, contextDir(t), environ, "--build-contexts", "src={{defaultContext}}", ".")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(j.request.Secrets["GIT_AUTH_TOKEN.github.com"]); got != c.want {
			t.Errorf("with secrets %q the token is %q, want %q", c.secrets, got, c.want)
		}
	}
	environ["INPUT_SECRETS"], environ["OWN"] = "", "own"
	j, _, err := door(t, contextDir(t), environ, "--build-contexts", "src={{defaultContext}}", "--secret-envs", "GIT_AUTH_TOKEN=OWN", ".")
	if err != nil || j.request.Secrets["GIT_AUTH_TOKEN.github.com"] != nil {
		t.Errorf("a token from the environment is not seen: %v", err)
	}
}
