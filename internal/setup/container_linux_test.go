package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	engine "github.com/moby/moby/client"
)

// saying is the engine, which says other things of itself than are true; it does
// all that it is asked for.
func saying(t *testing.T, m *Manager, facts map[string]any) (address string) {
	t.Helper()
	proxy := engineProxy(t, m)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, "/info") {
			return nil
		}
		told := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&told); err != nil {
			return err
		}
		for name, value := range facts {
			told[name] = value
		}
		raw, err := json.Marshal(told)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		r.Header.Del("Content-Length")
		return err
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String()
}

// engineProxy forwards to the engine.
func engineProxy(t *testing.T, m *Manager) *httputil.ReverseProxy {
	t.Helper()
	socket := strings.TrimPrefix(here(t, m), "unix://")
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return proxy
}

// TestRealEngineOfAnotherKind has an engine with user namespaces, in which nothing
// is privileged, and cgroups that systemd manages, where a parent is a slice.
func TestRealEngineOfAnotherKind(t *testing.T) {
	m, ctx := real(t), limited(t)
	address := saying(t, m, map[string]any{"SecurityOptions": []string{"name=seccomp,profile=default", "name=userns"}, "CgroupDriver": "systemd"})
	b, err := m.Ensure(ctx, Spec{
		Name: "k" + newNonce(3), Driver: DockerContainer, Endpoint: address,
		DriverOpts: map[string]string{"network": "host", "cgroup-parent": "/docker/mine"},
	}, newState(t, m))
	check(t, err)
	defer b.Close()
	api, err := m.engine(here(t, m))
	check(t, err)
	defer api.Close()
	found, err := api.ContainerInspect(ctx, containerOf(b.Nodes[0].Name), engine.ContainerInspectOptions{})
	check(t, err)
	if host := found.Container.HostConfig; host.UsernsMode != "host" || host.CgroupParent != "" || !host.Privileged {
		t.Errorf("user namespace %q, cgroup parent %q, privileged %t", host.UsernsMode, host.CgroupParent, host.Privileged)
	}
	solve(ctx, t, b)
}

func here(t *testing.T, m *Manager) string {
	t.Helper()
	address, err := m.endpoint("")
	check(t, err)
	return address
}
