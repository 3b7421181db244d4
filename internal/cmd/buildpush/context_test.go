package buildpush

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseContext(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"Dockerfile", "sub/dockerfile", "docker/Dockerfile.ci", "github.com/o/r/Dockerfile"} {
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
		{name: "defaultContext as Handlebars has it", context: "{{ defaultContext }}:app", event: github, want: builder.BuildContext{URL: "https://github.com/o/r.git#0a1b:app", Dockerfile: "Dockerfile"}},
		{name: "a directory of the default context off GitHub", context: "{{defaultContext}}:sub", want: builder.BuildContext{Dir: dir + "/sub", DockerfileDir: dir + "/sub", Dockerfile: "dockerfile"}},
		{name: "git in query form", context: "https://g.example/a.git?ref=main&subdir=app&checksum=0a1b", want: builder.BuildContext{URL: "https://g.example/a.git?ref=main&subdir=app&checksum=0a1b", Dockerfile: "Dockerfile"}},
		{name: "a tar by http", context: "https://h.example/app.tar.gz", file: "sub/Dockerfile", want: builder.BuildContext{URL: "https://h.example/app.tar.gz", Dockerfile: "sub/Dockerfile"}},
		{name: "standard input", context: "-", want: builder.BuildContext{Stdin: true, Dockerfile: "Dockerfile"}},
		{name: "standard input with a Dockerfile in it", context: "-", file: "sub/Dockerfile", want: builder.BuildContext{Stdin: true, Dockerfile: "sub/Dockerfile"}},
		{name: "the Dockerfile on standard input", context: "sub", file: "-", want: builder.BuildContext{Dir: dir + "/sub", DockerfileStdin: true, Dockerfile: "Dockerfile"}},
		{name: "the Dockerfile by http", context: "sub", file: "http://h.example/Dockerfile", want: builder.BuildContext{Dir: dir + "/sub", DockerfileURL: "http://h.example/Dockerfile", Dockerfile: "Dockerfile"}},
		{name: "a directory beats an address", context: "github.com/o/r", want: builder.BuildContext{Dir: dir + "/github.com/o/r", DockerfileDir: dir + "/github.com/o/r", Dockerfile: "Dockerfile"}},
		{name: "both on standard input", context: "-", file: "-", fault: `input "file": standard input can't be both`},
		{name: "an unknown query", context: "https://g.example/a.git?rev=main", fault: `input "context": git address: unexpected query "rev"`},
		{name: "a directory outside of the repository", context: "https://g.example/a.git#main:../../etc", fault: "leaves the repository"},
		{name: "a queried directory outside of the repository", context: "https://g.example/a.git?subdir=a/../../etc", fault: "leaves the repository"},
		{name: "a Dockerfile's address with a password", file: "https://u:hunter2@h.example/Dockerfile", fault: "an address with a password"},
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

// A login in an address reaches the host and nothing else: neither plan nor
// log nor provenance shows it.
func TestLoginInAddress(t *testing.T) {
	dir := contextDir(t)
	cases := []struct {
		address, plain, id, header string
	}{
		{"https://u:hunter2pw@g.example:8443/a.git#main", "https://g.example:8443/a.git#main", "GIT_AUTH_HEADER.g.example:8443", "basic dTpodW50ZXIycHc="},
		{"https://tok%2Fen@g.example/a.git", "https://g.example/a.git", "GIT_AUTH_HEADER.g.example", "basic dG9rL2VuOg=="},
		{"HTTPS://u:hunter2pw@g.example/a.git?ref=main", "HTTPS://g.example/a.git?ref=main", "GIT_AUTH_HEADER.g.example", "basic dTpodW50ZXIycHc="},
		{"https://u:hunter2pw@h.example:8443/app.tar", "https://h.example:8443/app.tar", "HTTP_AUTH_HEADER_h.example", "basic dTpodW50ZXIycHc="},
	}
	for _, c := range cases {
		t.Run(c.address, func(t *testing.T) {
			for _, args := range [][]string{{c.address}, {"--build-contexts", "other=" + c.address, "."}} {
				j, _, err := door(t, dir, nil, args...)
				if err != nil {
					t.Fatal(err)
				}
				if got := j.request.Context.URL + j.request.Named["other"].URL; got != c.plain {
					t.Errorf("address %q, want %q", got, c.plain)
				}
				if got := string(j.request.Secrets[c.id]); got != c.header {
					t.Errorf("secrets %v, want %s to be %q", j.request.Secrets, c.id, c.header)
				}
				if plan := planOf(t, dir, nil, args...); strings.Contains(plan, "hunter2pw") || strings.Contains(plan, "tok%2F") || strings.Contains(plan, c.header) {
					t.Errorf("the plan shows the login:\n%s", plan)
				}
			}
		})
	}
	for _, plain := range []string{"git@github.com:o/r.git", "https://git@g.example/a.git"} {
		j, _, err := door(t, dir, map[string]string{"SSH_AUTH_SOCK": "/run/agent"}, plain)
		if err != nil || len(j.request.Secrets) > 0 {
			t.Errorf("%s: %v, %v", plain, j.request.Secrets, err)
		}
	}
	for _, bad := range []string{"https://u:hunter2pw@g.example/a.git?rev=x", "https://u:hunter2pw@g.example/a.git#x:../y", "https://u:hunter2pw@g.example/%zz"} {
		if _, _, err := door(t, dir, nil, bad); err == nil || strings.Contains(err.Error(), "hunter2pw") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, _, err := door(t, dir, nil, "--build-contexts", "https://u:hunter2pw@g.example/a.git", "."); err == nil || strings.Contains(err.Error(), "hunter2pw") {
		t.Error(err)
	}
}

func FuzzContext(f *testing.F) {
	for _, seed := range []string{"https://u:p@h/r.git#a:b/../c", "git@h:o/r.git", "-", "{{defaultContext}}:x", "http://[::1", "ssh://u:p@h/x", "https://a@b@c/r.git"} {
		f.Add(seed, "Dockerfile")
	}
	dir := contextDir(f)
	f.Fuzz(func(t *testing.T, address, file string) {
		bc, login, err := parseContext(address, file, dir)
		if err != nil {
			if errdefs.KindOf(err) != errdefs.BadInput {
				t.Errorf("%q: %v is no bad input", address, err)
			}
			return
		}
		if bc.Dir == "" && bc.URL == "" && !bc.Stdin || bc.Dockerfile == "" {
			t.Errorf("%q: %+v", address, bc)
		}
		if login.password != "" && hasLogin(bc.URL) {
			t.Errorf("%q: a login stays in %q", address, bc.URL)
		}
	})
}
