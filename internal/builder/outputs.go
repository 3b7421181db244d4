package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// output is something that a build writes to on this machine. BuildKit closes
// its writer both when all is written and when the build failed, so that only
// the build's end tells which of the two it was.
type output interface {
	// open is called when the daemon begins to write. It may do so again, from
	// the beginning.
	open(map[string]string) (io.WriteCloser, error)
	// fault is what went wrong here, and nil where nothing did.
	fault() error
	// end makes the output whole, or takes it back where err is why the build
	// failed.
	end(err error) error
}

// openOutputs says where each export goes.
func (in *inputs) openOutputs(ctx context.Context, r *request, solve Solve) error {
	for _, e := range solve.Exports {
		entry := client.ExportEntry{Type: e.Type, Attrs: e.Attrs}
		switch {
		case e.Type == "image", e.Type == mobyExport:
		case e.directory():
			entry.OutputDir = e.Dest
		default:
			out, err := in.openOutput(ctx, e)
			if err != nil {
				return err
			}
			r.outputs = append(r.outputs, out)
			entry.Output = out.open
		}
		r.opt.Exports = append(r.opt.Exports, entry)
	}
	return nil
}

func (in *inputs) openOutput(ctx context.Context, e Export) (output, error) {
	switch {
	case e.Dest == Stdout && in.session.Stdout == nil:
		return nil, errdefs.BadInputf("outputs", 0, "type=%s can't be written to standard output here", e.Type)
	case e.Dest == Stdout:
		return &sink{begin: func() (io.WriteCloser, error) { return keepOpen{in.session.Stdout}, nil }, input: "outputs"}, nil
	case e.Dest == "" && in.session.Load == nil:
		return nil, errdefs.BadInputf("load", 0, "there is no engine to load the image into")
	case e.Dest == "":
		return &sink{begin: func() (io.WriteCloser, error) { return in.session.Load(ctx) }, input: "load"}, nil
	}
	return newFile(e.Dest)
}

// directory is whether an export fills a directory.
func (e Export) directory() bool {
	return e.Type == "local" || (e.Type == "oci" || e.Type == "docker") && e.Attrs["tar"] != "" && !isTrue(e.Attrs["tar"])
}

// sink is an output that can't be taken back: standard output, or an engine
// that loads.
type sink struct {
	begin func() (io.WriteCloser, error)
	input string

	mu     sync.Mutex
	opened io.WriteCloser
	err    error
}

func (s *sink) open(map[string]string) (io.WriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return nil, errors.New("the output was written before")
	}
	w, err := s.begin()
	if err != nil {
		s.err = blame(s.input, err)
		return nil, s.err
	}
	s.opened = w
	return s, nil
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.opened.Write(p)
	s.keep(err)
	return n, err
}

func (s *sink) Close() error {
	err := s.opened.Close()
	s.keep(err)
	return err
}

func (s *sink) keep(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.err == nil {
		s.err = blame(s.input, err)
	}
}

func (s *sink) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sink) end(error) error { return nil }

// keepOpen is a stream that others use too.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// file is an output that is written beside its place and then moved there, so
// that what was there before stays until the new one is whole. What is no
// regular file, as a pipe or /dev/null, is written to as it is.
type file struct {
	path string // with links resolved: the link stays
	part string // where it is written first; empty where it is path

	mu     sync.Mutex
	opened *os.File
	err    error
}

func newFile(dest string) (*file, error) {
	f := &file{path: dest}
	if real, err := filepath.EvalSymlinks(dest); err == nil {
		f.path = real
	}
	info, err := os.Stat(f.path)
	switch {
	case err == nil && info.IsDir():
		return nil, errdefs.BadInputf("outputs", 0, "dest %s is a directory; expected a file", dest)
	case err == nil && !info.Mode().IsRegular():
		return f, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, errdefs.BadInputf("outputs", 0, "dest: %w", err)
	}
	f.part = f.path + "." + identity.NewID()[:8] + ".part"
	return f, nil
}

func (f *file) open(map[string]string) (io.WriteCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, flags := f.part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC
	if f.part == "" {
		path, flags = f.path, os.O_WRONLY
	} else if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, f.failed(err)
	}
	opened, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return nil, f.failed(err)
	}
	f.opened = opened
	return f, nil
}

func (f *file) failed(err error) error {
	f.err = &errdefs.Error{Kind: errdefs.Environment, Input: "outputs", Err: fmt.Errorf("write %s: %w", f.path, err)}
	return f.err
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.opened.Write(p)
	f.keep(err)
	return n, err
}

func (f *file) Close() error {
	err := f.opened.Close()
	f.keep(err)
	return err
}

func (f *file) keep(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.err == nil {
		f.failed(err)
	}
}

func (f *file) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *file) end(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened == nil || f.part == "" {
		return nil
	}
	if err != nil || f.err != nil {
		f.opened.Close() // it is taken back anyway
		return os.Remove(f.part)
	}
	if err := os.Rename(f.part, f.path); err != nil {
		return f.failed(err)
	}
	return nil
}
