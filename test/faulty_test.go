package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// faulty starts a registry that gives one answer to everything; $NAME is its
// address. With tls it speaks https by a certificate that nobody trusts, with
// expired by one that ended yesterday.
//
//	faulty NAME CODE [BODY | tls | expired]
func faulty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: faulty NAME CODE [BODY | tls | expired]")
	}
	code, err := strconv.Atoi(args[1])
	ts.Check(err)
	body := ""
	if len(args) == 3 {
		body = args[2]
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		w.Write([]byte(body))
	}))
	server.Config.ErrorLog = log.New(ts.Stderr(), "", 0) // handshakes that fail are what is asked for
	switch body {
	case "tls":
		server.StartTLS()
	case "expired":
		certificate, err := expired(time.Now())
		ts.Check(err)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		server.StartTLS()
	default:
		server.Start()
	}
	ts.Defer(server.Close)
	_, address, _ := strings.Cut(server.URL, "://")
	ts.Setenv(args[0], address)
}

// expired is a certificate of 127.0.0.1 that ended a day before now.
func expired(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "expired"},
		NotBefore:    now.Add(-48 * time.Hour),
		NotAfter:     now.Add(-24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

// smallDisk mounts a file system of a few megabytes in memory; $NAME is its
// directory.
//
//	smalldisk NAME SIZE
func smallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smalldisk NAME SIZE")
	}
	dir, err := os.MkdirTemp("", "disk-")
	ts.Check(err)
	ts.Defer(func() { os.Remove(dir) })
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { ts.Check(syscall.Unmount(dir, 0)) })
	ts.Setenv(args[0], dir)
}
