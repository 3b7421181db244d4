package test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// refuse starts a proxy to the registry that answers some requests itself: those
// of a method whose path matches. $NAME is its address.
//
//	refuse NAME METHOD PATTERN STATUS [BODY]
func refuse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: refuse NAME METHOD PATTERN STATUS [BODY]")
	}
	method, pattern := args[1], regexp.MustCompile(args[2])
	status, err := strconv.Atoi(args[3])
	ts.Check(err)
	body := strings.Join(args[4:], "")
	target := &url.URL{Scheme: "http", Host: os.Getenv("HULLWRIGHT_TEST_REGISTRY")}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host // so that locations lead back through here
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method || !pattern.MatchString(r.URL.Path) {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}
