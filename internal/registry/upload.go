package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// copyBlob makes target hold a blob that source holds: by a mount where both are
// in one registry, else by an upload. An upload that breaks off begins anew,
// since few registries can resume one and none needs to.
func copyBlob(ctx context.Context, d v1.Descriptor, source, target *session) error {
	what := fmt.Sprintf("copy %s@%s to %s", source.repo, d.Digest, target.repo)
	p := target.client.wire.pace(what)
	renewed := false
	for {
		began := time.Now()
		err := tryCopy(ctx, d, source, target)
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

// tryCopy does it once, unless the blob is there: by an earlier try's upload whose
// answer was lost, too.
func tryCopy(ctx context.Context, d v1.Descriptor, source, target *session) error {
	_, err := target.blobSize(ctx, d.Digest)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	location, err := target.startUpload(ctx, d.Digest, source)
	if err != nil || location == nil {
		return err
	}
	body, err := source.openBlob(ctx, d)
	if err != nil {
		return err
	}
	defer body.Close()
	return target.upload(ctx, location, d, body)
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
	if intrudes(hostname(s.repo.RegistryStr()), location.Hostname()) {
		return nil, errdefs.New(errdefs.Denied, "registry %s wants a blob sent into a private network, to %s", s.repo.RegistryStr(), location.Host)
	}
	return location, nil
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

// openBlob reads a blob; its last bytes come only where all of it has the digest.
func (s *session) openBlob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	what := "GET " + s.repo.Name() + "@" + d.Digest.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(blobs, d.Digest.String()).String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, explain(what, s.repo.RegistryStr(), s.scope(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, explain(what, s.repo.RegistryStr(), s.scope(), readStatusError(resp))
	}
	hasher, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		resp.Body.Close()
		return nil, wrongf("%s: %w", what, err)
	}
	return &blobReader{ReadCloser: resp.Body, what: what, hash: hasher, d: d, left: d.Size}, nil
}

// blobReader is a blob on its way. What is not as its descriptor says ends in an
// error before the last of it is given.
type blobReader struct {
	io.ReadCloser
	what string
	hash hash.Hash
	d    v1.Descriptor
	left int64
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	b.left -= int64(n)
	if b.left > 0 {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	if got := fmt.Sprintf("%x", b.hash.Sum(nil)); got != b.d.Digest.Hex {
		return 0, wrongf("%s: registry sent a blob with digest %s:%s", b.what, b.d.Digest.Algorithm, got)
	}
	return n, nil
}

// upload sends a blob in one request, as the least that every registry takes.
func (s *session) upload(ctx context.Context, location *url.URL, d v1.Descriptor, body io.Reader) error {
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
	req.ContentLength = d.Size
	if d.Size == 0 {
		req.Body = http.NoBody
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
		return newUploadError(resp, nil)
	}
	return resp.Body.Close()
}
