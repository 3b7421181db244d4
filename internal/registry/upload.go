package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// copyBlob makes target hold a blob that source holds: by a mount where both are
// in one registry, else by an upload. An upload that breaks off goes on where the
// registry has it, and begins anew where the registry does not tell.
func copyBlob(ctx context.Context, d v1.Descriptor, source, target *session) error {
	t := &transfer{d: d, source: source, target: target}
	what := fmt.Sprintf("copy %s@%s to %s", source.repo, d.Digest, target.repo)
	p := target.client.wire.pace(what)
	renewed := false
	for {
		began := time.Now()
		err := t.try(ctx)
		p.began = p.began.Add(time.Since(began)) // a large blob may take longer than all waits
		var broken *uploadError                  // what can be sent again by itself, was
		if !errors.As(err, &broken) || ctx.Err() != nil {
			return explain(what, target.repo.RegistryStr(), target.scope(), err)
		}
		if statusOf(broken.err) == http.StatusUnauthorized && !renewed {
			renewed = true // the next request, which has no body, gets a new token
			continue
		}
		if !broken.again {
			return explain(what, target.repo.RegistryStr(), target.scope(), err)
		}
		if err := p.wait(ctx, broken.fault); err != nil {
			return explain(what, target.repo.RegistryStr(), target.scope(), err)
		}
	}
}

// uploadError is what went wrong while a blob's bytes were sent.
type uploadError struct {
	fault
	again bool // whether a new upload may do
}

func (e *uploadError) Error() string { return e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

// newUploadError judges the answer to a blob's bytes, or the want of one.
func newUploadError(resp *http.Response, err error) *uploadError {
	f, again := judge(resp, err)
	if err == nil && !again {
		status := readStatusError(resp)
		f = fault{text: strconv.Itoa(status.status), err: status}
		// The registry forgot the upload, or has another idea of how far it came.
		again = status.status == http.StatusNotFound || status.status == http.StatusRequestedRangeNotSatisfiable
	}
	return &uploadError{f, again}
}

// transfer is a blob on its way.
type transfer struct {
	d              v1.Descriptor
	source, target *session
	broken         *url.URL // of an upload that may go on; nil is none
	sums           []sum    // of what was read so far
}

// try does it once, unless the blob is there: by an earlier try's upload whose
// answer was lost, too.
func (t *transfer) try(ctx context.Context) error {
	_, err := t.target.blobSize(ctx, t.d.Digest)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	at, location := t.resume(ctx)
	if location == nil {
		location, err = t.target.startUpload(ctx, t.d.Digest, t.source)
		if err != nil || location == nil {
			return err
		}
	}
	body, err := t.open(ctx, at)
	if err != nil {
		if at > 0 {
			t.broken = location
		}
		return err
	}
	defer body.Close()
	err = t.target.upload(ctx, location, t.d, at, body)
	if mayGoOn(err) {
		t.broken = location
	}
	return err
}

// blobSize is the size of a blob that is there; -1 where the registry doesn't tell.
func (s *session) blobSize(ctx context.Context, digest v1.Hash) (int64, error) {
	r, err := s.do(ctx, call{method: http.MethodHead, kind: blobs, id: digest.String()})
	// A storage behind the registry may refuse the HEAD that it is redirected
	// to: S3 signs a URL for one method.
	if status := statusOf(err); status == http.StatusMethodNotAllowed || status == http.StatusForbidden {
		r, err = s.do(ctx, call{method: http.MethodGet, kind: blobs, id: digest.String(), probe: true})
	}
	return r.size, err
}

// startUpload is where the blob is to be sent; nil where it was mounted from source.
func (s *session) startUpload(ctx context.Context, digest v1.Hash, source *session) (*url.URL, error) {
	u := s.url(blobs, "uploads/")
	if source.repo.RegistryStr() == s.repo.RegistryStr() {
		u.RawQuery = url.Values{"mount": {digest.String()}, "from": {source.repo.RepositoryStr()}}.Encode()
	}
	resp, err := s.post(ctx, u)
	if refused(err) && u.RawQuery != "" { // no mount; an upload then
		u.RawQuery = ""
		resp, err = s.post(ctx, u)
	}
	if err != nil {
		return nil, explain("POST "+s.repo.Name()+"/blobs/uploads/", s.repo.RegistryStr(), s.scope(), err)
	}
	if resp.StatusCode == http.StatusCreated {
		return nil, nil
	}
	return s.uploadLocation(resp)
}

// uploadLocation is where an upload goes on that a registry has begun.
func (s *session) uploadLocation(resp *http.Response) (*url.URL, error) {
	return s.location(resp)
}

// location is where an answer to an upload says that it goes on.
func (s *session) location(resp *http.Response) (*url.URL, error) {
	if resp.Header.Get("Location") == "" {
		return nil, wrongf("registry %s answers the start of an upload without a Location", s.repo.RegistryStr())
	}
	location, err := resp.Location()
	if err != nil {
		return nil, wrongf("registry %s answers the start of an upload with a bad Location: %w", s.repo.RegistryStr(), err)
	}
	if location.Scheme != "https" && !(location.Scheme == "http" && s.client.mayBePlain(location.Host)) {
		return nil, errdefs.New(errdefs.Denied, "registry %s wants a blob sent by plain %s to %s", s.repo.RegistryStr(), location.Scheme, location.Host)
	}
	return location, s.client.check(s.lead("wants a blob sent"), location.Host)
}

func (s *session) post(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, readStatusError(resp)
	}
	return resp, resp.Body.Close()
}

// final is whether a registry that refuses the rest of an upload would refuse all
// of it. Others have it wrong, or can't go on where they said.
func final(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusRequestEntityTooLarge
}

// upload sends a blob, or what is left of it from position at on, in one request,
// as the least that every registry takes.
func (s *session) upload(ctx context.Context, location *url.URL, d v1.Descriptor, at int64, body io.Reader) error {
	q := location.Query()
	q.Set("digest", d.Digest.String())
	u := *location
	u.RawQuery = q.Encode()
	// Without a way to rewind the body nothing below here sends it twice.
	ctx, watched, stop := watch(ctx, body, s.client.wire.retry.Stall)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), watched)
	if err != nil {
		return err
	}
	req.ContentLength = d.Size - at
	switch {
	case req.ContentLength == 0:
		req.Body = http.NoBody
	case at > 0:
		// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", at, d.Size-1))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.http.Do(req)
	if err != nil {
		var stalled *stalledError
		if errors.As(context.Cause(ctx), &stalled) {
			err = stalled
		}
		return newUploadError(nil, err)
	}
	if resp.StatusCode/100 != 2 {
		err := newUploadError(resp, nil)
		err.again = err.again || at > 0 && resp.StatusCode/100 == 4 && !final(resp.StatusCode)
		return err
	}
	return resp.Body.Close()
}
