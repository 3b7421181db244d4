package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// tarHeader is the one block that says what comes next in a tar.
func tarHeader(t *testing.T, name string, flag byte, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	block := b.Bytes()
	block[156] = flag
	copy(block[148:156], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// padded is content as a tar has it, in blocks.
func padded(content string) []byte {
	return append([]byte(content), make([]byte, -len(content)&511)...)
}

// records are those of an extended header, key and value in turn.
func records(pairs ...string) string {
	var out string
	for i := 0; i+1 < len(pairs); i += 2 {
		body := fmt.Sprintf(" %s=%s\n", pairs[i], pairs[i+1])
		n := len(body) + len(fmt.Sprint(len(body)+3))
		out += fmt.Sprintf("%d%s", n, body)
	}
	return out
}

func extended(t *testing.T, flag byte, content string) []byte {
	t.Helper()
	return append(tarHeader(t, "extended", flag, int64(len(content))), padded(content)...)
}

// TestContextTar is what a tar on standard input is refused for, and what not.
func TestContextTar(t *testing.T) {
	const tera = 1_000_000_000_000
	end := make([]byte, 1024)
	file := append(tarHeader(t, "Dockerfile", tar.TypeReg, 12), padded("FROM scratch")...)
	plain := append(bytes.Clone(file), end...)
	sparse := func(size int64) []byte {
		x := extended(t, tar.TypeXHeader, records("GNU.sparse.size", fmt.Sprint(size), "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,4"))
		return bytes.Join([][]byte{file, x, tarHeader(t, "hole", tar.TypeReg, 4), padded("data"), end}, nil)
	}
	huge := tarHeader(t, "big", tar.TypeReg, tera)
	times := extended(t, tar.TypeXHeader, records("mtime", "1795346972.762025926"))
	long := extended(t, tar.TypeGNULongName, strings.Repeat("n", 150)+"\x00")
	many := bytes.Repeat(tarHeader(t, "empty", tar.TypeReg, 0), 100_000)
	for _, c := range []struct {
		title string
		tar   []byte
		fault string
		hint  string
	}{
		{title: "plain", tar: plain},
		{title: "without an end", tar: file},
		{title: "times before the first entry", tar: bytes.Join([][]byte{times, plain}, nil)},
		{title: "a long name before the first entry", tar: bytes.Join([][]byte{long, plain}, nil)},
		{title: "a commit before the first entry", tar: bytes.Join([][]byte{extended(t, tar.TypeXGlobalHeader, records("comment", strings.Repeat("a", 40))), plain}, nil)},
		{title: "many files", tar: bytes.Join([][]byte{many, plain}, nil)},
		{title: "a sparse file", tar: sparse(maxHoles)},
		{title: "a sparse file of a terabyte", tar: sparse(tera), fault: `its sparse file "hole" makes it more than 16 GiB longer`, hint: "leave the file out"},
		{title: "sparse files whose sum overflows", tar: bytes.Join([][]byte{sparse(1 << 33)[:3072], sparse(1<<63 - 1)}, nil), fault: "more than 16 GiB longer"},
		{title: "a sparse file as GNU had them", tar: bytes.Join([][]byte{file, tarHeader(t, "hole", tar.TypeGNUSparse, 0), end}, nil), fault: `a sparse file, "hole", which builders do not unpack`, hint: "without --sparse"},
		{title: "a header of a terabyte", tar: bytes.Join([][]byte{file, huge, padded("x")}, nil), fault: `cut short: entry "big" has 1000000000000 bytes by its header, and 512 are there`, hint: "the program that wrote it"},
		{title: "a header of a terabyte first", tar: bytes.Join([][]byte{huge, padded("x")}, nil), fault: `cut short: entry "big"`},
		{title: "cut in a file", tar: file[:512+5], fault: `cut short: entry "Dockerfile" has 12 bytes by its header, and 5 are there`},
		{title: "cut in a header", tar: append(bytes.Clone(file), huge[:100]...), fault: `after entry "Dockerfile": unexpected EOF`, hint: "the program that wrote it"},
		{title: "no header after a file", tar: bytes.Join([][]byte{file, padded("no header"), end}, nil), fault: `after entry "Dockerfile": archive/tar: invalid tar header`},
	} {
		t.Run(c.title, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			in, err := openInputs(t.Context(), Plan{Solves: []Solve{{Stdin: stdinContext, FrontendAttrs: map[string]string{"filename": "Dockerfile"}}}}, Session{Stdin: bytes.NewReader(c.tar)})
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) || !strings.Contains(err.Error(), `input "context"`) || errdefs.KindOf(err) != errdefs.BadInput {
					t.Errorf("%v, want a bad input with %q", err, c.fault)
				}
				if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, c.hint) {
					t.Errorf("hints %q", hints)
				}
				nothingIn(t, tmp)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kept, err := os.ReadFile(in.tar)
			if err != nil {
				t.Fatal(err)
			}
			// What a daemon looks at must say to it that this is a tar.
			if !isArchive(kept[:min(len(kept), headSize)]) || !bytes.HasSuffix(kept, c.tar) {
				t.Errorf("%d bytes are kept of %d", len(kept), len(c.tar))
			}
			if err := in.close(); err != nil {
				t.Fatal(err)
			}
			nothingIn(t, tmp)
		})
	}
}

// A stream that neither goes on nor ends is left when the run is told to stop,
// and so is one that never ends.
func TestStandardInputInterrupted(t *testing.T) {
	head := tarHeader(t, "endless", tar.TypeReg, 1<<40)
	silent, w := io.Pipe()
	defer w.Close()
	for _, c := range []struct {
		title, head string
		rest        io.Reader
		kinds       []string
	}{
		{"nothing", "", silent, []string{stdinContext, stdinDockerfile}},
		{"a head", string(head), silent, []string{stdinContext, stdinDockerfile}},
		{"an endless tar", string(head), slow{}, []string{stdinContext}}, // a Dockerfile has its bound
	} {
		for _, kind := range c.kinds {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			stdin := io.MultiReader(strings.NewReader(c.head), c.rest)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := openInputs(ctx, Plan{Solves: []Solve{{Stdin: kind, FrontendAttrs: map[string]string{"filename": "Dockerfile"}}}}, Session{Stdin: stdin})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s as %s: %v", c.title, kind, err)
			}
			nothingIn(t, tmp)
		}
	}
}

// slow is a stream that never ends, and takes its time.
type slow struct{}

func (slow) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return endless{}.Read(p[:min(len(p), 512)])
}
