package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// withContext writes a docker context as the docker CLI does.
func withContext(t *testing.T, dockerDir, name, host string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	dir := filepath.Join(dockerDir, "contexts", "meta", hex.EncodeToString(sum[:]))
	check(t, os.MkdirAll(dir, 0o700))
	meta := `{"Name":"` + name + `","Metadata":{},"Endpoints":{"docker":{"Host":"` + host + `","SkipTLSVerify":false}}}`
	check(t, os.WriteFile(filepath.Join(dir, "meta.json"), []byte(meta), 0o600))
}

func TestEndpoint(t *testing.T) {
	dir := t.TempDir()
	withContext(t, dir, "far", "tcp://far.example:2376")
	for name, tt := range map[string]struct {
		environ map[string]string
		config  string
		given   string
		want    string
	}{
		"nothing":              {want: "unix:///var/run/docker.sock"},
		"host":                 {environ: map[string]string{"DOCKER_HOST": "tcp://h:1"}, want: "tcp://h:1"},
		"host beats context":   {environ: map[string]string{"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "far"}, want: "tcp://h:1"},
		"context":              {environ: map[string]string{"DOCKER_CONTEXT": "far"}, want: "far"},
		"current context":      {config: `{"currentContext":"far"}`, want: "far"},
		"environment first":    {config: `{"currentContext":"far"}`, environ: map[string]string{"DOCKER_CONTEXT": "default"}, want: "unix:///var/run/docker.sock"},
		"given context":        {given: "far", want: "far"},
		"given address":        {given: "ssh://me@h", want: "ssh://me@h"},
		"given path":           {given: "/run/x.sock", want: "unix:///run/x.sock"},
		"given default":        {given: "default", environ: map[string]string{"DOCKER_HOST": "tcp://h:1"}, want: "tcp://h:1"},
		"given beats the rest": {given: "far", environ: map[string]string{"DOCKER_HOST": "tcp://h:1"}, want: "far"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.config+strings.Repeat("{}", 1-min(1, len(tt.config)))), 0o600))
			m := New(Host{Environ: tt.environ, Stderr: testLog{t}, Now: time.Now})
			if m.host.Environ == nil {
				m.host.Environ = map[string]string{}
			}
			m.host.Environ["DOCKER_CONFIG"] = dir
			got, err := m.endpoint(tt.given)
			if err != nil || got != tt.want {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
			api, err := m.engine(got)
			check(t, err)
			api.Close()
		})
	}
}

func TestEndpointUnknown(t *testing.T) {
	m := New(Host{Environ: map[string]string{"DOCKER_CONFIG": t.TempDir()}})
	if _, err := m.endpoint("nowhere"); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("got %v", err)
	}
}

// TestPingSilent has an engine that takes the connection and never answers.
func TestPingSilent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	check(t, err)
	defer l.Close()
	m := New(Host{Environ: map[string]string{"DOCKER_CONFIG": t.TempDir()}, Stderr: testLog{t}})
	start := time.Now()
	err = m.ping(t.Context(), "unix://"+socket, pingLimit)
	if errdefs.KindOf(err) != errdefs.Environment || len(errdefs.Hints(err)) == 0 {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > pingLimit+time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestChooseDriver(t *testing.T) {
	none := "unix://" + filepath.Join(t.TempDir(), "none")
	m := New(Host{Environ: map[string]string{"DOCKER_CONFIG": t.TempDir()}, Stderr: testLog{t}})
	for name, tt := range map[string]struct {
		spec Spec
		want string
		kind errdefs.Kind
	}{
		"no engine":              {Spec{}, Process, 0},
		"no engine, yet named":   {Spec{Endpoint: none}, "", errdefs.Environment},
		"container, no engine":   {Spec{Driver: DockerContainer}, "", errdefs.Environment},
		"process":                {Spec{Driver: Process}, Process, 0},
		"process at an endpoint": {Spec{Driver: Process, Endpoint: none}, "", errdefs.BadInput},
		"a buildkitd":            {Spec{Buildkitd: "x"}, Process, 0},
		"unknown":                {Spec{Driver: "docker-containre"}, "", errdefs.BadInput},
	} {
		got, err := m.chooseDriver(t.Context(), tt.spec, none)
		if errdefs.KindOf(err) != tt.kind || err == nil && got != tt.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestFindNone(t *testing.T) {
	dir := t.TempDir()
	m := New(Host{Environ: map[string]string{"DOCKER_CONFIG": dir}, Stderr: testLog{t}, Now: time.Now})
	for _, name := range []string{"", "nobody", "../x"} {
		_, err := m.Find(t.Context(), name)
		if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "builder"`) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("looking made %v", left)
	}
}

// TestFindUnsupported has builders of buildx's whose drivers are none of ours.
func TestFindUnsupported(t *testing.T) {
	m := New(Host{Environ: map[string]string{"BUILDX_CONFIG": t.TempDir()}, Stderr: testLog{t}, Now: time.Now})
	s := m.store()
	check(t, s.locked(t.Context(), func() error {
		return s.write(&group{Name: "k", Driver: "kubernetes", Nodes: []groupNode{{Name: "k0", Endpoint: "kubernetes:///k"}}})
	}))
	if _, err := m.Find(t.Context(), "k"); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), "driver kubernetes") {
		t.Errorf("got %v", err)
	}
}
