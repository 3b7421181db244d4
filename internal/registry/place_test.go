package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestPlaceOf(t *testing.T) {
	t.Parallel()
	for want, list := range map[place][]string{
		public:    {"8.8.8.8", "2001:4860:4860::8888", "100.63.255.255", "100.128.0.1", "169.253.0.1", "::ffff:8.8.8.8", "registry.test", "fe80.test", "127.1"},
		private:   {"127.0.0.1", "127.9.9.9:5000", "::1", "[::1]:5000", "localhost", "a.localhost:80", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.0", "::", "fd00:ec2::254", "100.100.100.200", "::ffff:10.0.0.1", "[::ffff:127.0.0.1]:80"},
		linkLocal: {"169.254.169.254", "169.254.169.254:80", "fe80::1", "[fe80::1]:443", "fe80::1%eth0", "::ffff:169.254.169.254"},
	} {
		for _, name := range list {
			if got := placeOfName(name); got != want {
				t.Errorf("%s is in place %d, want %d", name, got, want)
			}
		}
	}
}

// world is what names resolve to, and which of them seem to be on a public address.
type world struct {
	names  map[string]string
	public map[string]bool
}

// transport reaches the world's hosts, by a resolver of its own.
func (w world) transport(t *testing.T) *http.Transport {
	t.Helper()
	transport := dialing(t, "")
	dialer := newDialer()
	dialer.Resolver = serveDNS(t, func(name string) (dnsmessage.RCode, netip.Addr) {
		at, ok := w.names[strings.TrimSuffix(name, ".")]
		if !ok {
			return dnsmessage.RCodeNameError, netip.Addr{}
		}
		return dnsmessage.RCodeSuccess, netip.MustParseAddr(at)
	})
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil && w.public[hostname(address)] {
			conn = publicConn{conn}
		}
		return conn, err
	}
	return transport
}

// publicConn is a connection that seems to lead to a public address.
type publicConn struct{ net.Conn }

func (publicConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:443"))
}

// counted is a server with the number of connections that it had.
func counted(t *testing.T, handler http.Handler) (_ *httptest.Server, port string, conns *atomic.Int32) {
	t.Helper()
	conns = new(atomic.Int32)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	_, port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return server, port, conns
}

func redirect(to string) action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// A public registry leads to hosts whose names are public and whose addresses are
// not: nobody there sees so much as a connection.
func TestLeadIntoNetwork(t *testing.T) {
	t.Parallel()
	_, port, conns := counted(t, http.NotFoundHandler())
	here := world{
		names: map[string]string{
			"registry.test": "127.0.0.1", "inside.test": "127.0.0.1", "auth.registry.test": "127.0.0.1",
			"metadata.test": "169.254.169.254", "metadata.registry.test": "169.254.169.254", "plain.inside.test": "127.0.0.1",
		},
		public: map[string]bool{"registry.test": true},
	}
	source := newPeer(t)
	digest := source.seed("app", testIndex(t, "linux/amd64"))
	get := func(ctx context.Context, c *Client, host string) error {
		_, err := c.Get(ctx, mustRepo(t, host+"/app").Tag("1"))
		return err
	}
	upload := func(ctx context.Context, c *Client, host string) error {
		return c.Copy(ctx, source.repo("app"), mustRepo(t, host+"/app"), digest)
	}
	tryPush := func(ctx context.Context, c *Client, host string) error {
		return c.TryPush(ctx, mustRepo(t, host+"/app"))
	}
	token := func(realm string) func(ctx context.Context, c *Client, host string) error {
		return func(ctx context.Context, c *Client, host string) error {
			_, err := c.Token(ctx, TokenRequest{Host: host, Realm: realm, Scopes: []string{"repository:app:pull"}})
			return err
		}
	}
	ci := authn.AuthConfig{Username: "ci", Password: password}
	for _, tt := range []struct {
		name  string
		rule  *rule
		login authn.AuthConfig
		do    func(ctx context.Context, c *Client, host string) error
		err   string
	}{
		{name: "redirect", rule: &rule{path: "/manifests/", action: redirect("https://inside.test:" + port + "/x")}, do: get,
			err: "redirects into a private network, to inside.test:" + port + " (127.0.0.1)"},
		{name: "redirect of the first request", rule: &rule{path: "^/v2/$", action: redirect("https://inside.test:" + port + "/x")}, do: get,
			err: "redirects into a private network, to inside.test:" + port + " (127.0.0.1)"},
		{name: "redirect to http", rule: &rule{path: "/manifests/", action: redirect("http://plain.inside.test:" + port + "/x")}, do: get,
			err: "redirects into a private network, to plain.inside.test:" + port + " (127.0.0.1)"},
		{name: "redirect to an address", rule: &rule{path: "/manifests/", action: redirect("https://127.0.0.1:" + port + "/x")}, do: get,
			err: "redirects into a private network, to 127.0.0.1:" + port},
		{name: "redirect to the cloud's metadata", rule: &rule{path: "/manifests/", action: redirect("https://metadata.test/latest")}, do: get,
			err: "redirects to a link-local address, metadata.test (169.254.169.254)"},
		{name: "realm", rule: &rule{action: (&door{realm: "https://auth.registry.test:" + port + "/token"}).serve}, login: ci, do: get,
			err: "wants credentials sent into a private network, to auth.registry.test:" + port + " (127.0.0.1)"},
		{name: "realm without a login", rule: &rule{action: (&door{realm: "https://inside.test:" + port + "/token"}).serve}, do: get,
			err: "wants credentials sent into a private network, to inside.test:" + port + " (127.0.0.1)"},
		{name: "realm that is the cloud's metadata", rule: &rule{action: (&door{realm: "https://metadata.registry.test/token"}).serve}, login: ci, do: get,
			err: "wants credentials sent to a link-local address, metadata.registry.test (169.254.169.254)"},
		{name: "realm for a daemon", login: ci, do: token("https://auth.registry.test:" + port + "/token"),
			err: "wants credentials sent into a private network, to auth.registry.test:" + port + " (127.0.0.1)"},
		{name: "upload", rule: &rule{method: "POST", action: location(func(string) string { return "https://inside.test:" + port + "/upload" })}, do: upload,
			err: "wants a blob sent into a private network, to inside.test:" + port + " (127.0.0.1)"},
		{name: "upload that is tried out", rule: &rule{method: "POST", action: location(func(string) string { return "https://inside.test:" + port + "/upload" })}, do: tryPush,
			err: "wants a blob sent into a private network, to inside.test:" + port + " (127.0.0.1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var rules []*rule
			if tt.rule != nil {
				rules = append(rules, tt.rule)
			}
			p := newPeer(t, rules...)
			host := strings.Replace(p.host(), "127.0.0.1", "registry.test", 1)
			c := newClient(t, WithTransport(here.transport(t)), WithKeychain(loginAs(tt.login)), WithInsecure(host, "plain.inside.test:"+port))
			err := tt.do(deadline(t), c, host)
			checkError(t, err, "registry "+host+" "+tt.err)
			if kind := errdefs.KindOf(err); kind != errdefs.Denied {
				t.Errorf("kind %v", kind)
			}
			if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, "name it in trust-realms") {
				t.Errorf("hints %q", hints)
			}
		})
	}
	t.Cleanup(func() {
		if n := conns.Load(); n != 0 {
			t.Errorf("%d connections into the network", n)
		}
	})
}

// A host that the user trusts may be where it is.
func TestLeadToTrustedHost(t *testing.T) {
	t.Parallel()
	storage := newPeer(t)
	index := testIndex(t, "linux/amd64")
	digest := storage.seed("app", index)
	target := strings.Replace(storage.host(), "127.0.0.1", "storage.test", 1)
	here := world{
		names:  map[string]string{"registry.test": "127.0.0.1", "storage.test": "127.0.0.1"},
		public: map[string]bool{"registry.test": true},
	}
	p := newPeer(t, &rule{path: "/manifests/", action: redirect("http://" + target + "/v2/app/manifests/" + digest.String())})
	host := strings.Replace(p.host(), "127.0.0.1", "registry.test", 1)
	c := newClient(t, WithTransport(here.transport(t)), WithInsecure(host, target), WithTrustedRealm(target))
	if _, err := c.Get(deadline(t), mustRepo(t, host+"/app").Digest(digest.String())); err != nil {
		t.Error(err)
	}
}

// A private registry, by its address and not by its name, leads to private hosts,
// but no further; connections to these are used again. A public one that leads to
// the same host gets none of them.
func TestPrivateRegistry(t *testing.T) {
	t.Parallel()
	index := testIndex(t, "linux/amd64")
	storage := newPeer(t)
	digest := storage.seed("app", index)
	_, port, conns := counted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+storage.host()+r.URL.Path, http.StatusTemporaryRedirect) // by its address
	}))
	target := "storage.test:" + port
	here := world{
		names:  map[string]string{"registry.test": "127.0.0.1", "public.test": "127.0.0.1", "storage.test": "127.0.0.1", "metadata.test": "169.254.169.254"},
		public: map[string]bool{"public.test": true},
	}
	p := newPeer(t,
		&rule{path: "/manifests/far", action: redirect("https://metadata.test/latest")},
		&rule{path: "/manifests/", action: redirect("http://" + target + "/v2/app/manifests/" + digest.String())})
	named := func(name string) string { return strings.Replace(p.host(), "127.0.0.1", name, 1) }
	c := newClient(t, WithTransport(here.transport(t)), WithInsecure(named("registry.test"), named("public.test"), target),
		WithRetry(Retry{Tries: 1}))
	repo := mustRepo(t, named("registry.test")+"/app")
	for range 5 {
		if _, err := c.Get(deadline(t), repo.Digest(digest.String())); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five requests one after the other", n)
	}
	_, err := c.Get(deadline(t), repo.Tag("far"))
	checkError(t, err, "redirects to a link-local address, metadata.test (169.254.169.254)")
	_, err = c.Get(deadline(t), mustRepo(t, named("public.test")+"/app").Digest(digest.String()))
	checkError(t, err, "registry "+named("public.test")+" redirects into a private network, to "+target+" (127.0.0.1)")
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, one of them for the public registry", n)
	}
}

// A daemon that speaks to a private registry of a public name gets its tokens
// from a private server: where the registry is gets asked then.
func TestTokenOfPrivateRegistry(t *testing.T) {
	t.Parallel()
	auth := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"token":"t0"}`) }))
	defer auth.Close()
	p := newPeer(t)
	here := world{names: map[string]string{"registry.test": "127.0.0.1", "example.com": "127.0.0.1"}}
	transport := here.transport(t)
	transport.TLSClientConfig.RootCAs = auth.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs // for example.com
	host := strings.Replace(p.host(), "127.0.0.1", "registry.test", 1)
	_, port, _ := net.SplitHostPort(auth.Listener.Addr().String())
	c := newClient(t, WithTransport(transport), WithInsecure(host))
	for range 2 {
		got, err := c.Token(deadline(t), TokenRequest{Host: host, Realm: "https://example.com:" + port + "/token", Scopes: []string{"repository:app:pull"}})
		if err != nil || got.Token != "t0" {
			t.Errorf("%v, %v", got, err)
		}
	}
	if asked := p.requests("GET"); len(asked) != 1 {
		t.Errorf("the registry was asked %v, want once", asked)
	}
}

// HTTP/2 stays, and its one connection, behind the fence as before it.
func TestLeadByHTTP2(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	var old atomic.Int32
	storage := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			old.Add(1)
		}
		http.NotFound(w, r)
	}))
	storage.EnableHTTP2 = true
	storage.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	storage.StartTLS()
	defer storage.Close()
	p := newPeer(t, &rule{path: "/manifests/", action: redirect(storage.URL + "/x")})
	transport := dialing(t, "")
	transport.TLSClientConfig.RootCAs = storage.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c := newClient(t, WithTransport(transport))
	for range 5 {
		if _, err := c.Get(deadline(t), p.tag("app:1")); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	if conns.Load() != 1 || old.Load() != 0 {
		t.Errorf("%d connections, %d requests that were not HTTP/2", conns.Load(), old.Load())
	}
}

// What a proxy dials is the proxy's to judge, and the proxy itself may be anywhere.
func TestLeadByProxy(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Host)
		mu.Unlock()
		if r.Host == "registry.test:5000" && strings.Contains(r.URL.Path, "/manifests/") {
			http.Redirect(w, r, "http://storage.test"+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.host()}).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	transport := Transport(map[string]string{"HTTP_PROXY": proxy.URL})
	t.Cleanup(transport.CloseIdleConnections)
	c := newClient(t, WithTransport(transport), WithInsecure("registry.test:5000", "storage.test"))
	if _, err := c.Get(deadline(t), mustRepo(t, "registry.test:5000/app").Digest(digest.String())); err != nil {
		t.Error(err)
	}
	if !slices.Contains(asked, "storage.test") {
		t.Errorf("the proxy was asked for %q", asked)
	}
	// By its name a host is known all the same; the registry is no more private for its proxy.
	ep, err := c.endpoint(deadline(t), mustRepo(t, "registry.test:5000/app").Registry)
	if err != nil || ep.place != public {
		t.Errorf("place %d, %v", ep.place, err)
	}
}
