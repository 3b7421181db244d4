package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
)

func TestTransportProxy(t *testing.T) {
	// Nothing of the process's own environment may count.
	t.Setenv("HTTPS_PROXY", "http://process.test:1")
	for _, tt := range []struct {
		environ   map[string]string
		url, want string
	}{
		{nil, "https://ghcr.io/v2/", "<nil>"},
		{map[string]string{"HTTPS_PROXY": "http://proxy.test:3128"}, "https://ghcr.io/v2/", "http://proxy.test:3128"},
		{map[string]string{"https_proxy": "http://proxy.test:3128"}, "https://ghcr.io/v2/", "http://proxy.test:3128"},
		{map[string]string{"HTTP_PROXY": "http://proxy.test:3128"}, "http://registry.test/v2/", "http://proxy.test:3128"},
		{map[string]string{"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": "ghcr.io"}, "https://ghcr.io/v2/", "<nil>"},
		{map[string]string{"HTTP_PROXY": "http://proxy.test:3128"}, "http://127.0.0.1:5000/v2/", "<nil>"},
	} {
		req, err := http.NewRequest(http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Transport(tt.environ).Proxy(req)
		if got := fmt.Sprint(proxy); err != nil || got != tt.want {
			t.Errorf("proxy for %s under %v: %s, %v; want %s", tt.url, tt.environ, got, err, tt.want)
		}
	}
}

// A proxy that is dead stands in the way, unless the registry needs none.
func TestDeadProxy(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for _, tt := range []struct{ noProxy, err string }{
		{"registry.test", ""},
		{"", "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused"},
	} {
		transport := Transport(map[string]string{"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": tt.noProxy})
		t.Cleanup(transport.CloseIdleConnections)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "registry.test:5000" {
				address = p.host()
			}
			return dial(ctx, network, address)
		}
		_, err := newClient(t, WithTransport(transport), WithInsecure("registry.test:5000")).
			Resolve(deadline(t), mustRepo(t, "registry.test:5000/app").Tag("none"))
		if tt.err == "" {
			if !errors.Is(err, ErrNotFound) { // it answered
				t.Errorf("error %v", err)
			}
			continue
		}
		checkError(t, err, tt.err)
	}
}
