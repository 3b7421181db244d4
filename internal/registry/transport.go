package registry

import (
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// Transport is a transport whose proxies are those that environ names
// (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in either case) and whose every phase has
// its time-out: 30 s to connect, 10 s for TLS, 60 s for an answer's header.
func Transport(environ map[string]string) *http.Transport {
	get := func(upper, lower string) string {
		if v := environ[upper]; v != "" {
			return v
		}
		return environ[lower]
	}
	proxy := (&httpproxy.Config{
		HTTPProxy:  get("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: get("HTTPS_PROXY", "https_proxy"),
		NoProxy:    get("NO_PROXY", "no_proxy"),
	}).ProxyFunc()
	return newTransport(func(r *http.Request) (*url.URL, error) { return proxy(r.URL) })
}

func newTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = proxy
	t.DialContext = newDialer().DialContext
	t.TLSHandshakeTimeout = 10 * time.Second
	t.ResponseHeaderTimeout = 60 * time.Second
	// Every tag of a repository is read, written and read again at once: the
	// connections of one wave must still be there for the next.
	t.MaxIdleConnsPerHost = perRepository * 2
	t.MaxIdleConns = perRepository * 8
	return t
}

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, ControlContext: dialable}
}
