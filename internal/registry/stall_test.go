package registry

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// lateBody gives a byte just as its request ends, and the request's end after it.
type lateBody struct {
	ctx   context.Context
	given bool
}

func (b *lateBody) Read(p []byte) (int, error) {
	<-b.ctx.Done()
	if b.given {
		return 0, b.ctx.Err()
	}
	b.given = true
	return copy(p, "x"), nil
}

func (b *lateBody) Close() error { return nil }

// A body that gives something just as it is given up has stalled all the same: the
// end of its request is no cancellation.
func TestStallAsDataArrives(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(deadline(t))
	body := &patientBody{ReadCloser: &lateBody{ctx: ctx}, cancel: cancel, limit: 10 * time.Millisecond}
	defer body.Close()
	got, err := io.ReadAll(body)
	var stalled *stalledError
	if string(got) != "x" || !errors.As(err, &stalled) || !Transient(err) {
		t.Errorf("read %q, error %v, want x and a body that stalled", got, err)
	}
}
