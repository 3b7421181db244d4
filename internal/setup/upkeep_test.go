package setup

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// TestSweepBeside has a job that begins while another one looks for orphans: it
// does not wait.
func TestSweepBeside(t *testing.T) {
	m, _ := emptyHost(t)
	var out strings.Builder
	m.host.Stderr = &out
	check(t, os.MkdirAll(m.storeDir(), 0o700))
	other := flock.New(m.storeDir(), flock.SetFlag(os.O_RDONLY))
	check(t, other.Lock())
	defer other.Unlock()
	m.sweepFor(t.Context(), time.Hour, OrphanOptions{DryRun: true})
	if !strings.Contains(out.String(), "skipping the search for orphans: another job is at it") {
		t.Errorf("printed %q", out.String())
	}
}

// TestSweepHangs has an engine that answers, and then hangs: the job goes on.
func TestSweepHangs(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			<-r.Context().Done()
		}
	}))
	defer engine.Close()
	m, _ := emptyHost(t)
	var out strings.Builder
	m.host.Stderr = &out
	m.host.Environ["DOCKER_HOST"] = "tcp://" + engine.Listener.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m.sweepFor(ctx, 200*time.Millisecond, OrphanOptions{DryRun: true})
	if ctx.Err() != nil || !strings.Contains(out.String(), "warning: orphans are left: the search took longer than 200ms") {
		t.Errorf("printed %q", out.String())
	}
	// The lock is given back.
	m.sweepFor(ctx, time.Millisecond, OrphanOptions{DryRun: true})
	if strings.Contains(out.String(), "skipping the search") {
		t.Errorf("printed %q", out.String())
	}
}
