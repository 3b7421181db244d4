package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// mayGoOn is whether an upload that ended so may be there still.
func mayGoOn(err error) bool {
	var broken *uploadError
	if !errors.As(err, &broken) {
		return false
	}
	switch status := statusOf(broken.err); status {
	case 0, http.StatusUnauthorized, http.StatusRequestedRangeNotSatisfiable:
		return true
	default:
		return transientStatus(status) // else the registry forgot it, or has it wrong
	}
}

// resume is how far an upload came that broke off, and where it goes on; a nil
// location is that there is none, or that the registry does not tell.
func (t *transfer) resume(ctx context.Context) (at int64, location *url.URL) {
	broken := t.broken
	t.broken = nil
	if broken == nil {
		return 0, nil
	}
	at, location, err := t.target.uploaded(ctx, broken)
	if err != nil || at <= 0 || at > t.d.Size {
		return 0, nil // a new upload will do, or will have its own fault
	}
	t.target.client.wire.log(fmt.Sprintf("upload of %s@%s goes on at %d of %d bytes", t.target.repo, t.d.Digest, at, t.d.Size))
	return at, location
}

// uploaded asks how many bytes of an upload have come, and where it goes on:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
// Registries need not know the answer, so it is asked for once.
func (s *session) uploaded(ctx context.Context, broken *url.URL) (int64, *url.URL, error) {
	req, err := http.NewRequestWithContext(onlyOnce(ctx), http.MethodGet, broken.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode/100 != 2 {
		return 0, nil, readStatusError(resp)
	}
	defer resp.Body.Close()
	var last int64
	// 0-0 is one byte or none: then there is nothing to gain.
	if _, err := fmt.Sscanf(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "0-%d", &last); err != nil || last == 0 {
		return 0, nil, err
	}
	location, err := s.location(resp)
	return last + 1, location, err
}
