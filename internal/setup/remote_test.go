package setup

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// testCA is a CA of a test's own.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	a := &testCA{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	raw, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	check(t, err)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	return a
}

// issue gives a certificate for a name or an address, for servers and clients.
func (a *testCA) issue(t *testing.T, name string) NodeTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		cert.IPAddresses = []net.IP{ip}
	} else {
		cert.DNSNames = []string{name}
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return NodeTLS{
		CA:   a.pem,
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

func TestRemoteEndpoint(t *testing.T) {
	for given, want := range map[string]string{
		"tcp://h:1234":                   "tcp://h:1234",
		"tcp://[::1]:1234":               "tcp://[::1]:1234",
		"unix:///run/b.sock":             "unix:///run/b.sock",
		"/run/b.sock":                    "unix:///run/b.sock",
		"ssh://me@h":                     "ssh://me@h",
		"ssh://me@h:22/run/b.sock":       "ssh://me@h:22/run/b.sock",
		"docker-container://b?context=x": "docker-container://b?context=x",
		"kube-pod://b?namespace=ci":      "kube-pod://b?namespace=ci",
		"podman-container://b":           "podman-container://b",
		"nerdctl-container://b":          "nerdctl-container://b",
		"":                               "", "h:1234": "", "tcp://h": "", "tcp://": "", "unix://": "", "ssh://": "", "http://h:1": "",
		"docker-container://": "", "podman-container://": "", "nerdctl-container://": "", "ssh://me:hunter2@h": "", "tcp://u:hunter2@h:1": "", "tcp://h:hunter2": "",
		"ssh://h?x=y": "", "\x00": "",
	} {
		got, err := remoteEndpoint(given)
		if want == "" {
			if errdefs.KindOf(err) != errdefs.BadInput || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %q, %v", given, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
}

func TestParseRemoteOpts(t *testing.T) {
	got, err := parseRemoteOpts(map[string]string{
		"servername": "b", "cacert": "/ca", "cert": "/cert", "key": "/key", "default-load": "true",
	})
	if want := (remoteOpts{serverName: "b", ca: "/ca", cert: "/cert", key: "/key", defaultLoad: true}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for want, opts := range map[string]map[string]string{
		`"driver-opts": cacert=ca is no absolute path`:              {"cacert": "ca"},
		`"driver-opts": TLS is wanted, and cacert missing`:          {"servername": "b"},
		`"driver-opts": TLS is wanted, and cacert and key missing`:  {"cert": "/cert"},
		`"driver-opts": TLS is wanted, and cert missing`:            {"cacert": "/ca", "key": "/key"},
		`"driver-opts": unknown option "ca-cert" of driver remote`:  {"ca-cert": "/ca"},
		`"driver-opts": unknown option "network" of driver remote`:  {"network": "host"},
		`"driver-opts": default-load=maybe: expected true or false`: {"default-load": "maybe"},
	} {
		if _, err := parseRemoteOpts(opts); errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %s", opts, err, want)
		}
	}
}

// TestSettle holds how nodes of several drivers are kept, for buildx and for us.
func TestSettle(t *testing.T) {
	amd, arm := ocispecs.Platform{OS: "linux", Architecture: "amd64"}, ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	contained := groupNode{Name: "b0", Endpoint: "ctx", DriverOpts: map[string]string{"network": "host"}, Platforms: []ocispecs.Platform{amd, arm}}
	far := groupNode{Name: "b1", Endpoint: "tcp://h:1", Platforms: []ocispecs.Platform{{OS: "linux", Architecture: "arm64", Variant: "v8"}}}
	g := &group{Name: "b", Made: &maker{}}
	g.settle([]shaped{{contained, DockerContainer}, {far, Remote}})
	contained.Platforms = []ocispecs.Platform{amd}
	if g.Driver != Remote || g.driver() != DockerContainer {
		t.Errorf("drivers %s and %s", g.Driver, g.driver())
	}
	want := []groupNode{{Name: "b0", Endpoint: "docker-container://buildx_buildkit_b0?context=ctx", Platforms: contained.Platforms}, far}
	if diff := cmp.Diff(want, g.Nodes); diff != "" {
		t.Error(diff)
	}
	for i, want := range []groupNode{contained, far} {
		got, driver := g.own(g.Nodes[i])
		if diff := cmp.Diff(want, got); diff != "" || driver != []string{DockerContainer, Remote}[i] {
			t.Errorf("%s: driver %s\n%s", got.Name, driver, diff)
		}
	}

	alike := &group{Name: "b", Made: &maker{}}
	alike.settle([]shaped{{far, Remote}})
	if alike.Driver != Remote || alike.Made.Nodes != nil || alike.Made.Driver != "" {
		t.Errorf("group %+v", alike)
	}
}

func TestNodeName(t *testing.T) {
	before := []shaped{{groupNode{Name: "b0"}, Remote}, {groupNode{Name: "arm"}, Remote}}
	for given, want := range map[string]string{"": "b1", "Other": "other", "arm": "", "../x": ""} {
		if got, err := nodeName("b", given, before); err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
}

// TestRemoteCertificateOfAnother leaves what another builder keeps at a path.
func TestRemoteCertificateOfAnother(t *testing.T) {
	m := New(Host{Environ: map[string]string{"BUILDX_CONFIG": t.TempDir()}, Stderr: testLog{t}, Now: time.Now})
	mine, theirs := strings.Repeat("a", 32), strings.Repeat("b", 32)
	path := m.certificatePath("cacert", "h", "1234", theirs)
	check(t, certificate{path, []byte("x")}.write(theirs))
	second := m.certificatePath("cacert", "h", "1234", mine)
	if !strings.HasSuffix(path, "certs/cacert_h-1234.pem") || second == path {
		t.Fatalf("paths %s and %s", path, second)
	}
	if err := removeCertificate(path, mine); err != errNotOurs {
		t.Errorf("got %v", err)
	}
	check(t, removeCertificate(path, theirs))
	if err := removeCertificate(path, theirs); err != errGone {
		t.Errorf("got %v", err)
	}
	missing(t, m.store().path("certs", ""))
}

// TestRemoteGivenUp has a wait end in the middle of an attempt.
func TestRemoteGivenUp(t *testing.T) {
	m := New(Host{Environ: map[string]string{}, Dir: t.TempDir()})
	r, err := m.newRemote(groupNode{Name: "a", Endpoint: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.dial(t.Context()); err == nil {
		t.Fatal("something listens")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.dial(canceled); err == nil {
		t.Fatal("something listens")
	}
	if why := r.why(); why == nil || !strings.Contains(why.Error(), "nothing listens there") {
		t.Errorf("%v, want what the first attempt found", why)
	}
}
