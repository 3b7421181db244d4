package builder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// pushAnswers are what engine 20.10 answers to a push, by the repository: as it
// went well, as it was refused, and cut off.
var pushAnswers = map[string]string{
	"good": `{"status":"The push refers to repository [%[1]s/good]"}
{"status":"Preparing","progressDetail":{},"id":"c65ac2efc45c"}
{"status":"Pushing","progressDetail":{"current":2048,"total":145},"progress":"[=>] 2.048kB","id":"c65ac2efc45c"}
{"status":"Layer already exists","progressDetail":{},"id":"d64d5d44686f"}
{"status":"Pushed","progressDetail":{},"id":"c65ac2efc45c"}
{"status":"1: digest: sha256:2222222222222222222222222222222222222222222222222222222222222222 size: 942"}
{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","Size":942}}
`,
	"denied": `{"status":"The push refers to repository [%[1]s/denied]"}
{"status":"Pushing","progressDetail":{"current":512},"id":"c65ac2efc45c"}
{"errorDetail":{"message":"denied: requested access to the resource is denied"},"error":"denied: requested access to the resource is denied"}
`,
	"cut": `{"status":"The push refers to repository [%[1]s/cut]"}
`,
}

// servePushes is an engine as far as a push goes. It gives the credentials that
// it is sent.
func servePushes(t *testing.T, host string) (api *engine.Client, logins func() []string) {
	t.Helper()
	sent := make(chan string, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("POST /v1.41/images/", func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Header.Get("X-Registry-Auth") + " " + r.URL.Query().Get("tag")
		for repo, answer := range pushAnswers {
			if strings.Contains(r.URL.Path, "/"+repo+"/push") {
				fmt.Fprintf(w, answer, host)
			}
		}
		if strings.Contains(r.URL.Path, "/hangs/push") {
			fmt.Fprintln(w, `{"status":"Preparing","progressDetail":{},"id":"c65ac2efc45c"}`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	api, err := engine.New(engine.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return api, func() []string {
		close(sent)
		var all []string
		for s := range sent {
			all = append(all, s)
		}
		return all
	}
}

func TestEnginePush(t *testing.T) {
	const digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := server.Listener.Addr().String()
	good := registry.Written{Tag: host + "/good:1", After: digest, Status: "written"}
	for title, tt := range map[string]struct {
		tags []string
		rows []registry.Written
		kind errdefs.Kind
		want string // of the error
	}{
		"all":         {[]string{"good:1", "good:latest"}, []registry.Written{good}, errdefs.Unknown, ""},
		"one refused": {[]string{"good:1", "denied:1"}, []registry.Written{good}, errdefs.Denied, "denied:1"},
		"cut off":     {[]string{"cut:1"}, nil, errdefs.Environment, "tells no digest"},
		"hangs":       {[]string{"hangs:1"}, nil, errdefs.Environment, "hangs:1: no word from the engine for 2s"},
	} {
		t.Run(title, func(t *testing.T) {
			api, logins := servePushes(t, host)
			for i := range tt.tags {
				tt.tags[i] = host + "/" + tt.tags[i]
			}
			first := make(chan struct{})
			push := EnginePush{
				Engine: api, Registry: registry.New(), Now: time.Now, stall: 2 * time.Second,
				Login: func(ctx context.Context, repo name.Repository) (string, error) {
					if strings.HasSuffix(repo.Name(), "denied") { // else the first could be stopped before it is done
						<-first
					}
					return "login-of-" + repo.RepositoryStr(), nil
				},
			}
			var shown bytes.Buffer
			status := newWatchedWriter(&shown, "pushing "+host+"/good:1 with the engine", "DONE", first)
			before := Result{Parts: []Part{{Response: map[string]string{digestKey: "sha256:id"}}}}
			got, rows, err := push.Push(t.Context(), Request{Push: true, Tags: tagsOf(t, tt.tags...)}, before, Session{Progress: status, Display: progress.Plain})
			if diff := cmp.Diff(tt.rows, rows, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if tt.want == "" {
				if err != nil || got.ImageDigest() != digest || got.ImageID() != "sha256:id" {
					t.Errorf("%v, %v", got, err)
				}
				if diff := cmp.Diff([]string{"login-of-good 1"}, logins()); diff != "" {
					t.Errorf("sent: %s", diff)
				}
				for _, want := range []string{"pushing " + host + "/good:1 with the engine", "pushing layer c65ac2efc45c"} {
					if !strings.Contains(shown.String(), want) {
						t.Errorf("%q is not shown:\n%s", want, shown.String())
					}
				}
				return
			}
			if errdefs.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) || got.Digest.Hex != "" {
				t.Errorf("%v (%v), %v", err, errdefs.KindOf(err), got)
			}
			if strings.Contains(shown.String()+err.Error(), "login-of") {
				t.Error("credentials are told")
			}
		})
	}
}

// watchedWriter closes a channel when a text came after another.
type watchedWriter struct {
	*bytes.Buffer
	begin, end string
	seen       chan struct{}
	done       bool
}

func newWatchedWriter(b *bytes.Buffer, begin, end string, seen chan struct{}) *watchedWriter {
	return &watchedWriter{Buffer: b, begin: begin, end: end, seen: seen}
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	_, after, begun := strings.Cut(w.String(), w.begin)
	if !w.done && begun && strings.Contains(after, w.end) {
		w.done = true
		close(w.seen)
	}
	return n, err
}
