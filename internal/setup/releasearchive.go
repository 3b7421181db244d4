package setup

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/docker/go-units"
)

// The limits of a release, far above what releases have: some 20 files, 300 MB.
const (
	unpackedLimit = 2 << 30
	entryLimit    = 1000
)

// unpackRelease writes the files of a .tar.gz into a new directory. What is no
// file and no directory, or would lie elsewhere, is an error: no release has it.
func unpackRelease(archive io.Reader, dir string) error {
	zip, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("no gzip: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacking{root: root, left: unpackedLimit}
	if err := u.all(tar.NewReader(zip)); err != nil {
		return err
	}
	if !executable(filepath.Join(dir, "bin", "buildkitd")) {
		return errors.New("it has no program bin/buildkitd")
	}
	return nil
}

type unpacking struct {
	root *os.Root
	left int64 // bytes that may still come
}

func (u *unpacking) all(r *tar.Reader) error {
	for entries := 0; ; entries++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		if entries == entryLimit {
			return fmt.Errorf("more than %d entries", entryLimit)
		}
		if err := u.one(h, r); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

func (u *unpacking) one(h *tar.Header, r io.Reader) error {
	name := filepath.Clean(h.Name)
	if !filepath.IsLocal(name) {
		return errors.New("it leads out of the archive")
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return u.root.MkdirAll(name, 0o700)
	case tar.TypeReg:
		return u.file(name, h, r)
	}
	return fmt.Errorf("it is neither a file nor a directory (type %q)", h.Typeflag)
}

func (u *unpacking) file(name string, h *tar.Header, r io.Reader) error {
	if u.left -= h.Size; h.Size < 0 || u.left < 0 {
		return fmt.Errorf("more than %s in all", units.HumanSize(unpackedLimit))
	}
	if err := u.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	mode := os.FileMode(0o600)
	if h.Mode&0o111 != 0 {
		mode = 0o700
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, r, h.Size)
	return errors.Join(err, f.Close())
}
