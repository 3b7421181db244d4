package registry

import (
	"fmt"
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
