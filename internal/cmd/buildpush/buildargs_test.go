package buildpush

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBuildArgs(t *testing.T) {
	got, err := parseBuildArgs([]string{"A=1", "B", "C", "D="}, map[string]string{"B": "env", "SOURCE_DATE_EPOCH": "7"})
	want := map[string]string{"A": "1", "B": "env", "D": "", "SOURCE_DATE_EPOCH": "7"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestProxies(t *testing.T) {
	dir := contextDir(t)
	config := `{"proxies":{"default":{"httpProxy":"http://u:hunter2pw@proxy.example:3128","httpsProxy":"http://p","noProxy":"localhost","ftpProxy":"ftp://p"},
		"tcp://engine":{"httpProxy":"http://other"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{"DOCKER_CONFIG": dir}
	j, _, err := door(t, dir, environ, "--build-args", "https_proxy=mine", "--build-args", "NO_PROXY=", ".")
	want := map[string]string{"HTTP_PROXY": "http://u:hunter2pw@proxy.example:3128", "https_proxy": "mine", "NO_PROXY": "", "FTP_PROXY": "ftp://p"}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, j.request.BuildArgs); diff != "" {
		t.Error(diff)
	}
	if plan := planOf(t, dir, environ, "."); strings.Contains(plan, "hunter2pw") || !strings.Contains(plan, "proxy.example") {
		t.Errorf("the plan shows a proxy's password, or no proxy:\n%s", plan)
	}
	environ["DOCKER_HOST"] = "tcp://engine"
	if j, _, err = door(t, dir, environ, "."); err != nil || j.request.BuildArgs["HTTP_PROXY"] != "http://other" || len(j.request.BuildArgs) != 1 {
		t.Errorf("%v, %v", j.request.BuildArgs, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths": hunter2pw`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = door(t, dir, environ, "."); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken configuration: %v", err)
	}
}

// A build argument that is a secret is told, by its value and by its name, and
// not shown.
func TestSecretsInBuildArgs(t *testing.T) {
	dir := contextDir(t)
	environ := map[string]string{"GITHUB_TOKEN": "ghs_1234567890", "INPUT_SECRETS": "npm=npm_0987654321"}
	cases := map[string]string{
		"A=ghs_1234567890":         "build argument A: its value is a secret",
		"B=npm_0987654321":         "build argument B: its value is a secret",
		"NPM_TOKEN=something-long": "build argument NPM_TOKEN: its name is a secret's",
		"API_KEY=x":                "build argument API_KEY",
		"TOKEN_FILE=/run/x":        "",
		"PUBLIC_KEY=abc":           "",
		"KEYBOARD=us":              "",
		"NPM_TOKEN=":               "",
		"VERSION=1":                "",
	}
	for arg, want := range cases {
		_, stderr, err := door(t, dir, environ, "--build-args", arg, ".")
		if err != nil || want != "" && !strings.Contains(stderr, want) || want == "" && strings.Contains(stderr, "build argument") {
			t.Errorf("%s: %v, want %q in\n%s", arg, err, want, stderr)
		}
		_, _, err = door(t, dir, environ, "--strict", "--build-args", arg, ".")
		if (err != nil) != (want != "") {
			t.Errorf("%s: with strict %v", arg, err)
		}
	}
	for _, arg := range []string{"A=ghs_1234567890", "NPM_TOKEN=something-long"} {
		_, value, _ := strings.Cut(arg, "=")
		if plan := planOf(t, dir, environ, "--build-args", arg, "."); strings.Contains(plan, value) {
			t.Errorf("the plan shows %s:\n%s", arg, plan)
		}
	}
}
