package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hullwright/hullwright/internal/registry"
)

// breaker is a proxy to the registry that breaks the connection in uploads.
type breaker struct {
	proxy  httputil.ReverseProxy
	after  int64 // bytes of an upload's request
	breaks int   // how often
	status func(http.Header) error

	mu   sync.Mutex
	sent int64    // bytes of uploads
	puts []string // Content-Range of each upload of a layer
}

func newBreaker(t *testing.T, after int64, breaks int) (*breaker, string) {
	b := &breaker{after: after, breaks: breaks}
	b.proxy.Rewrite = func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: os.Getenv("HULLWRIGHT_TEST_REGISTRY")})
		p.Out.Host = p.In.Host // so that locations lead back through here
	}
	b.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	b.proxy.ModifyResponse = func(resp *http.Response) error {
		if b.status != nil && resp.Request.Method == http.MethodGet && strings.Contains(resp.Request.URL.Path, "/uploads/") {
			return b.status(resp.Header)
		}
		return nil
	}
	b.proxy.ErrorLog = log.New(io.Discard, "", 0)
	server := httptest.NewUnstartedServer(b)
	server.Config.ErrorLog = b.proxy.ErrorLog
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return b, server.Listener.Addr().String()
}

// ServeHTTP implements http.Handler.
func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/") && r.ContentLength > 1<<20 {
		b.mu.Lock()
		b.puts = append(b.puts, r.Header.Get("Content-Range"))
		body := io.Reader(r.Body)
		if b.breaks > 0 {
			b.breaks--
			body = io.MultiReader(io.LimitReader(r.Body, b.after), iotest.ErrReader(errors.New("broken")))
		}
		b.mu.Unlock()
		r.Body = io.NopCloser(io.TeeReader(body, counter{b}))
	}
	b.proxy.ServeHTTP(w, r)
}

// seen is what came so far: the proxy may still read an upload that was answered early.
func (b *breaker) seen() (puts []string, sent int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.puts), b.sent
}

type counter struct{ b *breaker }

func (c counter) Write(p []byte) (int, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.sent += int64(len(p))
	return len(p), nil
}

// bigLayer is an image with one layer of random bytes.
func bigLayer(t *testing.T, size int64) v1.Image {
	t.Helper()
	content := make([]byte, size)
	rand.Read(content)
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(content, types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestUploadsGoOn breaks uploads to the real registry: what it has is not sent again.
func TestUploadsGoOn(t *testing.T) {
	needEnvironment(t)
	const size = 40 << 20
	image := bigLayer(t, size)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	repo := func(host, path string) name.Repository {
		r, err := name.NewRepository(host + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	source := repo(os.Getenv("HULLWRIGHT_TEST_REGISTRY"), unique()+"/from")
	if err := remote.Write(source.Digest(digest.String()), image); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		after  int64
		breaks int
		status func(http.Header) error // changes what the registry says of an upload
		most   int64                   // bytes that are sent, at most
		resume int                     // how many of the uploads go on
		puts   int
	}{
		{name: "unbroken", most: size, puts: 1},
		{name: "once", after: 30 << 20, breaks: 1, most: size + 12<<20, resume: 1, puts: 2},
		{name: "at once", after: 1, breaks: 1, most: size + 1<<20, puts: 2},
		{name: "three times", after: 11 << 20, breaks: 3, most: size + 24<<20, resume: 3, puts: 4},
		{name: "the registry does not tell", after: 30 << 20, breaks: 1, most: size + 32<<20, puts: 2, status: func(h http.Header) error {
			h.Del("Range")
			return nil
		}},
		{name: "the registry is wrong", after: 30 << 20, breaks: 1, most: 2*size + 32<<20, resume: 1, puts: 3, status: func() func(http.Header) error {
			told := false
			return func(h http.Header) error {
				if !told {
					h.Set("Range", "0-1048575")
				}
				told = true
				return nil
			}
		}()},
		{name: "the registry has more than there is", after: 30 << 20, breaks: 1, most: size + 32<<20, puts: 2, status: func(h http.Header) error {
			h.Set("Range", fmt.Sprintf("0-%d", size))
			return nil
		}},
		{name: "the status is lost", after: 30 << 20, breaks: 1, most: size + 32<<20, puts: 2, status: func(http.Header) error { return errors.New("lost") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b, host := newBreaker(t, tt.after, tt.breaks)
			b.status = tt.status
			target := repo(host, unique()+"/to")
			client := registry.New(registry.WithRetry(registry.Retry{Base: 10 * time.Millisecond, Max: 50 * time.Millisecond}), registry.WithRetryLog(func(line string) { t.Log(line) }))
			if err := client.Copy(ctx, source, target, digest); err != nil {
				t.Fatal(err)
			}
			puts, sent := b.seen()
			went := 0
			for _, r := range puts {
				if r != "" {
					went++
				}
			}
			if len(puts) < tt.puts || went < tt.resume || tt.resume == 0 && went > 0 {
				t.Errorf("uploads %q, want %d of which %d go on", puts, tt.puts, tt.resume)
			}
			if sent > tt.most {
				t.Errorf("%d bytes were sent, want %d at most", sent, tt.most)
			}
			layers, err := image.Layers()
			if err != nil {
				t.Fatal(err)
			}
			want, err := layers[0].Digest()
			if err != nil {
				t.Fatal(err)
			}
			got, err := remote.Layer(target.Digest(want.String()))
			if err != nil {
				t.Fatal(err)
			}
			content, err := got.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, content); err != nil { // it compares the digest
				t.Error(err)
			}
			content.Close()
		})
	}
}
