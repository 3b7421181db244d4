package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// stallBytes is what must come within Retry.Stall: a body that drips is as good as
// one that stopped.
const stallBytes = 1 << 10

// stalledError is a body that stopped. It is a net.Error, and another try may do.
type stalledError struct{ after time.Duration }

func (e *stalledError) Error() string {
	return fmt.Sprintf("stalled: less than %d bytes in %s", stallBytes, e.after)
}
func (e *stalledError) Timeout() bool   { return true }
func (e *stalledError) Temporary() bool { return true }

// send sends req once. An answer whose body stalls ends in a stalledError.
func (t *retryTransport) send(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &patientBody{ReadCloser: resp.Body, cancel: cancel, limit: t.retry.Stall}
	return resp, nil
}

// patientBody gives up a body that stalls. Only the time within Read counts: who
// reads may be slow.
type patientBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	limit  time.Duration

	spent   time.Duration // in reads since the last stallBytes
	got     int
	stalled bool // the timer ended the request, whatever the read had by then
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	began := time.Now()
	timer := time.AfterFunc(b.limit-b.spent, b.cancel)
	n, err := b.ReadCloser.Read(p)
	b.stalled = !timer.Stop() || b.stalled
	b.spent += time.Since(began)
	if b.got += n; b.got >= stallBytes {
		b.spent, b.got = 0, 0
	}
	if b.stalled && err != nil && err != io.EOF {
		err = &stalledError{b.limit}
	}
	return n, err
}

// Close implements io.Closer.
func (b *patientBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// watch gives a reader of what is sent, and a context that ends where nobody took
// any of it for limit; stop ends the watch. What is read last has no limit here:
// the wait for an answer has its own.
func watch(ctx context.Context, r io.Reader, limit time.Duration) (_ context.Context, _ io.ReadCloser, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(&stalledError{limit}) })
	return ctx, &watched{r, timer, limit}, func() { timer.Stop(); cancel(nil) }
}

type watched struct {
	io.Reader
	timer *time.Timer
	limit time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Stop() // a source that is slow is watched elsewhere
	n, err := w.Reader.Read(p)
	if err == nil {
		w.timer.Reset(w.limit)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	return nil
}
