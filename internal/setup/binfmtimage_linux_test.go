package setup

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// canceling is the engine, which has a run canceled when it is asked to make
// something, and makes that a while later, whether its client still waits or not.
func canceling(t *testing.T, m *Manager, cancel context.CancelFunc) *httptest.Server {
	t.Helper()
	const later = 300 * time.Millisecond
	proxy := engineProxy(t, m)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/create") {
			proxy.ServeHTTP(w, r)
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		cancel()
		time.Sleep(later)
		ctx, done := context.WithTimeout(context.Background(), createLimit)
		defer done()
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(raw))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestRealCanceledCreate has runs that are canceled while the engine makes a
// container or a volume for them: it is known of until it is removed.
func TestRealCanceledCreate(t *testing.T) {
	for title, create := range map[string]func(context.Context, *imageRunner, *engine.Client) error{
		"container": func(ctx context.Context, r *imageRunner, _ *engine.Client) error {
			_, err := r.run(ctx)
			return err
		},
		"volume": func(ctx context.Context, r *imageRunner, api *engine.Client) error {
			if err := r.leaseImage(ctx, api, binfmt.Name("pdp11"), r.image); err != nil {
				return err
			}
			return ctx.Err()
		},
	} {
		t.Run(title, func(t *testing.T) {
			m := real(t)
			state := newState(t, m)
			ctx, cancel := context.WithCancel(limited(t))
			proxy := canceling(t, m, cancel)
			r := &imageRunner{m: m, endpoint: "tcp://" + proxy.Listener.Addr().String(), image: DefaultBinfmtImage, state: state}
			api, err := m.engine(r.endpoint)
			check(t, err)
			defer api.Close()
			if err := create(ctx, r, api); err == nil {
				t.Error("it was not canceled")
			}
			check(t, m.undo(limited(t), state, 0))
			proxy.Close() // waits for what is under way
			noBuilder(t, m, "none", state.nonce())
		})
	}
}
