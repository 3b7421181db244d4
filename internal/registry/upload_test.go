package registry

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// resetAfter breaks off what is sent after n bytes.
func resetAfter(n int64) action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		io.CopyN(io.Discard, r.Body, n)
		r.Body = http.NoBody
		reset(w, r, next)
	}
}

// location changes where an upload is to go on.
func location(change func(string) string) action {
	return edit(func(h http.Header, body []byte) []byte {
		if l := h.Get("Location"); l != "" {
			h.Set("Location", change(l))
		}
		return body
	})
}

// drip sends an answer a byte at a time.
func drip(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	for _, b := range rec.Body.Bytes() {
		w.Write([]byte{b})
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// What a registry or the way to it may do to a blob on its way from one registry
// to another.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	const put, uploads, blob = "PUT", "/blobs/uploads/", "/blobs/sha256:"
	for _, tt := range []struct {
		name           string
		source, target []*rule
		retry          Retry
		err            string // none is success
		kind           errdefs.Kind
		atLeast        time.Duration
		puts           int // of blobs; 3 without a fault
	}{
		{name: "nothing", puts: 3},
		{name: "500 and 502 and 504 to POST", target: []*rule{{method: "POST", count: 1, action: status(500, "")}, {method: "POST", count: 1, action: status(502, "")}, {method: "POST", count: 1, action: status(504, "")}}, puts: 3},
		{name: "500 and 502 and 504 to PUT", target: []*rule{{method: put, path: uploads, count: 1, action: status(500, "")}, {method: put, path: uploads, count: 1, action: status(502, "")}, {method: put, path: uploads, count: 1, action: status(504, "")}}, puts: 6},
		{name: "429 with seconds", target: []*rule{{method: put, path: uploads, count: 1, action: status(429, "", "Retry-After", "1")}}, atLeast: time.Second, puts: 4},
		{name: "503 for ever", target: []*rule{{method: put, path: uploads, action: status(503, "")}}, retry: Retry{Tries: 3}, err: "gave up after 3 tries in ", kind: errdefs.Environment},
		{name: "reset in the middle, once", target: []*rule{{method: put, path: uploads, count: 1, action: resetAfter(100 << 10)}}, puts: 4},
		{name: "reset in the middle, three times", target: []*rule{{method: put, path: uploads, count: 3, action: resetAfter(100 << 10)}}, puts: 6},
		{name: "answer lost", target: []*rule{{method: put, path: uploads, count: 1, action: lostAnswer}}, puts: 3},
		{name: "upload forgotten", target: []*rule{{method: put, path: uploads, count: 1, action: status(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)}}, puts: 4},
		{name: "upload forgotten for ever", target: []*rule{{method: put, path: uploads, action: status(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)}}, retry: Retry{Tries: 3}, err: "registry says: BLOB_UPLOAD_UNKNOWN", kind: errdefs.Environment},
		{name: "416 with a range", target: []*rule{{method: put, path: uploads, count: 1, action: status(416, "", "Range", "0-1023")}}, puts: 4},
		{name: "least length of a chunk", target: []*rule{{method: "POST", action: with("OCI-Chunk-Min-Length", "16777216")}}, puts: 3},
		{name: "POST without Location", target: []*rule{{method: "POST", action: without("Location")}}, err: "without a Location", kind: errdefs.Environment},
		{name: "Location relative", target: []*rule{{method: "POST", action: location(func(l string) string { return regexp.MustCompile(`^https?://[^/]+`).ReplaceAllString(l, "") })}}, puts: 3},
		{name: "Location with a query", target: []*rule{{method: "POST", action: location(func(l string) string { return l + "?_state=a%2Fb" })}}, puts: 3},
		{name: "Location by plain http elsewhere", target: []*rule{{method: "POST", action: location(func(string) string { return "http://storage.test/x" })}},
			err: "wants a blob sent by plain http to storage.test", kind: errdefs.Denied},
		{name: "413", target: []*rule{{method: put, path: uploads, action: status(413, `too large`)}}, err: "413 Request Entity Too Large: too large", kind: errdefs.Environment},
		{name: "disk full", target: []*rule{{method: put, path: uploads, action: status(500, `{"errors":[{"code":"UNKNOWN","message":"no space left on device"}]}`)}}, retry: Retry{Tries: 2}, err: "registry says: UNKNOWN: no space left on device", kind: errdefs.Environment},
		{name: "denied", target: []*rule{{method: "POST", action: status(403, `{"errors":[{"code":"DENIED"}]}`)}}, err: "(asked for repository:app:pull,push)", kind: errdefs.Denied},
		{name: "HEAD 405", target: []*rule{{method: "HEAD", action: status(405, "")}}, source: []*rule{{method: "HEAD", action: status(405, "")}}, puts: 3},
		{name: "blob truncated", source: []*rule{{method: "GET", path: blob, count: 1, action: edit(truncate)}}, puts: 4},
		{name: "blob corrupted", source: []*rule{{method: "GET", path: blob, action: edit(corrupt)}}, err: "registry sent a blob with digest sha256:", kind: errdefs.Environment},
		{name: "blob that drips", source: []*rule{{method: "GET", path: blob, count: 1, action: drip}}, retry: Retry{Stall: time.Second}, puts: 4, atLeast: time.Second},
		{name: "blob that always drips", source: []*rule{{method: "GET", path: blob, action: drip}}, retry: Retry{Stall: 100 * time.Millisecond, Tries: 2}, err: "stalled: less than 1024 bytes in 100ms", kind: errdefs.Environment},
		{name: "registry that takes nothing", target: []*rule{{method: put, path: uploads, count: 1, action: hold(3 * time.Second)}}, retry: Retry{Stall: time.Second}, puts: 4},
		{name: "manifest PUT 400 MANIFEST_BLOB_UNKNOWN", target: []*rule{{method: put, path: "/manifests/", action: status(400, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`)}}, err: "MANIFEST_BLOB_UNKNOWN", kind: errdefs.Environment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source, target := newPeer(t, tt.source...), newPeer(t, tt.target...)
			image := bigImage(t)
			digest := source.seed("app", image)
			retry := tt.retry
			retry.Base, retry.Max = quick.Base, quick.Max
			began := time.Now()
			err := newClient(t, WithRetry(retry)).Copy(deadline(t), source.repo("app"), target.repo("app"), digest)
			took := time.Since(began)
			checkError(t, err, tt.err)
			if err != nil && errdefs.KindOf(err) != tt.kind {
				t.Errorf("kind %v, want %v", errdefs.KindOf(err), tt.kind)
			}
			if puts := len(target.requests("^PUT .*/blobs/")); tt.err == "" && puts != tt.puts {
				t.Errorf("%d uploads, want %d: %q", puts, tt.puts, target.requests(""))
			}
			if took < tt.atLeast {
				t.Errorf("took %s, want at least %s", took, tt.atLeast)
			}
			if tt.err == "" {
				target.checkWhole("app", digest)
			}
		})
	}
}

// bigImage is an index of one image whose one layer does not fit into the buffers
// of a connection.
func bigImage(t *testing.T) v1.ImageIndex {
	t.Helper()
	content := make([]byte, 8<<20)
	rand.Read(content)
	image, err := mutate.AppendLayers(testImage(t, v1.Platform{OS: "linux", Architecture: "amd64"}), static.NewLayer(content, types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	// one layer, beside the config and the small one
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.AppendLayers(empty.Image, layers[len(layers)-1], layers[0])
	if err != nil {
		t.Fatal(err)
	}
	return mutate.AppendManifests(testIndex(t), mutate.IndexAddendum{Add: image})
}

// checkWhole holds all of an index, behind the faults, against its digests.
func (p *peer) checkWhole(path string, digest v1.Hash) {
	p.t.Helper()
	index, err := remote.Index(mustRepo(p.t, p.good.Listener.Addr().String()+"/"+path).Digest(digest.String()))
	if err != nil {
		p.t.Error(err)
		return
	}
	if err := validate.Index(index, validate.Fast); err != nil {
		p.t.Error(err)
	}
}

// An upload that a registry sends elsewhere goes there without the token.
func TestUploadElsewhere(t *testing.T) {
	t.Parallel()
	var header atomic.Value
	storage := newPeer(t)
	d := &door{}
	target := newPeer(t, &rule{action: d.serve})
	storage.rules = []*rule{{action: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		header.Store(r.Header.Get("Authorization"))
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/elsewhere")
		forward(w, r, target.good.URL)
	}}}
	target.rules = append([]*rule{{method: "POST", action: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		location(func(l string) string {
			return storage.server.URL + "/elsewhere" + l[strings.Index(l, "/v2/"):]
		})(w, r, next)
	}}}, target.rules...)
	source := newPeer(t)
	digest := source.seed("app", testIndex(t, "linux/amd64"))
	if err := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password}))).
		Copy(deadline(t), source.repo("app"), target.repo("app"), digest); err != nil {
		t.Fatal(err)
	}
	if got, ok := header.Load().(string); !ok || got != "" {
		t.Errorf("Authorization at the storage: %q, asked %v", got, ok)
	}
	target.checkWhole("app", digest)
}

func forward(w http.ResponseWriter, r *http.Request, base string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	req, err := http.NewRequest(r.Method, base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
}

// A token that runs out while a blob is sent is got anew, once.
func TestUploadTokenRunsOut(t *testing.T) {
	t.Parallel()
	d := &door{}
	source := newPeer(t)
	target := newPeer(t, &rule{method: "PUT", path: "/uploads/", count: 1, action: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		d.mu.Lock()
		d.valid = nil
		d.mu.Unlock()
		d.refuse(w, r)
	}}, &rule{action: d.serve})
	digest := source.seed("app", testIndex(t, "linux/amd64"))
	if err := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password}))).
		Copy(deadline(t), source.repo("app"), target.repo("app"), digest); err != nil {
		t.Fatal(err)
	}
	target.checkWhole("app", digest)
}

// Within one registry a blob is mounted, and sent where that is refused.
func TestCopyMounts(t *testing.T) {
	t.Parallel()
	for _, refuse := range []bool{false, true} {
		p := newPeer(t)
		if refuse {
			p.rules = []*rule{{method: "POST", action: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Query().Has("mount") {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				next.ServeHTTP(w, r)
			}}}
		}
		digest := p.seed("app", testIndex(t, "linux/amd64"))
		if err := newClient(t).Copy(deadline(t), p.repo("app"), p.repo("mirror"), digest); err != nil {
			t.Fatal(err)
		}
		p.checkWhole("mirror", digest)
	}
}

// A copy that is told to stop ends.
func TestCopyCanceled(t *testing.T) {
	t.Parallel()
	source, target := newPeer(t), newPeer(t, &rule{method: "PUT", path: "/uploads/", action: hold(time.Second)})
	digest := source.seed("app", testIndex(t, "linux/amd64"))
	ctx, cancel := contextWhen(t, func() bool { return len(target.requests("^PUT")) > 0 })
	defer cancel()
	began := time.Now()
	err := newClient(t).Copy(ctx, source.repo("app"), target.repo("app"), digest)
	if errdefs.KindOf(err) != errdefs.Canceled || time.Since(began) > 2*time.Second {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
}
