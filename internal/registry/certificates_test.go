package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// issuer is an authority that a test makes certificates with.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{}
	a.cert, a.key = a.issue(t, time.Hour)
	return a
}

// issue makes a certificate for loopback that lasts for so long; the first one
// signs itself.
func (a *issuer) issue(t *testing.T, lasts time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(lasts),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost", "registry.test", "tokens.test"},
		IsCA: a.cert == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeKey(t *testing.T, path string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, path, "EC PRIVATE KEY", der)
}

// tlsRegistry is a registry over TLS whose certificate lasts for so long; with
// clients it wants a certificate of theirs.
func tlsRegistry(t *testing.T, a *issuer, lasts time.Duration, clients bool, h2 bool, handler http.Handler) string {
	t.Helper()
	cert, key := a.issue(t, lasts)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = h2
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	if clients {
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		server.TLS.ClientCAs = x509.NewCertPool()
		server.TLS.ClientCAs.AddCert(a.cert)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// checkAsked holds what became of a request for a tag that is not there against the
// error that is wanted and its hint; without one the registry must have answered.
func checkAsked(t *testing.T, err error, want, hint string) {
	t.Helper()
	if want == "" {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("error %v", err)
		}
		return
	}
	checkError(t, err, want)
	if hints := strings.Join(errdefs.Hints(err), " "); errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(hints, hint) {
		t.Errorf("kind %v, hints %q", errdefs.KindOf(err), hints)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	a := newIssuer(t)
	own, ownKey := a.issue(t, time.Hour)
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	ours := func(t *testing.T, dir string) {
		writePEM(t, filepath.Join(dir, "ours.cert"), "CERTIFICATE", own.Raw)
		writeKey(t, filepath.Join(dir, "ours.key"), ownKey)
	}
	authority := func(t *testing.T, dir string) {
		writePEM(t, filepath.Join(dir, "ca.crt"), "CERTIFICATE", a.cert.Raw)
	}
	for _, tt := range []struct {
		name     string
		files    []func(t *testing.T, dir string)
		lasts    time.Duration // of the registry's own; an hour unless given
		clients  bool
		insecure bool
		err      string
		hint     string
	}{
		{name: "authority", files: []func(*testing.T, string){authority}},
		{name: "authority and a certificate of ours", files: []func(*testing.T, string){authority, ours}, clients: true},
		{name: "no certificate of ours", files: []func(*testing.T, string){authority}, clients: true, err: "tls: certificate required"},
		{name: "nothing", err: "certificate signed by unknown authority", hint: "/etc/docker/certs.d/127.0.0.1:"},
		{name: "nothing, named as insecure", insecure: true},
		{name: "a certificate of ours, named as insecure", files: []func(*testing.T, string){ours}, clients: true, insecure: true},
		{name: "certificate that has expired", files: []func(*testing.T, string){authority}, lasts: -time.Hour,
			err: "certificate has expired or is not yet valid: current time " + time.Now().Format("2006-01-02T"), hint: "clock is wrong"},
		{name: "key without certificate", files: []func(*testing.T, string){func(t *testing.T, dir string) { writeKey(t, filepath.Join(dir, "ours.key"), ownKey) }},
			err: "a key without its certificate"},
		{name: "certificate without key", files: []func(*testing.T, string){func(t *testing.T, dir string) {
			writePEM(t, filepath.Join(dir, "ca.cert"), "CERTIFICATE", a.cert.Raw)
		}}, err: "one of an authority ends in .crt"},
		{name: "no certificate in a file", files: []func(*testing.T, string){func(t *testing.T, dir string) { writePEM(t, filepath.Join(dir, "ca.crt"), "NOTHING", nil) }},
			err: "no certificate in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.lasts == 0 {
				tt.lasts = time.Hour
			}
			host := tlsRegistry(t, a, tt.lasts, tt.clients, false, handler)
			dir := t.TempDir()
			for _, write := range tt.files {
				write(t, filepath.Join(dir, host))
			}
			options := []Option{WithCertificates(Certificates{filepath.Join(dir, "none"), dir})}
			if tt.insecure {
				options = append(options, WithInsecure(host))
			}
			// Loopback is asked over http first; the error shown is https's.
			_, err := newClient(t, options...).Resolve(deadline(t), mustRepo(t, host+"/app").Tag("none"))
			checkAsked(t, err, tt.err, tt.hint)
		})
	}
}

// pemOf is certificates as a file has them.
func pemOf(issuers ...*issuer) (raw []byte) {
	for _, a := range issuers {
		raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return raw
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	a, other := newIssuer(t), newIssuer(t)
	own, ownKey := a.issue(t, time.Hour)
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	for _, tt := range []struct {
		name     string
		given    func(host string) map[string][]byte
		dir      func(t *testing.T, dir string) // what docker's directory of the registry has
		lasts    time.Duration                  // of the registry's certificate; an hour unless given
		clients  bool
		plain    bool // it speaks http
		insecure bool
		err      string
		hint     string
	}{
		{name: "its own", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} }},
		{name: "another spelling", given: func(h string) map[string][]byte { return map[string][]byte{strings.ToUpper(h): pemOf(a)} }},
		{name: "the second of a file", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(other, a)} }},
		{name: "another's", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(other)} },
			err: "certificate signed by unknown authority", hint: "registry-ca: localhost:"},
		{name: "of another registry", given: func(string) map[string][]byte {
			return map[string][]byte{"127.0.0.1": pemOf(a), "localhost:1": pemOf(a)}
		},
			err: "certificate signed by unknown authority", hint: "registry-ca: localhost:"},
		{name: "another's, beside that in the directory", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(other)} },
			dir: func(t *testing.T, dir string) { writePEM(t, filepath.Join(dir, "ca.crt"), "CERTIFICATE", a.cert.Raw) }},
		{name: "its own, beside another's in the directory", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} },
			dir: func(t *testing.T, dir string) {
				writePEM(t, filepath.Join(dir, "ca.crt"), "CERTIFICATE", other.cert.Raw)
			}},
		{name: "its own, and a certificate of ours in the directory", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} }, clients: true,
			dir: func(t *testing.T, dir string) {
				writePEM(t, filepath.Join(dir, "ours.cert"), "CERTIFICATE", own.Raw)
				writeKey(t, filepath.Join(dir, "ours.key"), ownKey)
			}},
		{name: "another's, named as insecure", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(other)} }, insecure: true},
		{name: "of a certificate that has expired", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} }, lasts: -time.Hour,
			err: "certificate has expired", hint: "clock is wrong"},
		{name: "no certificate", given: func(h string) map[string][]byte { return map[string][]byte{h: []byte("x")} }, err: "no certificate in it"},
		{name: "of one that speaks http", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} }, plain: true,
			err: "server gave HTTP response to HTTPS client", hint: "loopback without a line in registry-ca"},
		{name: "of one that speaks http, named as insecure", given: func(h string) map[string][]byte { return map[string][]byte{h: pemOf(a)} }, plain: true, insecure: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.lasts == 0 {
				tt.lasts = time.Hour
			}
			var host string
			if tt.plain {
				server := httptest.NewServer(handler)
				t.Cleanup(server.Close)
				host = server.Listener.Addr().String()
			} else {
				host = tlsRegistry(t, a, tt.lasts, tt.clients, false, handler)
			}
			host = strings.Replace(host, "127.0.0.1", "localhost", 1)
			dir := t.TempDir()
			if tt.dir != nil {
				tt.dir(t, filepath.Join(dir, host))
			}
			options := []Option{WithCertificates(Certificates{dir}), WithAuthorities(tt.given(host))}
			if tt.insecure {
				options = append(options, WithInsecure(host))
			}
			_, err := newClient(t, options...).Resolve(deadline(t), mustRepo(t, host+"/app").Tag("none"))
			checkAsked(t, err, tt.err, tt.hint)
		})
	}
}

// A token server elsewhere is trusted by its own authority only.
func TestAuthoritiesOfTokenServers(t *testing.T) {
	t.Parallel()
	a, other := newIssuer(t), newIssuer(t)
	const host, tokens = "registry.test", "tokens.test:5001"
	d := &door{realm: "https://" + tokens + "/token"}
	good := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, good) })
	at := map[string]string{
		host + ":443": tlsRegistry(t, a, time.Hour, false, false, served),
		tokens:        tlsRegistry(t, other, time.Hour, false, false, served),
	}
	wire := Transport(nil)
	t.Cleanup(wire.CloseIdleConnections)
	wire.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, at[address])
	}
	for name, tt := range map[string]struct {
		given map[string][]byte
		err   string
		hint  string
	}{
		"both":                   {given: map[string][]byte{host: pemOf(a), tokens: pemOf(other)}},
		"the registry's alone":   {map[string][]byte{host: pemOf(a, other)}, "certificate signed by unknown authority", "registry-ca: " + tokens + "=FILE"},
		"the token server's own": {map[string][]byte{tokens: pemOf(a, other)}, "certificate signed by unknown authority", "registry-ca: " + host + "=FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, WithTransport(wire), WithAuthorities(tt.given), WithTrustedRealm(tokens), WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password})))
			_, err := c.Resolve(deadline(t), mustRepo(t, host+"/app").Tag("none"))
			if tt.err == "" {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("error %v", err)
				}
				return
			}
			checkError(t, err, tt.err)
			if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q", hints)
			}
		})
	}
}

// Authorities are added to the system's, and Docker Hub goes by the name that
// people know.
func TestAuthoritiesAreAdded(t *testing.T) {
	t.Parallel()
	a, other := newIssuer(t), newIssuer(t)
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "docker.io", "ca.crt"), "CERTIFICATE", other.cert.Raw)
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	want.AddCert(other.cert)
	want.AddCert(a.cert)
	for _, spelled := range []string{"docker.io", "index.docker.io"} {
		c := newClient(t, WithCertificates(Certificates{dir}), WithAuthorities(map[string][]byte{spelled: pemOf(a)}))
		wire := &hostTLS{certificates: c.certificates, authorities: c.authorities}
		got, err := wire.config("index.docker.io")
		if err != nil {
			t.Fatal(err)
		}
		if !got.RootCAs.Equal(want) {
			t.Errorf("%s: not the authorities of the system, the directory and the option", spelled)
		}
		if other, err := wire.config("docker.io.example"); other != nil || err != nil {
			t.Errorf("%s: another registry has %v, %v", spelled, other, err)
		}
	}
}

func TestDockerCertificates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		environ map[string]string
		want    string
	}{
		{nil, "/etc/docker/certs.d"},
		{map[string]string{"HOME": "/h"}, "/etc/docker/certs.d /h/.config/docker/certs.d /h/.docker/certs.d"},
		{map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x", "DOCKER_CONFIG": "/c"}, "/etc/docker/certs.d /x/docker/certs.d /h/.docker/certs.d /c/certs.d"},
	} {
		if got := strings.Join(DockerCertificates(tt.environ), " "); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.environ, got, tt.want)
		}
	}
}

// A server that ends its HTTP/2 connections while we speak to it.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	a := newIssuer(t)
	for name, disturb := range map[string]func(w http.ResponseWriter, r *http.Request){
		"GOAWAY": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
		"stream reset": func(_ http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 1<<10)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
			var n, second atomic.Int32
			host := tlsRegistry(t, a, time.Hour, false, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor == 2 {
					second.Add(1)
				}
				if n.Add(1)%4 == 0 {
					disturb(w, r)
				}
				good.ServeHTTP(w, r)
			}))
			dir := t.TempDir()
			writePEM(t, filepath.Join(dir, host, "ca.crt"), "CERTIFICATE", a.cert.Raw)
			c := newClient(t, WithCertificates(Certificates{dir}))
			source := newPeer(t)
			digest := source.seed("app", bigImage(t))
			repo := mustRepo(t, host+"/app")
			if err := c.Copy(deadline(t), source.repo("app"), repo, digest); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Release(deadline(t), tags(digest, repo.Tag("1.4.2"), repo.Tag("latest")), nil); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Resolve(deadline(t), repo.Tag("latest")); err != nil || got != digest {
				t.Errorf("tag has %s, %v", got, err)
			}
			if second.Load() == 0 {
				t.Error("nothing went over HTTP/2")
			}
		})
	}
}
