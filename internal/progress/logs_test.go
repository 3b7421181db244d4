package progress

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// noEscape is a cleaner as NewLogs takes one.
func noEscape(w io.Writer) io.WriteCloser { return &dropper{w} }

type dropper struct{ w io.Writer }

func (d *dropper) Write(p []byte) (int, error) {
	_, err := io.WriteString(d.w, strings.NewReplacer("\x1b", "", "\r", "").Replace(string(p)))
	return len(p), err
}

func (d *dropper) Close() error { return nil }

// twoSteps is a build of which two steps print in turn, one of them a word
// after its end.
func twoSteps(l *Logs) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end := start.Add(1500 * time.Millisecond)
	load, a, b := digest.FromString("load"), digest.FromString("a"), digest.FromString("b")
	log := func(step digest.Digest, text string) *client.VertexLog {
		return &client.VertexLog{Vertex: step, Data: []byte(text), Timestamp: start.Add(250 * time.Millisecond)}
	}
	l.Add(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: load, Name: "[internal] load", Started: &start, Completed: &end},
		{Digest: a, Name: "[linux/arm64 2/3] RUN \x1b[1m../x", Started: &start},
		{Digest: b, Name: "[3/3] COPY . .", Cached: true, Started: &start, Completed: &start},
	}})
	l.Add(&client.SolveStatus{Logs: []*client.VertexLog{log(a, "one\r\ntw"), log(b, "other\n")}})
	l.Add(&client.SolveStatus{Logs: []*client.VertexLog{log(a, "o\n\nno end")}})
	l.Add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: a, Name: "[linux/arm64 2/3] RUN \x1b[1m../x", Started: &start, Completed: &end, Error: "exit\ncode: 1"}}})
	l.Add(&client.SolveStatus{Logs: []*client.VertexLog{log(a, "late\n")}})
}

func TestLogsInOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build.log")
	l, err := NewLogs(path, noEscape)
	if err != nil {
		t.Fatal(err)
	}
	twoSteps(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := `#1 [internal] load
#1 DONE 1.5s
#3 [3/3] COPY . .
#3 CACHED
#2 [linux/arm64 2/3] RUN [1m../x
#2 0.250 one
#3 0.250 other
#2 0.250 two
#2 0.250 
#2 0.250 no end
#2 ERROR: exit code: 1
#2 0.250 late
`
	if diff := cmp.Diff(want, readFile(t, path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLogsInAFileAStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs") + "/"
	l, err := NewLogs(dir, noEscape)
	if err != nil {
		t.Fatal(err)
	}
	twoSteps(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	want := map[string]string{
		"002-linux_arm64_2_3__RUN___1m.._x.log": "# [linux/arm64 2/3] RUN [1m../x\none\ntwo\n\nno end\n# ERROR: exit code: 1\nlate\n",
		"003-3_3__COPY.log":                     "# [3/3] COPY . .\nother\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A line without an end is written in pieces, so that it is not held whole.
func TestLogsHoldNoLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build.log")
	l, err := NewLogs(path, noEscape)
	if err != nil {
		t.Fatal(err)
	}
	id := digest.FromString("a")
	for range 100 {
		l.Add(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: id, Data: []byte(strings.Repeat("x", 10<<10))}}})
		if held := len(l.steps[id].line); held >= longestLine {
			t.Fatalf("%d bytes are held", held)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(readFile(t, path), "x"); n != 1000<<10 {
		t.Errorf("%d bytes of the line are there", n)
	}
}

func TestLogsAreNotWrittenThroughALink(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := filepath.Join(dir, "steps")
	if err := os.Mkdir(steps, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{filepath.Join(dir, "build.log"), filepath.Join(steps, "002-linux_arm64_2_3__RUN___1m.._x.log")} {
		if err := os.Symlink(other, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "build.log"), steps} {
		l, err := NewLogs(path, noEscape)
		if err != nil {
			t.Fatal(err)
		}
		twoSteps(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, other); got != "kept" {
		t.Errorf("written through the link: %q", got)
	}
}

func TestLogsFail(t *testing.T) {
	if _, err := NewLogs(filepath.Join(t.TempDir(), "no", "such", "file"), noEscape); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	l, err := NewLogs(filepath.Join(t.TempDir(), "build.log"), noEscape)
	if err != nil {
		t.Fatal(err)
	}
	l.file.Close() // as a disk that goes away
	twoSteps(l)
	if err := l.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestLogsSayThatTheBuilderClips(t *testing.T) {
	l, err := NewLogs(filepath.Join(t.TempDir(), "build.log"), noEscape)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	twoSteps(l)
	if l.Clipped() {
		t.Error("clipped, where nothing was")
	}
	l.Add(&client.SolveStatus{Logs: []*client.VertexLog{{Data: []byte("x\n[output clipped, log limit 2MiB reached]\n")}}})
	if !l.Clipped() || (*Logs)(nil).Clipped() {
		t.Error("not clipped")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
