package test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// finds runs doctor, which must end with a code and find what is wrong: these
// warnings and errors and no others; - is none.
//
//	finds CODE ID[,ID...]|- [ARG...]
func finds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: finds CODE ID[,ID...]|- [ARG...]")
	}
	code := 0
	err := ts.Exec("hullwright", append([]string{"doctor", "--format", "json"}, args[2:]...)...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
	var report struct {
		Findings []struct{ ID, Severity string }
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	found := []string{}
	for _, f := range report.Findings {
		if f.Severity == "warning" || f.Severity == "error" {
			found = append(found, f.ID)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	want := strings.Split(strings.Trim(args[1], "-"), ",")
	if args[1] == "-" {
		want = []string{}
	}
	if !slices.Equal(found, want) {
		ts.Fatalf("found %v, want %v", found, want)
	}
}

// skewed starts a proxy to the registry whose clock is off; $NAME is its address.
//
//	skewed NAME OFFSET
func skewed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: skewed NAME OFFSET")
	}
	off, err := time.ParseDuration(args[1])
	ts.Check(err)
	proxy := toRegistry()
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		return nil
	}
	server := httptest.NewServer(proxy)
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}

// tlsRegistry puts https before the registry; $NAME is the address, and $NAME_CA
// the file with the authority of its certificate.
//
//	tls-registry NAME
func tlsRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tls-registry NAME")
	}
	parts, err := certificates()
	ts.Check(err)
	pair, err := tls.X509KeyPair(parts["cert"], parts["key"])
	ts.Check(err)
	proxy := toRegistry()
	rewrite := proxy.Rewrite
	proxy.Rewrite = func(p *httputil.ProxyRequest) {
		rewrite(p)
		p.Out.Header.Set("X-Forwarded-Proto", "https") // so that locations lead back by https
	}
	server := httptest.NewUnstartedServer(proxy)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(ts.Stderr(), "", 0) // handshakes that fail are what is asked for
	server.StartTLS()
	ts.Defer(server.Close)
	path := filepath.Join(ts.Getenv("WORK"), "."+args[0]+".pem")
	ts.Check(os.WriteFile(path, parts["cacert"], 0o600))
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "https://"))
	ts.Setenv(args[0]+"_CA", path)
}

func toRegistry() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: os.Getenv("HULLWRIGHT_TEST_REGISTRY")})
		p.Out.Host = p.In.Host // so that locations lead back through here
	}}
}

// buildkitdAs is a copy of the environment's buildkitd that tells another
// version, of as many characters as its own; $NAME is its path. To link one anew
// would take minutes.
//
//	buildkitd-as NAME VERSION
func buildkitdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: buildkitd-as NAME VERSION")
	}
	path, err := exec.LookPath("buildkitd")
	ts.Check(err)
	out, err := exec.Command(path, "--version").Output() // buildkitd github.com/moby/buildkit v0.33.1 REVISION
	ts.Check(err)
	own := strings.Fields(string(out))[2]
	if len(own) != len(args[1]) {
		ts.Fatalf("buildkitd is %s: %s is not as long", own, args[1])
	}
	raw, err := os.ReadFile(path)
	ts.Check(err)
	copied := filepath.Join(ts.Getenv("WORK"), "buildkitd-"+args[1])
	ts.Check(os.WriteFile(copied, bytes.ReplaceAll(raw, []byte(own), []byte(args[1])), 0o755))
	ts.Setenv(args[0], copied)
}

// badEmulator registers for an architecture, which nothing may be registered
// for, what can't run its programs. The script's end removes it.
//
//	bad-emulator ARCH
func badEmulator(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bad-emulator ARCH")
	}
	var registry binfmt.Registry
	if e, there, err := registry.Handler(args[0]); err != nil || there {
		ts.Fatalf("%s is registered already: %s, %v", args[0], e.Name, err)
	}
	file, ok := binfmt.Check(args[0])
	if !ok {
		ts.Fatalf("no architecture %s", args[0])
	}
	nothing, err := exec.LookPath("false")
	ts.Check(err)
	line := binfmt.Line{Name: "hullwright-test-" + unique(), Magic: file[:20], Interpreter: nothing, Flags: "F"}
	ts.Check(registry.Register(line))
	ts.Defer(func() { ts.Check(registry.Remove(line)) })
}
