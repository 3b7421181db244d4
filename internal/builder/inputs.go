package builder

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/buildkit/session/upload/uploadprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

const (
	// maxDockerfile is the longest Dockerfile that is fetched, in bytes; it is
	// docker buildx's bound (build/url.go).
	maxDockerfile = 2 << 20
	// fetchTimeout bounds the download of a Dockerfile.
	fetchTimeout = 2 * time.Minute
	// headSize is how much of standard input says what it is: two blocks of a tar.
	headSize = 1024
)

// inputs are what the solves of a plan share of this machine: standard input
// and a Dockerfile that is no file of a context. Each is read once, whatever the
// number of nodes, into a directory of its own.
type inputs struct {
	session Session
	dir     string // temporary; empty where nothing had to be kept
	tar     string // path of the tar that was on standard input
	context string // empty directory: the context of a Dockerfile that has none
	file    string // directory of the Dockerfile
}

// openInputs reads what the plan wants of standard input and of the network.
// The caller closes it.
func openInputs(ctx context.Context, plan Plan, s Session) (_ *inputs, err error) {
	in := &inputs{session: s}
	solve := plan.Solves[0]
	if solve.Stdin == "" && solve.DockerfileURL == "" {
		return in, nil
	}
	if in.dir, err = setup.TempDir(cmp.Or(s.Environ["TMPDIR"], os.TempDir()), "input"); err != nil {
		return nil, &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.close())
		}
	}()
	if err := in.readStdin(ctx, solve); err != nil || solve.DockerfileURL == "" {
		return in, err
	}
	return in, in.fetchDockerfile(ctx, solve.DockerfileURL)
}

func (in *inputs) readStdin(ctx context.Context, solve Solve) error {
	if solve.Stdin == "" {
		return nil
	}
	stdin, done := interruptible(ctx, in.session.Stdin)
	defer done()
	read := in.readDockerfile
	if solve.Stdin == stdinContext {
		read = func(r io.Reader) error { return in.readContext(r, solve) }
	}
	err := read(stdin)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// interruptible is r until ctx ends. A read that waits, for a terminal or for
// a program that gives nothing more, is left alone then: nothing but the end of the
// process ends it. done ends all else.
func interruptible(ctx context.Context, r io.Reader) (_ io.Reader, done func()) {
	if r == nil {
		r = bytes.NewReader(nil)
	}
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	stop := context.AfterFunc(ctx, func() { out.CloseWithError(ctx.Err()) })
	return out, func() {
		stop()
		out.Close()
	}
}

func (in *inputs) close() error {
	if in.dir == "" {
		return nil
	}
	return os.RemoveAll(in.dir)
}

// readContext keeps standard input: a tar is the context; anything else is a
// Dockerfile, and the context is empty, as with docker build.
func (in *inputs) readContext(stdin io.Reader, solve Solve) error {
	head := make([]byte, headSize)
	n, err := io.ReadFull(stdin, head)
	head = head[:n]
	switch {
	case n == 0 && err == io.EOF:
		return errdefs.BadInputf("context", 0, "standard input is empty; expected a tar or a Dockerfile")
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return errdefs.BadInputf("context", 0, "standard input: %w", err)
	}
	whole := io.MultiReader(bytes.NewReader(head), stdin)
	if isArchive(head) || beginsWithMetadata(head) {
		return in.readTar(head, whole)
	}
	if solve.FrontendAttrs["filename"] != defaultDockerfile || solve.FrontendAttrs["dockerfilekey"] != "" {
		return errdefs.BadInputf("file", 0, "standard input is a Dockerfile, and file names another").
			WithHint("leave file out, or give a tar on standard input")
	}
	in.context = filepath.Join(in.dir, "empty")
	if err := os.Mkdir(in.context, 0o700); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	return in.readDockerfile(whole)
}

func (in *inputs) readDockerfile(r io.Reader) error {
	in.file = filepath.Join(in.dir, "dockerfile")
	if err := os.Mkdir(in.file, 0o700); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	bounded := io.LimitReader(r, maxDockerfile+1)
	path := filepath.Join(in.file, defaultDockerfile)
	if err := keep(path, bounded, "file"); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	switch {
	case info.Size() == 0:
		return errdefs.BadInputf("file", 0, "the Dockerfile is empty")
	case info.Size() > maxDockerfile:
		return errdefs.BadInputf("file", 0, "the Dockerfile has more than %d bytes", maxDockerfile)
	}
	return nil
}

// keep writes r to a new file in the inputs' directory.
func keep(path string, r io.Reader, input string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	n, err := io.Copy(f, r)
	err = errors.Join(err, f.Close())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fullError(path, n, input)
	}
	return &errdefs.Error{Kind: errdefs.Environment, Input: input, Err: err}
}

// fullError is the want of room for a file of the inputs after n bytes of it. One
// that never ends comes to this, too.
func fullError(path string, n int64, input string) error {
	dir := filepath.Dir(filepath.Dir(path))
	err := &errdefs.Error{Kind: errdefs.Environment, Input: input, Err: fmt.Errorf("%s, where it is kept for the build, is full after %.1f MiB of it", dir, float64(n)/(1<<20))}
	return err.WithHint("set TMPDIR to a directory with more room; a context that is a directory is not kept")
}

// fetchDockerfile downloads a Dockerfile from this machine, by the environment's
// proxies.
func (in *inputs) fetchDockerfile(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	shown := redacted(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errdefs.BadInputf("file", 0, "%s is no address", shown)
	}
	transport := registry.Transport(in.session.Environ)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		var inner *url.Error // repeats the address, and so its password
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return &errdefs.Error{Kind: errdefs.Environment, Input: "file", Err: fmt.Errorf("fetch %s: %w", shown, err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "file", Err: fmt.Errorf("fetch %s: %s", shown, resp.Status)}
	}
	return in.readDockerfile(resp.Body)
}

// redacted is an address without its account: a token may be the user's name.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	u.User = nil
	return u.String()
}

// mountStdin gives the solve what was read. A tar is sent when the daemon asks.
func (in *inputs) mountStdin(_ context.Context, r *request, solve Solve) error {
	if in.tar != "" {
		f, err := os.Open(in.tar)
		if err != nil {
			return &errdefs.Error{Kind: errdefs.Environment, Err: err}
		}
		r.finish = append(r.finish, func(error) { f.Close() }) // read only; the daemon may never have asked
		up := uploadprovider.New()
		r.opt.FrontendAttrs["context"] = up.Add(f)
		r.opt.Session = append(r.opt.Session, up)
	}
	if in.context != "" {
		if err := r.mount("context", in.context); err != nil {
			return err
		}
	}
	if in.file == "" {
		return nil
	}
	r.opt.FrontendAttrs["dockerfilekey"] = "dockerfile"
	r.opt.FrontendAttrs["filename"] = defaultDockerfile
	return r.mount("dockerfile", in.file)
}

// isArchive is whether a stream that begins with head is a tar, plain or
// compressed, as docker build tells it.
func isArchive(head []byte) bool {
	if isCompressed(head) {
		return true
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil
}

func isCompressed(head []byte) bool {
	for _, magic := range []string{"BZh", "\x1f\x8b\x08", "\xfd7zXZ\x00"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
