package setup

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"
	engine "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// lines keeps what setup tells.
type lines struct{ strings.Builder }

// faultyRegistry has one image, and answers the first requests for it as fault
// does, which is nil where it has no objection.
type faultyRegistry struct {
	image string
	asked atomic.Int32 // requests for the image by its tag, but HEAD
	over  chan struct{}
}

func startFaulty(t *testing.T, fault answerer) *faultyRegistry {
	t.Helper()
	f := &faultyRegistry{over: make(chan struct{})}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	var ready atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ready.Load() && strings.HasSuffix(r.URL.Path, "/manifests/1") {
			n := f.asked.Load()
			if r.Method == http.MethodGet {
				n = f.asked.Add(1)
			}
			if fault != nil && fault(n, w, r.WithContext(f.until(r.Context()))) {
				return
			}

		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(f.over) // an engine goes on with a request that its client gave up
		server.Close()
	})
	f.image = strings.TrimPrefix(server.URL, "http://") + "/pulled-" + newNonce(3) + ":1"
	image, err := random.Image(512, 1)
	check(t, err)
	image, err = mutate.ConfigFile(image, func() *v1.ConfigFile {
		c, err := image.ConfigFile()
		check(t, err)
		c.OS, c.Architecture = "linux", "amd64"
		return c
	}())
	check(t, err)
	ref, err := name.ParseReference(f.image, name.Insecure)
	check(t, err)
	check(t, registryclient.Write(ref, image))
	ready.Store(true)
	return f
}

// until ends with the test too.
func (f *faultyRegistry) until(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-f.over
		cancel()
	}()
	return ctx
}

// answerer answers a request, the nth, or leaves it to the registry by false.
type answerer func(n int32, w http.ResponseWriter, r *http.Request) bool

func answer(status int, body string) answerer {
	return func(_ int32, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

// quick is a policy that a test has time for.
var quick = pullPolicy{tries: 3, base: 10 * time.Millisecond, after: 50 * time.Millisecond, stall: 20 * time.Second}

func TestRealPull(t *testing.T) {
	limit := `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 12ms, allowed: 3/minute"}]}`
	for name, tt := range map[string]struct {
		fault  answerer
		policy pullPolicy
		told   []string // of tries that failed
		err    string
	}{
		"at once": {policy: quick},
		"a limit once": {
			func(n int32, w http.ResponseWriter, r *http.Request) bool {
				return n <= 1 && answer(429, limit)(n, w, r)
			}, quick, []string{"try 1 of 3: "}, "",
		},
		"a limit for long":   {answer(429, limit), quick, []string{"try 1 of 3: ", "try 2 of 3: "}, "toomanyrequests"},
		"a server that ails": {answer(503, "x"), quick, []string{"try 1 of 3: ", "try 2 of 3: "}, "503 Service Unavailable"},
		"nothing there":      {answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`), quick, nil, "manifest unknown"},
		"denied":             {answer(403, `{"errors":[{"code":"DENIED","message":"access denied"}]}`), quick, nil, "denied"},
		"silence": {
			func(_ int32, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
			pullPolicy{tries: 2, base: time.Millisecond, stall: 300 * time.Millisecond}, []string{"try 1 of 2: no word from the engine for 300ms"}, "no word",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			told := &lines{}
			m.host.Stderr = told
			f := startFaulty(t, tt.fault)
			api := realEngine(t, m)
			t.Cleanup(func() { api.ImageRemove(context.Background(), f.image, engine.ImageRemoveOptions{}) })
			err := m.pullTries(ctx, api, f.image, "", tt.policy)
			if tt.err == "" {
				check(t, err)
				_, err = api.ImageInspect(ctx, f.image)
				check(t, err)
			} else if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tt.err)) {
				t.Errorf("got %v, want %s", err, tt.err)
			}
			if n := strings.Count(told.String(), "\n"); n != len(tt.told) {
				t.Errorf("told %q", told)
			}
			for _, want := range tt.told {
				if !strings.Contains(told.String(), want) {
					t.Errorf("told %q, want %s", told, want)
				}
			}
		})
	}
}

func realEngine(t *testing.T, m *Manager) *engine.Client {
	t.Helper()
	endpoint, err := m.endpoint("")
	check(t, err)
	api, err := m.engine(endpoint)
	check(t, err)
	t.Cleanup(func() { api.Close() })
	return api
}

// TestRealPullOffline has the image here and its registry away: nobody waits.
func TestRealPullOffline(t *testing.T) {
	m, ctx := real(t), limited(t)
	f := startFaulty(t, answer(503, "x"))
	api := realEngine(t, m)
	_, err := api.ImageTag(ctx, engine.ImageTagOptions{Source: defaultImage, Target: f.image})
	check(t, err)
	t.Cleanup(func() { api.ImageRemove(context.Background(), f.image, engine.ImageRemoveOptions{}) })
	told := &lines{}
	m.host.Stderr = told
	start := time.Now()
	b, err := m.Ensure(ctx, Spec{Driver: DockerContainer, DriverOpts: map[string]string{"network": "host", "image": f.image}}, newState(t, m))
	check(t, err)
	defer b.Close()
	if took := time.Since(start); took > 20*time.Second || strings.Contains(told.String(), "again in") {
		t.Errorf("took %s:\n%s", took, told)
	}
	if !strings.Contains(told.String(), "as it is here, since the pull failed") {
		t.Errorf("told %s", told)
	}
	if f.asked.Load() == 0 {
		t.Error("the registry was not asked")
	}
}

// TestRealPrefetch has two that want an image at the same time, and one that
// ends before it is there.
func TestRealPrefetch(t *testing.T) {
	m, ctx := real(t), limited(t)
	started, release := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	f := startFaulty(t, func(_ int32, _ http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1) == 1 {
			close(started)
			<-release
		}
		return false
	})
	api := realEngine(t, m)
	t.Cleanup(func() { api.ImageRemove(context.Background(), f.image, engine.ImageRemoveOptions{}) })
	spec := Spec{BinfmtImage: f.image}
	stop := m.beside(ctx, spec)
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was pulled")
	}
	var eg errgroup.Group
	eg.Go(func() error { return m.pull(ctx, api, f.image) })
	time.Sleep(time.Second) // for it to join
	close(release)
	check(t, eg.Wait())
	stop()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	never := startFaulty(t, func(_ int32, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	stop = m.beside(ctx, Spec{BinfmtImage: never.image})
	stop() // returns, though the registry never answers
}

// TestImageNeeded has what is never worth a pull; what this machine has by itself
// decides the rest.
func TestImageNeeded(t *testing.T) {
	own := Spec{DriverOpts: map[string]string{"image": "registry.lan/builder:1"}}
	for name, tt := range map[string]struct {
		spec Spec
		p    v1.Platform
	}{
		"BuildKit's image brings it": {Spec{}, v1.Platform{OS: "linux", Architecture: "s390x"}},
		"so does a copy":             {Spec{DriverOpts: map[string]string{"image": "r.lan/moby/buildkit:v1@sha256:x"}}, v1.Platform{OS: "linux", Architecture: "s390x"}},
		"native":                     {own, v1.Platform{OS: "linux", Architecture: runtime.GOARCH}},
		"another system":             {own, v1.Platform{OS: "windows", Architecture: "loong64"}},
		"a process":                  {Spec{Driver: Process}, v1.Platform{OS: "linux", Architecture: "loong64"}},
	} {
		if imageNeeded(tt.spec, tt.p) {
			t.Errorf("%s: the image is pulled", name)
		}
	}
}

func TestPasses(t *testing.T) {
	for text, want := range map[string]bool{
		"toomanyrequests: You have reached your unauthenticated pull rate limit": true,
		"received unexpected HTTP status: 502 Bad Gateway":                       true,
		"Get \"https://r/v2/\": net/http: TLS handshake timeout":                 true,
		"read tcp 1.2.3.4:5: read: connection reset by peer":                     true,
		"unexpected EOF": true,
		"Get \"https://r/v2/\": dial tcp: lookup r: Temporary failure in name resolution":             true,
		"Get \"https://r/v2/\": dial tcp: lookup r: no such host":                                     false,
		"manifest for r/x:500 not found: manifest unknown: manifest unknown":                          false,
		"pull access denied for x, repository does not exist or may require 'docker login'":           false,
		"Get \"https://r/v2/\": x509: certificate signed by unknown authority":                        false,
		"Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client":                      false,
		"no matching manifest for linux/amd64 in the manifest list entries":                           false,
		"unknown: repository 5032 is locked":                                                          false,
		"Get \"https://r/v2/\": unauthorized: authentication required, see https://r/errors/503.html": false,
	} {
		if got := passes(errors.New(text)); got != want {
			t.Errorf("%q passes: %t", text, got)
		}
	}
}

func TestPullWait(t *testing.T) {
	p := pullPolicy{base: time.Second, after: 10 * time.Second}
	for _, tt := range []struct {
		try      int
		text     string
		min, max time.Duration
	}{
		{1, "x", time.Second / 2, time.Second},
		{3, "x", 2 * time.Second, 4 * time.Second},
		{1, "toomanyrequests: retry-after: 307.231µs, allowed: 44000/minute", time.Second / 2, time.Second},
		{1, "toomanyrequests: retry-after: 7s", 7 * time.Second, 7 * time.Second},
		{1, "Retry-After 8", 8 * time.Second, 8 * time.Second},
		{1, "retry-after: 1000m", 10 * time.Second, 10 * time.Second},
	} {
		if got := p.wait(tt.try, errors.New(tt.text)); got < tt.min || got > tt.max {
			t.Errorf("try %d, %q: wait %s", tt.try, tt.text, got)
		}
	}
}

func TestErrPull(t *testing.T) {
	err := errPull("x", errors.New("toomanyrequests: You have reached your pull rate limit"))
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(errdefs.Hints(err)[0], "higher limit") {
		t.Errorf("%v, %q", err, errdefs.Hints(err))
	}
}
