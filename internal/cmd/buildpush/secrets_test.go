package buildpush

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

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

func TestSSH(t *testing.T) {
	dir := contextDir(t)
	for _, key := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, key), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent := map[string]string{"SSH_AUTH_SOCK": "/run/agent"}
	path := func(name string) string { return filepath.Join(dir, name) }
	cases := []struct {
		name string
		args []string
		want []builder.Agent
	}{
		{"the agent", []string{"--ssh", "default", "."}, []builder.Agent{{ID: "default"}}},
		{"several ids", []string{"--ssh", "default,git=a", "."}, []builder.Agent{{ID: "default"}, {ID: "git", Paths: []string{path("a")}}}},
		{"several keys", []string{"--ssh", "\"default=a,b\",x", "."}, []builder.Agent{{ID: "default", Paths: []string{path("a"), path("b")}}, {ID: "x"}}},
		{"a context by ssh", []string{"git@g.example:o/r.git"}, []builder.Agent{{ID: "default"}}},
		{"a context by ssh with a key", []string{"--ssh", "default=a", "ssh://git@g.example/o/r.git"}, []builder.Agent{{ID: "default", Paths: []string{path("a")}}}},
	}
	for _, c := range cases {
		j, _, err := door(t, dir, agent, c.args...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, j.request.SSH); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	for want, args := range map[string][]string{
		`input "ssh" line 1: default: there is no agent`:           {"--ssh", "default", "."},
		`input "context": git@g.example:o/r.git is fetched by ssh`: {"git@g.example:o/r.git"},
		`line 1: x: stat `:                 {"--ssh", "x=none", "."},
		`line 2: "default" is given twice`: {"--ssh", "default=a,default=b", "."},
		`has no id`:                        {"--ssh", "=a", "."},
		`an empty path`:                    {"--ssh", "x=", "."},
		`line 2: "b/c" is no id`:           {"--ssh", "default=a,b/c", "."},
	} {
		_, _, err := door(t, dir, nil, args...)
		wantFault(t, err, want)
	}
}
