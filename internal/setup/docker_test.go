package setup

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/system"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// engineHost is a manager whose docker configuration has a context "far", and
// that may not reach any engine but at host.
func engineHost(t *testing.T, host string) *Manager {
	t.Helper()
	dir := t.TempDir()
	withContext(t, dir, "far", "tcp://192.0.2.1:2376")
	environ := map[string]string{"DOCKER_CONFIG": dir, "DOCKER_HOST": host, "BUILDX_CONFIG": filepath.Join(dir, "buildx")}
	return New(Host{Environ: environ, Stderr: testLog{t}, Dir: dir, Now: time.Now})
}

func TestStoreOf(t *testing.T) {
	for want, status := range map[ImageStore][][2]string{
		ClassicStore:    {{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}},
		ContainerdStore: {{"driver-type", "io.containerd.snapshotter.v1"}},
	} {
		if got := StoreOf(engine.SystemInfoResult{Info: system.Info{DriverStatus: status}}); got != want {
			t.Errorf("%v: %s", status, got)
		}
	}
}

func TestEngineBuildKit(t *testing.T) {
	for version, want := range map[string]string{"20.10.24+dfsg1": "v0.8+unknown", "23.0.6": "v0.10+unknown", "28.1.1": "", "": ""} {
		if got := (&engineNode{version: version}).buildkit(); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}

func TestEngineOfSpec(t *testing.T) {
	const host = "unix:///run/here.sock"
	for title, tt := range map[string]struct {
		spec    Spec
		current string // context; empty is host's
		want    string // empty is a fault
	}{
		"nothing":                {want: "default"},
		"its name":               {spec: Spec{Name: "default"}, want: "default"},
		"a context's name":       {spec: Spec{Name: "far"}, want: "far"},
		"a name that is none":    {spec: Spec{Name: "mine"}, want: "default"},
		"a path for a name":      {spec: Spec{Name: "../far"}, want: "default"},
		"a context":              {spec: Spec{Endpoint: "far", Name: "mine"}, want: "far"},
		"the engine's address":   {spec: Spec{Endpoint: host}, want: "default"},
		"the engine's socket":    {spec: Spec{Endpoint: "/run/here.sock"}, want: "default"},
		"another address":        {spec: Spec{Endpoint: "tcp://192.0.2.7:2376"}},
		"no context":             {spec: Spec{Endpoint: "nowhere"}},
		"current context":        {current: "far", want: "far"},
		"default is the current": {spec: Spec{Name: "default"}, current: "far", want: "far"},
	} {
		m := engineHost(t, host)
		if tt.current != "" {
			m.host.Environ["DOCKER_HOST"], m.host.Environ["DOCKER_CONTEXT"] = "", tt.current
		}
		got, err := m.engineOfSpec(tt.spec)
		if tt.want == "" {
			if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "endpoint"`) {
				t.Errorf("%s: %q, %v", title, got, err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", title, got, err, tt.want)
		}
	}
}

// TestRefuseForEngine has every input for builders that are made refused at
// once, before the engine is looked for.
func TestRefuseForEngine(t *testing.T) {
	m := engineHost(t, "unix:///no/such.sock")
	spec := Spec{
		Driver: Docker, DriverOpts: map[string]string{"network": "host", "image": "x"}, Flags: []string{"--debug"}, Config: []byte("debug = true"),
		Settings:  []Setting{{input: "gc"}, {input: "dns"}, {input: "log-limits", yields: true}, {input: "insecure-registries"}, {input: "registry-ca"}},
		Buildkitd: "/bin/buildkitd", KeepState: true, Nodes: []NodeSpec{{Endpoint: "far"}},
	}
	_, err := m.Ensure(t.Context(), spec, newState(t, m))
	var inputs []string
	for _, fault := range errdefs.List(err) {
		var bad *errdefs.Error
		if !errors.As(fault, &bad) || bad.Kind != errdefs.BadInput {
			t.Fatal(fault)
		}
		inputs = append(inputs, bad.Input)
	}
	const want = "driver-opts driver-opts buildkitd-flags buildkitd-config buildkitd keep-state append gc dns"
	if got := strings.Join(inputs, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEngineSilent has no engine, one that is for Windows, and one without
// BuildKit: each is told at once.
func TestEngineSilent(t *testing.T) {
	serve := func(info string) string {
		mux := http.NewServeMux()
		mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
		mux.HandleFunc("/v1.41/info", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(info)) })
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return "tcp://" + server.Listener.Addr().String()
	}
	for title, tt := range map[string]struct{ host, want string }{
		"none":             {"unix:///no/such.sock", "engine unix:///no/such.sock"},
		"Windows":          {serve(`{"OSType":"windows"}`), "it is for windows"},
		"without BuildKit": {serve(`{"OSType":"linux"}`), "no BuildKit that can be reached"},
	} {
		m := engineHost(t, tt.host)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := m.Find(ctx, "default")
		cancel()
		if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", title, err)
		}
		for _, hint := range errdefs.Hints(err) {
			if strings.Contains(hint, "buildx rm") {
				t.Errorf("%s: there is nothing to remove: %s", title, hint)
			}
		}
	}
}

// TestUseEngine has the engine's own builder be the current one until another is
// chosen, though buildx writes its file anew, and be taken back.
func TestUseEngine(t *testing.T) {
	m := engineHost(t, "unix:///run/here.sock")
	s, state := m.store(), newState(t, m)
	check(t, s.locked(t.Context(), func() error {
		return errors.Join(s.write(&group{Name: "b", Driver: DockerContainer}), s.use("unix:///run/here.sock", "b"))
	}))
	before := readFile(t, filepath.Join(s.dir, "current"))
	found := func(want string) {
		t.Helper()
		got, err := m.currentBuilder()
		if want == "" && errors.Is(err, ErrNoBuilder) {
			return
		}
		if err != nil || got != want {
			t.Errorf("current is %q, %v; want %q", got, err, want)
		}
	}
	found("b")
	check(t, m.useEngine(t.Context(), "default", state))
	found("default")
	check(t, s.use("unix:///run/here.sock", "")) // as buildx does
	found("default")
	m.host.Environ["DOCKER_HOST"] = "unix:///run/there.sock"
	found("")
	m.host.Environ["DOCKER_HOST"] = "unix:///run/here.sock"
	check(t, s.use("unix:///run/here.sock", "b"))
	found("b")
	check(t, s.use("unix:///run/here.sock", ""))
	check(t, m.Teardown(t.Context(), state.Path()))
	found("b")
	if got := readFile(t, filepath.Join(s.dir, "current")); got != before {
		t.Errorf("current is %s, was %s", got, before)
	}
	if _, err := os.Stat(filepath.Join(s.dir, engineFile)); err == nil {
		t.Error("the mark is left")
	}
}

// TestUseEngineLeft leaves alone what was chosen since.
func TestUseEngineLeft(t *testing.T) {
	m := engineHost(t, "unix:///run/here.sock")
	s, state := m.store(), newState(t, m)
	check(t, m.useEngine(t.Context(), "default", state))
	check(t, s.locked(t.Context(), func() error {
		return errors.Join(s.write(&group{Name: "b", Driver: DockerContainer}), s.use("unix:///run/here.sock", "b"))
	}))
	check(t, m.Teardown(t.Context(), state.Path()))
	if got, err := m.currentBuilder(); err != nil || got != "b" {
		t.Errorf("current is %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, engineFile)); err == nil {
		t.Error("the mark is left")
	}
}

func TestIsEngine(t *testing.T) {
	m := engineHost(t, "unix:///run/here.sock")
	s := m.store()
	check(t, s.locked(t.Context(), func() error { return s.write(&group{Name: "b", Driver: DockerContainer}) }))
	for name, want := range map[string]bool{"": false, "default": true, "far": true, "b": false, "nobody": false, "../x": false} {
		if got, err := m.IsEngine(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
}
