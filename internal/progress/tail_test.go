package progress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

func TestFailedLog(t *testing.T) {
	now := time.Now()
	ok, stopped, failed := digest.FromString("ok"), digest.FromString("stopped"), digest.FromString("failed")
	log := func(step digest.Digest, text string) *client.VertexLog {
		return &client.VertexLog{Vertex: step, Data: []byte(text)}
	}
	rec := recorder{index: map[digest.Digest]int{}, tails: tails{}}
	rec.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: ok}, {Digest: stopped}, {Digest: failed}}})
	rec.add(&client.SolveStatus{Logs: []*client.VertexLog{
		log(ok, "fine\n"), log(stopped, "working\n"), log(failed, "one\r\ntwo\n 10%\r 20%\r100%\n"),
	}})
	rec.add(&client.SolveStatus{
		Vertexes: []*client.Vertex{
			{Digest: ok, Started: &now, Completed: &now},
			{Digest: stopped, Started: &now, Completed: &now, Error: "process \"x\" did not complete successfully: context canceled"},
			{Digest: failed, Started: &now, Completed: &now, Error: "exit code: 1"},
		},
	})
	// The last words may come after the end.
	rec.add(&client.SolveStatus{Logs: []*client.VertexLog{log(failed, "no such"), log(failed, " file\xff")}})

	for n, want := range map[int]string{
		1:  "no such file\uFFFD\n",
		2:  "100%\nno such file\uFFFD\n",
		20: "one\ntwo\n100%\nno such file\uFFFD\n",
	} {
		if got := rec.summary.FailedLog(n); got != want {
			t.Errorf("the last %d: %q, want %q", n, got, want)
		}
	}
	if rec.summary.Steps[0].Last != nil {
		t.Errorf("a step that went well is remembered: %q", rec.summary.Steps[0].Last)
	}
	if got := (Summary{}).FailedLog(9); got != "" {
		t.Errorf("where nothing failed: %q", got)
	}
}

func TestTailIsBounded(t *testing.T) {
	var tl tail
	for i := range 10000 {
		tl.write([]byte(strings.Repeat("x", 1<<10)))
		if i%100 == 0 {
			fmt.Fprintf(writer(tl.write), "\nline %d\n", i)
		}
	}
	size := len(tl.line)
	for _, line := range tl.lines {
		size += len(line)
	}
	if len(tl.lines) != tailLines || size > (tailLines+1)*tailWidth {
		t.Errorf("%d lines, %d bytes", len(tl.lines), size)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
