package registry

import (
	"context"
	"encoding"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// sumEvery is how many bytes of a blob are read between two sums.
const sumEvery = 8 << 20

// sum is the state of a digest that is half done.
type sum struct {
	at    int64 // bytes so far
	state []byte
}

// open reads a blob from position at on. Its last bytes come only where all of
// it has the digest, also where its beginning was read by an earlier try: of that
// the sums tell.
func (t *transfer) open(ctx context.Context, at int64) (io.ReadCloser, error) {
	r := &blobReader{what: "GET " + t.source.repo.Name() + "@" + t.d.Digest.String(), t: t}
	if err := r.rewind(at); err != nil {
		return nil, err
	}
	if err := r.request(ctx); err != nil {
		return nil, err
	}
	// What lies between the sum and the position is read for the digest alone.
	if _, err := io.CopyN(io.Discard, r, at-r.at); err != nil {
		r.Close()
		return nil, newUploadError(nil, err)
	}
	return r, nil
}

// blobReader is a blob on its way. What is not as its descriptor says ends in an
// error before the last of it is given.
type blobReader struct {
	io.ReadCloser
	what string
	t    *transfer

	mu     sync.Mutex // held while it reads, and so while sums are added
	closed bool
	hash   hash.Hash
	at     int64 // of the next byte
}

// rewind goes to the last sum before a position, or to the start.
func (b *blobReader) rewind(to int64) (err error) {
	if b.hash, err = v1.Hasher(b.t.d.Digest.Algorithm); err != nil {
		return wrongf("%s: %w", b.what, err)
	}
	b.at = 0
	for _, s := range slices.Backward(b.t.sums) {
		if s.at <= to {
			b.at = s.at
			return b.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.state)
		}
	}
	return nil
}

// request asks for the blob from the reader's position on. A registry that sends
// all of it has it read from the start.
func (b *blobReader) request(ctx context.Context) error {
	s := b.t.source
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(blobs, b.t.d.Digest.String()).String(), nil)
	if err != nil {
		return err
	}
	if b.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.at))
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return explain(b.what, s.repo.RegistryStr(), s.scope(), err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		err = b.rewind(0)
	case resp.StatusCode != http.StatusPartialContent || b.at == 0:
		return explain(b.what, s.repo.RegistryStr(), s.scope(), readStatusError(resp))
	}
	b.ReadCloser = resp.Body
	return err
}

// Close implements io.Closer. No Read goes on after it: net/http may still read what
// it sends when it has given an answer (https://go.dev/issue/30597), and the next try begins at the sums.
func (b *blobReader) Close() error {
	err := b.ReadCloser.Close() // which ends a Read that waits
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return err
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	size := b.t.d.Size
	if b.at == size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), size-b.at)]
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	b.at += int64(n)
	if b.at < size {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		b.keep()
		return n, err
	}
	if got := fmt.Sprintf("%x", b.hash.Sum(nil)); got != b.t.d.Digest.Hex {
		return 0, wrongf("%s: registry sent a blob with digest %s:%s", b.what, b.t.d.Digest.Algorithm, got)
	}
	return n, nil
}

// keep notes the sum so far, now and then.
func (b *blobReader) keep() {
	last := int64(0)
	if n := len(b.t.sums); n > 0 {
		last = b.t.sums[n-1].at
	}
	if b.at-last < sumEvery {
		return
	}
	if m, ok := b.hash.(encoding.BinaryMarshaler); ok {
		if state, err := m.MarshalBinary(); err == nil { // without it more is read again, no more
			b.t.sums = append(b.t.sums, sum{b.at, state})
		}
	}
}
