package builder

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// The texts are BuildKit's own, as it gave them when each was made to happen.
func TestClassify(t *testing.T) {
	cases := []struct {
		name string
		err  error
		kind errdefs.Kind
		hint bool
	}{
		{"step", errors.New(`failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1`), errdefs.Build, false},
		{"killed", errors.New(`failed to solve: process "/bin/sh -c x" did not complete successfully: exit code: 137`), errdefs.Build, true},
		{"denied", errors.New(`failed to solve: failed to push r.example/app: push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`), errdefs.Denied, true},
		{"401", errors.New(`failed to solve: failed to push r.example/app: unexpected status from POST request to https://r.example/v2/app/blobs/uploads/: 401 Unauthorized`), errdefs.Denied, true},
		{"cache denied", errors.New(`failed to solve: error writing manifest blob: denied: this tag is protected`), errdefs.Denied, true},
		{"down", errors.New(`failed to solve: failed to push 127.0.0.1:1/app: failed to do request: Head "http://127.0.0.1:1/v2/app/blobs/sha256:00": dial tcp 127.0.0.1:1: connect: connection refused`), errdefs.Environment, true},
		{"disk", errors.New(`failed to solve: failed to copy: write /var/lib/buildkit/x: no space left on device`), errdefs.Environment, true},
		{"dockerfile", errors.New(`failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory`), errdefs.BadInput, true},
		{"lost", status.Error(codes.Unavailable, "error reading from server: EOF"), errdefs.Environment, true},
		{"base", errors.New(`failed to solve: nosuch: failed to resolve source metadata for docker.io/library/nosuch:latest: docker.io/library/nosuch:latest: not found`), errdefs.Build, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := classify(context.Background(), Solve{Node: "b0"}, progress.Summary{}, c.err)
			if got := errdefs.KindOf(err); got != c.kind {
				t.Errorf("kind %v, want %v: %v", got, c.kind, err)
			}
			if got := len(errdefs.Hints(err)) > 0; got != c.hint {
				t.Errorf("hints %q", errdefs.Hints(err))
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := errdefs.KindOf(classify(ctx, Solve{}, progress.Summary{}, errors.New("anything"))); got != errdefs.Canceled {
		t.Errorf("a canceled build has kind %v", got)
	}
}
