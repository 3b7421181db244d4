package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The accounts of every registry that asks who comes: ada may do everything, and
// bob is there to be another. The passwords have what a shell would stumble over.
const (
	adaPassword = "ada's pass"
	bobPassword = "push only"
)

var accounts = map[string]string{"ada": adaPassword, "bob": bobPassword}

// htpasswd has them, with bcrypt, the one form that the registry reads.
const htpasswd = "ada:$2a$04$uPqZSoF9k9MyMqQ9Z4Kx4ejQxhqyzd6wdJvGrjl30fkJSZ4BPA6ue\n" +
	"bob:$2a$04$5oXdq17iI5lfBuRqQgWRdeKEvoe7GAxVLPlGku3A9W9CHKqCVU8i.\n"

// startAuthRegistry starts a registry of its own that asks who comes; $NAME is its
// address.
//
//	auth-registry NAME htpasswd|tokens
func startAuthRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: auth-registry NAME htpasswd|tokens")
	}
	address, stop, err := authRegistry(filepath.Join(ts.Getenv("WORK"), ".registry-"+args[0]), args[1])
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv(args[0], address)
}

// authRegistry runs the real registry program in dir, and before it, at the
// address, what hands its requests on: for kind tokens that is the token server,
// too, since no other host may have a registry's credentials.
func authRegistry(dir, kind string) (address string, stop func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	inner, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: inner})
		p.Out.Host = p.In.Host // so that locations lead back through here
	}})
	front := httptest.NewServer(mux)
	address = front.Listener.Addr().String()
	door := ""
	switch kind {
	case "htpasswd":
		door, err = htpasswdDoor(dir)
	case "tokens":
		door, err = tokenDoor(dir, address, mux)
	default:
		err = fmt.Errorf("auth-registry: unknown kind %s", kind)
	}
	if err != nil {
		front.Close()
		return "", nil, err
	}
	ended, err := runRegistry(dir, inner, door)
	if err != nil {
		front.Close()
		return "", nil, err
	}
	return address, func() { front.Close(); ended() }, nil
}

// freeAddress is one that nobody listens at, for a program that is to. Its port is
// below those that systems give to whoever asks for any, as each client does: so
// none has it before the program.
func freeAddress() (string, error) {
	var faults error
	for range 20 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.IntN(10000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		faults = errors.Join(faults, err)
	}
	return "", faults
}

func runRegistry(dir, address, door string) (stop func(), err error) {
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %q}\nhttp: {addr: %q}\n%s",
		filepath.Join(dir, "data"), address, door)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "registry", "serve", config)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop = func() { cancel(); cmd.Wait() }
	for range 200 {
		resp, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			resp.Body.Close()
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("the registry did not start:\n%s", said.String())
}

func htpasswdDoor(dir string) (string, error) {
	path := filepath.Join(dir, "htpasswd")
	return fmt.Sprintf("auth:\n  htpasswd: {realm: test, path: %q}\n", path), os.WriteFile(path, []byte(htpasswd), 0o600)
}

// tokenDoor has the registry take tokens that are signed by a new key, and puts
// who signs them at /token.
func tokenDoor(dir, address string, mux *http.ServeMux) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", err
	}
	mux.Handle("/token", &signer{key: key, certificate: der, host: address})
	path := filepath.Join(dir, "token.pem")
	door := fmt.Sprintf("auth:\n  token: {realm: %q, service: %q, issuer: test, rootcertbundle: %q}\n", "http://"+address+"/token", address, path)
	return door, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// signer is a token server: https://distribution.github.io/distribution/spec/auth/token/
type signer struct {
	key         *ecdsa.PrivateKey
	certificate []byte
	host        string
}

// ServeHTTP gives who knows a password all that is asked for.
func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if accounts[user] == "" || accounts[user] != password {
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`))
		return
	}
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	granted := []access{}
	for _, text := range r.URL.Query()["scope"] {
		for scope := range strings.FieldsSeq(text) {
			if parts := strings.Split(scope, ":"); len(parts) == 3 {
				granted = append(granted, access{parts[0], parts[1], strings.Split(parts[2], ",")})
			}
		}
	}
	now := time.Now()
	token, err := s.sign(map[string]any{
		"iss": "test", "sub": user, "aud": s.host, "access": granted, "jti": fmt.Sprint(now.UnixNano()),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// sign makes a JWT, signed with ES256.
func (s *signer) sign(claims map[string]any) (string, error) {
	encode := func(v any) (string, error) {
		raw, err := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw), err
	}
	header, err := encode(map[string]any{"alg": "ES256", "typ": "JWT", "x5c": []string{base64.StdEncoding.EncodeToString(s.certificate)}})
	if err != nil {
		return "", err
	}
	body, err := encode(claims)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + body))
	x, y, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	return header + "." + body + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
