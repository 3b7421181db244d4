package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startInternet starts a proxy, $NAME, behind which the registries are that people
// log in to, with the token servers and services that they have. Their
// certificates are from internet/ca.pem, and what they are asked is in
// internet/log: host, method, path, and whose credentials came along.
//
//	internet NAME
func startInternet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: internet NAME")
	}
	dir := ts.MkAbs("internet")
	ts.Check(os.MkdirAll(dir, 0o755))
	ca, err := newVoucher()
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "ca.pem"), ca.pem, 0o644))
	record, err := os.Create(filepath.Join(dir, "log"))
	ts.Check(err)
	n := &internet{record: record}
	hosts := httptest.NewUnstartedServer(n)
	hosts.TLS = &tls.Config{GetCertificate: ca.vouch}
	hosts.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that clients break off
	hosts.StartTLS()
	proxy := httptest.NewServer(&tunnel{to: hosts.Listener.Addr().String(), plain: n})
	ts.Defer(func() { proxy.Close(); hosts.Close(); record.Close() })
	ts.Setenv(args[0], proxy.URL)
}

// voucher certifies any name at all.
type voucher struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newVoucher() (*voucher, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "everybody"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	return &voucher{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})}, err
}

// vouch certifies the name that a client asks for, but for one, which gets a
// certificate of another.
func (v *voucher) vouch(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "mistaken.test" {
		name = "another.test"
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, leaf, v.cert, v.key.Public(), v.key)
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: v.key}, err
}

// tunnel is a proxy that leads everywhere to one server. A host that has no TLS
// can be spoken to in plain only.
type tunnel struct {
	to    string
	plain http.Handler
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.plain.ServeHTTP(w, r)
		return
	}
	if r.Host == "plain.test:443" {
		http.Error(w, "nobody answers there", http.StatusBadGateway)
		return
	}
	there, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client is gone
	}
	defer here.Close()
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { io.Copy(there, buffered); there.(*net.TCPConn).CloseWrite() })
	both.Go(func() { io.Copy(here, there); here.(*net.TCPConn).CloseWrite() })
	both.Wait()
}

// realms are the token servers of registries; of a registry without one the
// password goes to itself.
var realms = map[string]string{
	"index.docker.io":           "https://auth.docker.io/token",
	"ghcr.io":                   "https://ghcr.io/token",
	"registry.gitlab.com":       "https://gitlab.com/jwt/auth",
	"team.azurecr.io":           "https://team.azurecr.io/oauth2/token",
	"europe-docker.pkg.dev":     "https://europe-docker.pkg.dev/v2/token",
	"gcr.io":                    "https://gcr.io/v2/token",
	"quay.io":                   "https://quay.io/v2/auth",
	"iad.ocir.io":               "https://iad.ocir.io/20180419/docker/token",
	"registry.digitalocean.com": "https://api.digitalocean.com/v2/registry/auth",
	"public.ecr.aws":            "https://public.ecr.aws/token/",
	"strange.test":              "https://tokens.example.org/token",
	"downgrade.test":            "http://downgrade.test/token",
	"metadata.test":             "https://169.254.169.254/token",
}

// internet answers for every host. A password is good where it says so: the
// password of ada at quay.io is "ada at quay.io", at its token server.
type internet struct {
	mu     sync.Mutex
	record io.Writer
}

func (n *internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.note(r)
	switch path := r.URL.Path; {
	case strings.HasPrefix(r.Host, "api.ecr"):
		answerECR(w, r)
	case r.Host == "login.microsoftonline.com", r.Host == "identity.docker.com", path == "/oauth2/exchange":
		n.exchange(w, r)
	case r.Host == "runner.test":
		io.WriteString(w, `{"value": "id.of.job"}`)
	case r.Host == "moves.test" && r.Header.Get("Authorization") != "":
		http.Redirect(w, r, "https://thief.test/v2/", http.StatusTemporaryRedirect)
	case path != "/v2/":
		n.token(w, r)
	case strings.HasPrefix(r.Header.Get("Authorization"), "Bearer token-of-"):
	case realms[r.Host] == "" && good(r):
	default:
		challenge := `Basic realm="registry"`
		if realm := realms[r.Host]; realm != "" {
			challenge = fmt.Sprintf("Bearer realm=%q,service=%q", realm, r.Host)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// note writes down whom a request is from, and no password.
func (n *internet) note(r *http.Request) {
	who, _, _ := r.BasicAuth()
	if who == "" {
		who, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.record, "%s %s %s %s\n", r.Host, r.Method, r.URL.Path, who)
}

// good is whether a password is right. What a cloud gave is, too.
func good(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	return password == user+" at "+r.Host || password == "given to "+r.Host || strings.Contains(password, `"service_account"`) && user == "_json_key"
}

func (n *internet) token(w http.ResponseWriter, r *http.Request) {
	if !good(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"token": "token-of-" + r.URL.Query().Get("service"), "expires_in": 300})
}

// exchange gives something for what says who a job is.
func (n *internet) exchange(w http.ResponseWriter, r *http.Request) {
	given := r.FormValue("client_assertion") + r.FormValue("subject_token") + r.FormValue("access_token")
	answers := map[string]map[string]string{
		"login.microsoftonline.com id.of.job": {"access_token": "entra-gave-this"},
		"team.azurecr.io entra-gave-this":     {"refresh_token": "given to team.azurecr.io"},
		"identity.docker.com id.of.job":       {"access_token": "given to auth.docker.io"},
	}
	answer := answers[r.Host+" "+given]
	if answer == nil || r.Host == "identity.docker.com" && (r.FormValue("expires_in") != "600" || r.FormValue("connection_id") == "") {
		w.WriteHeader(http.StatusForbidden)
	}
	json.NewEncoder(w).Encode(answer)
}

// answerECR is Amazon's answer to who signs with a key that it knows:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func answerECR(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDEXAMPLE/") {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`)
		return
	}
	encoded := func(host string) string { return base64.StdEncoding.EncodeToString([]byte("AWS:given to " + host)) }
	expires := time.Now().Add(12 * time.Hour).Unix()
	if strings.HasPrefix(r.Host, "api.ecr-public.") {
		json.NewEncoder(w).Encode(map[string]any{"authorizationData": map[string]any{"authorizationToken": encoded("public.ecr.aws"), "expiresAt": expires}})
		return
	}
	var asked struct{ RegistryIds []string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if len(asked.RegistryIds) == 0 {
		asked.RegistryIds = []string{"012345678910"}
	}
	var data []map[string]any
	for _, id := range asked.RegistryIds {
		host := id + ".dkr.ecr.us-east-1.amazonaws.com"
		data = append(data, map[string]any{"authorizationToken": encoded(host), "expiresAt": expires, "proxyEndpoint": "https://" + host})
	}
	json.NewEncoder(w).Encode(map[string]any{"authorizationData": data})
}
