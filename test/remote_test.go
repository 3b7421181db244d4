package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// farBuildkitd starts a daemon that asks for a client certificate at a tcp
// address, $NAME_ADDRESS. $NAME_CACERT, $NAME_CERT and $NAME_KEY are what it is
// spoken to with, in PEM.
//
//	far-buildkitd NAME [FLAG...]
func farBuildkitd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: far-buildkitd NAME [FLAG...]")
	}
	name := args[0]
	free, err := freeAddress()
	ts.Check(err)
	address := "tcp://" + free
	parts, err := certificates()
	ts.Check(err)
	flags := []string{name, "--addr", address}
	for part, text := range parts {
		path := filepath.Join(ts.Getenv("WORK"), "."+name+"-"+part)
		ts.Check(os.WriteFile(path, text, 0o600))
		flags = append(flags, "--tls"+part, path)
	}
	buildkitd(ts, false, append(flags, args[1:]...))
	ts.Setenv(name+"_ADDRESS", address)
	ts.Setenv(name+"_CACERT", string(parts["cacert"]))
	ts.Setenv(name+"_CERT", string(parts["cert"]))
	ts.Setenv(name+"_KEY", string(parts["key"]))
}

// certificates are a CA's and one that it signed for this machine, which serves
// both sides.
func certificates() (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "builder"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parts := map[string][]byte{}
	for part, cert := range map[string]*x509.Certificate{"cacert": ca, "cert": leaf} {
		raw, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), key)
		if err != nil {
			return nil, err
		}
		parts[part] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	parts["key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	return parts, err
}
