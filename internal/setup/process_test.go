package setup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestProcessEnvironment(t *testing.T) {
	m := New(Host{Environ: map[string]string{
		"PATH": "/opt/bin:relative", "HOME": "/home/x", "HTTPS_PROXY": "http://p", "GITHUB_TOKEN": "secret", "MY_PASSWORD": "secret",
	}})
	p := &processNode{socketNode: socketNode{nonce: "n"}, m: m, dir: "/d", env: []string{"FOO=bar"}}
	got := p.environ()
	want := []string{
		"PATH=/opt/bin:relative:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/home/x", "HTTPS_PROXY=http://p", "XDG_RUNTIME_DIR=/d/run", "HULLWRIGHT_BUILDER_NONCE=n", "FOO=bar",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// A release's programs come before the machine's, those beside a buildkitd
	// that was named after them.
	p.bin, p.buildkitd = "/release/bin", "/named/buildkitd"
	dirs := strings.Split(strings.TrimPrefix(p.environ()[0], "PATH="), ":")
	if dirs[0] != "/release/bin" || dirs[1] != "/opt/bin" || dirs[len(dirs)-1] != "/named" {
		t.Errorf("PATH is %v", dirs)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "hw-program"), nil, 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "hw-text"), nil, 0o600))
	check(t, os.Mkdir(filepath.Join(dir, "hw-dir"), 0o700))
	t.Chdir(dir)
	for program, want := range map[string]string{"hw-program": filepath.Join(dir, "hw-program"), "hw-text": "", "hw-dir": "", "hw-none": ""} {
		m := New(Host{Environ: map[string]string{"PATH": dir}})
		if got := m.lookPath(program); got != want {
			t.Errorf("%s: %q", program, got)
		}
		m = New(Host{Environ: map[string]string{"PATH": "."}}) // a checkout's file
		if got := m.lookPath(program); got != "" {
			t.Errorf("%s in a relative directory: %q", program, got)
		}
	}
}

func TestProcessDir(t *testing.T) {
	long := "/" + strings.Repeat("x", 90)
	for name, tt := range map[string]struct {
		environ map[string]string
		name    string
		want    string
	}{
		"runner":       {map[string]string{"RUNNER_TEMP": "/r", "TMPDIR": "/t"}, "ci", "/r/hullwright-ci-01234567"},
		"own name":     {map[string]string{"TMPDIR": "/t"}, "hullwright-ab", "/t/hullwright-ab-01234567"},
		"too long":     {map[string]string{"RUNNER_TEMP": long, "TMPDIR": "/t"}, "ci", "/t/hullwright-ci-01234567"},
		"relative":     {map[string]string{"TMPDIR": "t"}, "ci", "/tmp/hullwright-ci-01234567"},
		"no variables": {nil, "ci", "/tmp/hullwright-ci-01234567"},
	} {
		got, err := New(Host{Environ: tt.environ}).processDir(tt.name, goodNonce)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestProcessOptions(t *testing.T) {
	env, err := parseProcessOpts(map[string]string{"env.B": "2", "env.A": "1", "network": "host"})
	if err != nil || !slices.Equal(env, []string{"A=1", "B=2"}) {
		t.Errorf("got %v, %v", env, err)
	}
	for _, opts := range []map[string]string{{"network": "bridge"}, {"image": "x"}, {"env.": "x"}} {
		if _, err := parseProcessOpts(opts); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%v: %v", opts, err)
		}
	}
	for _, flag := range []string{"--root", "--root=/x", "--addr=tcp://0.0.0.0:1", "--rootless", "--config"} {
		if err := checkProcessFlags([]string{"--debug", flag}); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%s: %v", flag, err)
		}
	}
	check(t, checkProcessFlags([]string{"--debug", "--root-xyz"}))
}

func TestProcessPrograms(t *testing.T) {
	m := New(Host{Environ: map[string]string{}, Dir: t.TempDir()})
	p := &processNode{m: m, dir: "/d", buildkitd: "none"}
	if _, err := p.command(); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("got %v", err)
	}
}
