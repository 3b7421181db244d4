package ci_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/ci"
)

// counter takes any amount of text and remembers how much, and its end.
type counter struct {
	bytes int
	end   []byte
}

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.end = append(c.end, p...)
	c.end = c.end[max(0, len(c.end)-64):]
	return len(p), nil
}

// TestForeignTextIsBounded: whatever a build prints, on every system little of
// it is in memory at one time.
func TestForeignTextIsBounded(t *testing.T) {
	const most = 8 << 20
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	lines := bytes.Repeat([]byte("eighty columns of a log's line are what most programs print at most, about so\n"), 400)
	for _, c := range []struct {
		name, system string
		chunk        []byte
		size         int
	}{
		{"one line", "git", chunk, 50 << 20},
		{"one line", "github", chunk, 512 << 20},
		{"one line", "buildkite", chunk, 16 << 20},
		{"many lines", "git", lines, 16 << 20},
		{"invalid", "git", bytes.Repeat([]byte("\xff\x1b]"), 10<<10), 16 << 20},
	} {
		t.Run(c.name+" on "+c.system, func(t *testing.T) {
			var out counter
			secrets := new(ci.Secrets)
			secrets.Add("hunter22-in-a-log")
			redactor := secrets.Writer(&out)
			w, err := ci.Foreign(on(t, c.system).Provider, redactor)
			if err != nil {
				t.Fatal(err)
			}
			before := heap()
			var peak uint64
			for n := 0; n < c.size; n += len(c.chunk) {
				if _, err := w.Write(c.chunk); err != nil {
					t.Fatal(err)
				}
				if n%(c.size/4) < len(c.chunk) {
					peak = max(peak, heap())
				}
			}
			io.WriteString(w, "\nlast\n")
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := redactor.Flush(); err != nil {
				t.Fatal(err)
			}
			if peak > before+most {
				t.Errorf("%d KiB more in memory", (peak-before)>>10)
			}
			if !strings.Contains(string(out.end), "\nlast\n") {
				t.Errorf("ends with %q", out.end)
			}
			if c.name == "one line" && out.bytes > 70<<10 || c.name == "many lines" && out.bytes < c.size {
				t.Errorf("%d bytes are left of %d", out.bytes, c.size)
			}
		})
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSanitizeFileKeepsLongLines(t *testing.T) {
	var out counter
	w := ci.SanitizeFile(&out)
	for range 1 << 10 {
		io.WriteString(w, strings.Repeat("x", 1<<10))
	}
	io.WriteString(w, "\r\n::error::y")
	w.Close()
	if out.bytes != 1<<20+len("\n: :error::y") {
		t.Errorf("%d bytes", out.bytes)
	}
}

func TestSanitizeTerminal(t *testing.T) {
	var b strings.Builder
	w := ci.SanitizeTerminal(&b)
	io.WriteString(w, "10%\r20%\x1b]52;c;x\x07\x1b[2J\r\n")
	w.Close()
	if got, want := b.String(), "10%\r20%\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
