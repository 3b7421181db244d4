package builder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func write(t *testing.T, o output, text string) {
	t.Helper()
	w, err := o.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil { // as BuildKit does, whether all came or not
		t.Fatal(err)
	}
}

func TestFileOutput(t *testing.T) {
	dir := t.TempDir()
	dest := filepath.Join(dir, "made", "image.tar")
	read := func() string {
		raw, err := os.ReadFile(dest)
		if err != nil {
			return err.Error()
		}
		return string(raw)
	}
	for _, c := range []struct {
		text string
		err  error
		want string
	}{
		{"half", errors.New("the build failed"), "no such file or directory"},
		{"one", nil, "one"},
		{"half", errors.New("the build failed"), "one"},
		{"two", nil, "two"},
	} {
		o, err := newFile(dest)
		if err != nil {
			t.Fatal(err)
		}
		write(t, o, c.text)
		if err := o.end(c.err); err != nil {
			t.Fatal(err)
		}
		if got := read(); !strings.HasSuffix(got, c.want) {
			t.Errorf("after %q, %v: %q, want %q", c.text, c.err, got, c.want)
		}
		left, err := filepath.Glob(filepath.Join(dir, "made", "*.part"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// The daemon may begin an output anew.
func TestFileOutputTwice(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "f")
	o, err := newFile(dest)
	if err != nil {
		t.Fatal(err)
	}
	write(t, o, "a longer first try")
	write(t, o, "second")
	if err := o.end(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dest); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
}

// Not opened is not made: a build may give an export nothing.
func TestFileOutputUnopened(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "f")
	o, err := newFile(dest)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.end(nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("a file that nothing was written to is there")
	}
}

func TestFileOutputPlaces(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	o, err := newFile(link)
	if err != nil {
		t.Fatal(err)
	}
	write(t, o, "new")
	if err := o.end(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "new" {
		t.Errorf("behind the link: %q, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if _, err := newFile(dir); err == nil {
		t.Error("a directory is taken for a file")
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	o, err = newFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		raw, err := os.ReadFile(pipe)
		if err != nil {
			raw = []byte(err.Error())
		}
		got <- string(raw)
	}()
	write(t, o, "through")
	if text := <-got; text != "through" {
		t.Errorf("the pipe gave %q", text)
	}
	if err := o.end(nil); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}

func TestFileOutputFault(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := &file{path: filepath.Join(dir, "file", "x"), part: filepath.Join(dir, "file", "x.part")}
	if _, err := o.open(nil); err == nil {
		t.Fatal("a file is made below a file")
	}
	if err := o.fault(); errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), `input "outputs"`) {
		t.Errorf("fault: %v", err)
	}
}

// full is a disk that takes little.
type full struct{ bytes.Buffer }

func (f *full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func (f *full) Close() error { return errors.New("closed too") }

func TestOpenOutputs(t *testing.T) {
	var stdout bytes.Buffer
	solve := Solve{Exports: []Export{
		{Type: "image", Attrs: map[string]string{"push": "true"}},
		{Type: "local", Dest: "/out"},
		{Type: "oci", Dest: "/layout", Attrs: map[string]string{"tar": "false"}},
		{Type: "tar", Dest: Stdout},
		{Type: "docker"},
	}}
	in := &inputs{session: Session{Stdout: &stdout, Load: func(context.Context) (io.WriteCloser, error) { return &full{}, nil }}}
	r := &request{}
	if err := in.openOutputs(t.Context(), r, solve); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		dir string
		out bool
	}{{}, {dir: "/out"}, {dir: "/layout"}, {out: true}, {out: true}} {
		if e := r.opt.Exports[i]; e.OutputDir != want.dir || (e.Output != nil) != want.out {
			t.Errorf("export %d: directory %q, writer %v", i, e.OutputDir, e.Output != nil)
		}
	}
	write(t, r.outputs[0], "tar")
	if stdout.String() != "tar" {
		t.Errorf("standard output has %q", stdout.String())
	}
	if _, err := r.outputs[0].open(nil); err == nil {
		t.Error("standard output is begun twice")
	}
	w, err := r.outputs[1].open(nil)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "image")
	w.Close()
	if err := r.outputs[1].fault(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), `input "load"`) {
		t.Errorf("the engine's fault: %v", err)
	}
	for _, e := range []Export{{Type: "docker"}, {Type: "tar", Dest: Stdout}} {
		if err := (&inputs{}).openOutputs(t.Context(), &request{}, Solve{Exports: []Export{e}}); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%v where there is neither engine nor standard output: %v", e, err)
		}
	}
}
