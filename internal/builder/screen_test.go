package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/progress"
)

// screen runs a stream through a session and gives all its text.
func screenedText(t *testing.T, s Session, news ...*client.SolveStatus) (logs string, rest []string) {
	t.Helper()
	status := make(chan *client.SolveStatus)
	go func() {
		defer close(status)
		for _, n := range news {
			status <- n
		}
	}()
	var b strings.Builder
	for st := range s.screened(status) {
		for _, v := range st.Vertexes {
			rest = append(rest, v.Name, v.Error)
		}
		for _, s := range st.Statuses {
			rest = append(rest, s.ID, s.Name)
		}
		for _, w := range st.Warnings {
			rest = append(rest, string(w.Short))
			for _, d := range w.Detail {
				rest = append(rest, string(d))
			}
		}
		for _, l := range st.Logs {
			b.Write(l.Data)
		}
	}
	return b.String(), rest
}

func TestScreenHidesSecrets(t *testing.T) {
	secrets := new(ci.Secrets)
	secrets.Add("hunter22")
	step, now := digest.FromString("a"), time.Now()
	log := func(stream int, text string) *client.SolveStatus {
		return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: step, Stream: stream, Data: []byte(text), Timestamp: now}}}
	}
	path := filepath.Join(t.TempDir(), "build.log")
	kept, err := progress.NewLogs(path, ci.SanitizeFile)
	if err != nil {
		t.Fatal(err)
	}
	logs, rest := screenedText(t, Session{Secrecy: secrets, Logs: kept},
		&client.SolveStatus{
			Vertexes: []*client.Vertex{{Digest: step, Name: "RUN x hunter22", Error: "hunter22 failed", Started: &now}},
			Statuses: []*client.VertexStatus{{ID: "hunter22", Name: "aHVudGVyMjI="}},
			Warnings: []*client.VertexWarning{{Short: []byte("a hunter22"), Detail: [][]byte{[]byte("b hunter22")}}},
		},
		log(1, "one hun"), log(2, "other\n"), log(1, "ter22 two\n"), log(1, "last hunt"),
		&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: step, Name: "x", Started: &now, Completed: &now}}},
	)
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	// What may begin a secret waits for what comes after, on its own stream.
	if want := "one other\n*** two\nlast hunt"; logs != want {
		t.Errorf("logs %q, want %q", logs, want)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(rest, string(file)) {
		if strings.Contains(text, "hunter22") || strings.Contains(text, "aHVudGVyMjI") {
			t.Errorf("%q shows the secret", text)
		}
	}
	if !strings.Contains(string(file), "*** two") || !strings.Contains(string(file), "last hunt") {
		t.Errorf("the file lacks text: %s", file)
	}
}

// A stream that breaks off loses nothing of what was held back.
func TestScreenGivesTheRest(t *testing.T) {
	secrets := new(ci.Secrets)
	secrets.Add("hunter22")
	logs, _ := screenedText(t, Session{Secrecy: secrets}, &client.SolveStatus{
		Logs: []*client.VertexLog{{Vertex: digest.FromString("a"), Stream: 1, Data: []byte("x hunt")}, {Vertex: digest.FromString("b"), Stream: 1, Data: []byte("")}},
	})
	if logs != "x hunt" {
		t.Errorf("logs %q", logs)
	}
}

// A live display draws a step's text on the terminal as it comes.
func TestScreenTamesForTerminals(t *testing.T) {
	const hostile = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b]0;title\x1b\\10%\r20%\u009b1m\n"
	step := digest.FromString("a")
	news := func() *client.SolveStatus {
		return &client.SolveStatus{
			Vertexes: []*client.Vertex{{Digest: step, Name: "RUN " + hostile}},
			Statuses: []*client.VertexStatus{{ID: hostile}},
			Warnings: []*client.VertexWarning{{Short: []byte(hostile)}},
			Logs:     []*client.VertexLog{{Vertex: step, Data: []byte(hostile[:5])}, {Vertex: step, Data: []byte(hostile[5:])}},
		}
	}
	logs, rest := screenedText(t, Session{Display: progress.TTY}, news())
	if logs != "10%\r20%\n" {
		t.Errorf("logs %q", logs)
	}
	for _, text := range rest {
		if strings.ContainsAny(text, "\x1b\u009b\x07\r") {
			t.Errorf("%q commands the terminal", text)
		}
	}
	// Elsewhere the log's own writer does that, with the CI system's rules.
	if logs, _ := screenedText(t, Session{}, news()); logs != hostile {
		t.Errorf("without a terminal: %q", logs)
	}
}
