package builder

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// maxHoles is how much longer than itself a tar may become, in bytes, by holes of
// sparse files: a builder writes them out, so that a tar of a few hundred bytes
// could fill any disk.
const maxHoles = 16 << 30

// readTar keeps the tar on standard input, and looks at it.
func (in *inputs) readTar(head []byte, whole io.Reader) error {
	in.tar = filepath.Join(in.dir, "context.tar")
	if beginsWithMetadata(head) {
		preface, err := preface()
		if err != nil {
			return err
		}
		whole = io.MultiReader(bytes.NewReader(preface), whole)
	}
	if err := keep(in.tar, whole, "context"); err != nil || isCompressed(head) {
		return err // of what is in a compressed one the daemon tells
	}
	return inspect(in.tar)
}

// beginsWithMetadata is whether head begins a tar whose first header says
// something of the next one: its times, as tar --format=posix has it, or a long
// name. The first entry then is further down than anybody looks who wants to know
// whether this is a tar: docker, buildx and the daemon take it for a Dockerfile.
func beginsWithMetadata(head []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return false // a whole entry, or none: the sum of a header was looked at
	}
	return len(head) == headSize && bytes.IndexByte([]byte{tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink}, head[156]) >= 0
}

// preface is an entry that means nothing, for the start of a tar, which by it is
// known as one.
func preface() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "build context"}})
	err = errors.Join(err, w.Flush())
	return b.Bytes(), err
}

// inspect refuses a tar that is cut short, as where the program ended that wrote
// it, and one with sparse files that no builder unpacks, or none should.
func inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	last := "its start"
	var content int64
	for r := tar.NewReader(f); ; { // seeks from header to header
		h, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return errdefs.BadInputf("context", 0, "the tar on standard input: after %s: %w", last, err).
				WithHint("look whether the program that wrote it failed")
		}
		if err := checkEntry(f, h, info.Size(), &content); err != nil {
			return err
		}
		last = fmt.Sprintf("entry %.200q", h.Name)
	}
}

// checkEntry holds an entry against the size of the tar. content is the size of
// the entries so far.
func checkEntry(f io.Seeker, h *tar.Header, size int64, content *int64) error {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Err: err}
	}
	sparse := h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != ""
	switch {
	case h.Typeflag == tar.TypeGNUSparse:
		return errdefs.BadInputf("context", 0, "the tar on standard input has a sparse file, %.200q, which builders do not unpack", h.Name).
			WithHint("make the tar without --sparse")
	case h.Typeflag != tar.TypeReg:
		return nil
	case !sparse && h.Size > size-at:
		return errdefs.BadInputf("context", 0, "the tar on standard input is cut short: entry %.200q has %d bytes by its header, and %d are there", h.Name, h.Size, size-at).
			WithHint("look whether the program that wrote it failed")
	}
	// Each is positive, and less than 1<<63, but their sum need not be.
	if *content += h.Size; *content < 0 || *content-size > maxHoles {
		return errdefs.BadInputf("context", 0, "the tar on standard input has %d bytes, and its sparse file %.200q makes it more than %d GiB longer", size, h.Name, maxHoles>>30).
			WithHint("leave the file out, or give the directory itself as context")
	}
	return nil
}
