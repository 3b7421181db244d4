package progress

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

func vertex(name string, cached bool, err string) *client.Vertex {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end := start.Add(time.Second)
	return &client.Vertex{Digest: digest.FromString(name), Name: name, Started: &start, Completed: &end, Cached: cached, Error: err}
}

func TestShow(t *testing.T) {
	status := make(chan *client.SolveStatus)
	go func() {
		defer close(status)
		status <- &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString("[2/2] RUN make"), Name: "[2/2] RUN make"}}}
		status <- &client.SolveStatus{Vertexes: []*client.Vertex{
			vertex("[internal] load build context", true, ""),
			vertex("[1/2] FROM alpine:3", true, ""),
			vertex("[2/2] RUN make", false, ""),
			vertex("[linux/arm64 build 2/5] COPY . .", true, ""),
			vertex("exporting cache to registry", false, "403 Forbidden"),
		}}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a canceled build is still shown to its end
	var out bytes.Buffer
	got, err := Show(ctx, &out, Plain, status)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "[2/2] RUN make") {
		t.Errorf("the step is not shown:\n%s", out.String())
	}
	if cached, total := got.Cached(); cached != 1 || total != 2 {
		t.Errorf("%d of %d cached, want 1 of 2", cached, total)
	}
	if len(got.Steps) != 5 || got.Steps[0].Name != "[2/2] RUN make" || got.Steps[0].Duration() != time.Second {
		t.Errorf("steps %+v", got.Steps)
	}
	if got, want := got.CacheExportError(), "exporting cache to registry: 403 Forbidden"; got != want {
		t.Errorf("cache export: %q, want %q", got, want)
	}
	if slow := got.Slowest(1); len(slow) != 1 {
		t.Errorf("slowest %+v", slow)
	}
}
