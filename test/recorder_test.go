package test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// recorder is a proxy to the registry that keeps the order of what is written
// through it, and can be told to be slow, to refuse or to fail.
type recorder struct {
	server *httptest.Server
	deny   *regexp.Regexp // tags whose writes are refused; nil is none
	slow   time.Duration  // what each write of a tag waits
	tokens *tokenServer   // nil asks for none
	tls    bool           // by a certificate that vouches for itself alone

	mu     sync.Mutex
	begun  []string // paths of PUTs of tags
	writes []string // paths of successful PUTs, in the order of their ends
}

var recorders sync.Map // address -> *recorder

// startRecorder starts a proxy to the registry; $NAME is its address.
//
// With tokens everything wants a token that lives so long, which the user ci gets
// for the password pass, and the token server fails the first time that it is asked.
// With tls it speaks https; $NAME_CA is the file with its authority.
//
//	recorder NAME [deny=PATTERN] [slow=DURATION] [tokens=DURATION] [tls]
func startRecorder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: recorder NAME [deny=PATTERN] [slow=DURATION] [tokens=DURATION] [tls]")
	}
	r := &recorder{}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "deny":
			r.deny, err = regexp.Compile(value)
		case "slow":
			r.slow, err = time.ParseDuration(value)
		case "tokens":
			r.tokens = &tokenServer{}
			r.tokens.lives, err = time.ParseDuration(value)
		case "tls":
			r.tls = true
		default:
			ts.Fatalf("recorder: unknown argument %s", arg)
		}
		ts.Check(err)
	}
	target := &url.URL{Scheme: "http", Host: os.Getenv("HULLWRIGHT_TEST_REGISTRY")}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host // so that locations lead back through here
		if r.tls {
			p.Out.Header.Set("X-Forwarded-Proto", "https")
		}
	}}
	handler := r.record(proxy)
	if r.tokens != nil {
		handler = r.tokens.guard(handler)
	}
	r.server = httptest.NewUnstartedServer(handler)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if r.tls {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	ts.Defer(r.server.Close)
	if r.tls {
		raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
		path := filepath.Join(ts.Getenv("WORK"), "."+args[0]+".pem")
		ts.Check(os.WriteFile(path, raw, 0o600))
		ts.Setenv(args[0]+"_CA", path)
	}
	address := r.server.Listener.Addr().String()
	recorders.Store(address, r)
	ts.Setenv(args[0], address)
}

var (
	tagPath = regexp.MustCompile(`^/v2/(.+)/manifests/([A-Za-z0-9_][A-Za-z0-9._-]*)$`)
	putPath = regexp.MustCompile(`^/v2/.+/(manifests|blobs/uploads)/`)
)

func (r *recorder) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPut || !putPath.MatchString(req.URL.Path) {
			next.ServeHTTP(w, req)
			return
		}
		if m := tagPath.FindStringSubmatch(req.URL.Path); m != nil {
			r.mu.Lock()
			r.begun = append(r.begun, req.URL.Path)
			r.mu.Unlock()
			time.Sleep(r.slow)
			if r.deny != nil && r.deny.MatchString(m[2]) {
				w.WriteHeader(http.StatusForbidden)
				w.Write([]byte(`{"errors":[{"code":"DENIED","message":"this tag is protected"}]}`))
				return
			}
		}
		status := &statusRecorder{ResponseWriter: w}
		next.ServeHTTP(status, req)
		if status.code/100 == 2 {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.writes = append(r.writes, req.URL.Path)
		}
	})
}

type statusRecorder struct {
	http.ResponseWriter
	code int
}

func (s *statusRecorder) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets the proxy flush.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// ordered checks that through a recorder, after every blob and every manifest
// by digest, tags were written in groups, and no other tag was.
//
//	ordered ADDRESS COUNT GROUP...     # a group is tags with commas between
//
// COUNT is how many repositories have each tag.
func ordered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: ordered ADDRESS COUNT GROUP...")
	}
	found, ok := recorders.Load(args[0])
	if !ok {
		ts.Fatalf("no recorder at %s", args[0])
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	r := found.(*recorder)
	r.mu.Lock()
	defer r.mu.Unlock()

	var tags []string
	for _, path := range r.writes {
		m := tagPath.FindStringSubmatch(path)
		switch {
		case m != nil && strings.HasSuffix(m[2], "-cache"): // the cache's tag is no release
		case m != nil:
			tags = append(tags, m[2])
		case len(tags) > 0:
			ts.Fatalf("%s was written after the tag %s", path, tags[0])
		}
	}
	for _, group := range args[2:] {
		want := strings.Split(group, ",")
		n := len(want) * count
		if len(tags) < n {
			ts.Fatalf("tags were written %v, want %v %d times next", tags, want, count)
		}
		for _, w := range want {
			if got := countOf(tags[:n], w); got != count {
				ts.Fatalf("tag %s was written %d times among %v, want %d", w, got, tags[:n], count)
			}
		}
		tags = tags[n:]
	}
	if len(tags) > 0 {
		ts.Fatalf("more tags were written: %v", tags)
	}
}

// waitWrite waits until a tag was written through a recorder, or with begun until
// its write has begun.
//
//	wait-write ADDRESS TAG [begun]
func waitWrite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: wait-write ADDRESS TAG [begun]")
	}
	found, ok := recorders.Load(args[0])
	if !ok {
		ts.Fatalf("no recorder at %s", args[0])
	}
	r := found.(*recorder)
	for range 600 {
		r.mu.Lock()
		writes := r.writes
		if len(args) > 2 {
			writes = r.begun
		}
		written := slices.ContainsFunc(writes, func(path string) bool { return strings.HasSuffix(path, "/manifests/"+args[1]) })
		r.mu.Unlock()
		if written {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("tag %s was not written in time", args[1])
}

// oneOf checks that the line in a file stands in at least one of others.
//
//	one-of FILE OTHER...
func oneOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: one-of FILE OTHER...")
	}
	want := strings.TrimSpace(ts.ReadFile(args[0]))
	for _, other := range args[1:] {
		if strings.Contains(ts.ReadFile(other), want) {
			return
		}
	}
	ts.Fatalf("none of %v has %s", args[1:], want)
}

func countOf(list []string, s string) int {
	n := 0
	for _, e := range list {
		if e == s {
			n++
		}
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }

// environOf is a script's environment, for commands that run beside it.
func environOf(ts *testscript.TestScript) []string {
	var environ []string
	for _, key := range slices.Concat(passed, []string{
		"PATH", "HOME", "BUILDX_CONFIG", "TMPDIR", "WORK", "ROOT", "REGISTRY", "RUN", "HULLWRIGHT_BINARY", "HULLWRIGHT_DRIVER",
		"HULLWRIGHT_PASSWORD", "HULLWRIGHT_REGISTRY_AUTH", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
		"BUILDER_NODE_0_AUTH_TLS_CACERT", "BUILDER_NODE_0_AUTH_TLS_CERT", "BUILDER_NODE_0_AUTH_TLS_KEY",
	}) {
		if v := ts.Getenv(key); v != "" {
			environ = append(environ, key+"="+v)
		}
	}
	return environ
}
