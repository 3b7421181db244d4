package registry

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// zeros is a source without an end. Close ends a Read that waits, as a response's does.
type zeros struct{ closed chan struct{} }

func (z zeros) Read(p []byte) (int, error) {
	select {
	case <-z.closed:
		return 0, http.ErrBodyReadAfterClose
	default:
		clear(p)
		return len(p), nil
	}
}

func (z zeros) Close() error { close(z.closed); return nil }

// A registry may answer while a blob is being sent, and net/http reads what it sends for
// some time after it has given the answer: that must be over when the next try begins.
func TestBlobReadersEnd(t *testing.T) {
	t.Parallel()
	transfer := &transfer{d: v1.Descriptor{Size: 1 << 62, Digest: v1.Hash{Algorithm: "sha256", Hex: "00"}}}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := &blobReader{t: transfer, ReadCloser: zeros{make(chan struct{})}}
			if err := r.rewind(transfer.d.Size); err != nil {
				t.Fatal(err)
			}
			started := make(chan struct{})
			go func() {
				p := make([]byte, sumEvery)
				r.Read(p)
				close(started)
				for {
					if _, err := r.Read(p); err != nil {
						return
					}
				}
			}()
			<-started
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			before := len(transfer.sums) // what -race looks at
			if n, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a reader that is closed gives %d bytes, %v", n, err)
			}
			synctest.Wait()
			if now := len(transfer.sums); now != before {
				t.Errorf("%d sums after the end, %d at it", now, before)
			}
		})
	}
}
