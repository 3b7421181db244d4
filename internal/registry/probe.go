package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Answer is how a registry answers who knocks.
type Answer struct {
	Scheme string
	Asks   bool      // for credentials
	Date   time.Time // by its own clock; zero where it does not tell
}

// Ping asks a registry whether it is there. It sends no credentials. Errors are
// errdefs.Environment, or errdefs.Denied where the address itself is refused.
func (c *Client) Ping(ctx context.Context, reg name.Registry) (Answer, error) {
	ep, err := c.endpoint(ctx, reg)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Scheme: ep.scheme, Asks: ep.challenge != nil}
	// Again, since the first answer may be older than the question, and its date
	// is not kept.
	resp, _, err := c.pingOnce(ctx, ep.scheme, reg.RegistryStr())
	if err != nil {
		return a, explain("GET "+reg.RegistryStr()+"/v2/", reg.RegistryStr(), "", err)
	}
	if !isPong(resp) {
		resp.Body.Close()
		return a, nil
	}
	a.Date, _ = http.ParseTime(resp.Header.Get("Date")) // zero where it is none
	return a, nil
}

// TryPush finds out whether the client may push to a repository: it begins an
// upload and cancels it, so that neither a blob nor a tag is left. Errors are as
// of a push. Whether a tag may be overwritten no registry tells.
func (c *Client) TryPush(ctx context.Context, repo name.Repository) error {
	s := c.session(repo, push)
	if err := s.open(ctx); err != nil {
		return err
	}
	what := "POST " + repo.Name() + "/blobs/uploads/"
	resp, err := s.post(ctx, s.url(blobs, "uploads/"))
	if err != nil {
		return explain(what, repo.RegistryStr(), s.scope(), err)
	}
	location, err := s.uploadLocation(resp)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, location.String(), nil)
	if err != nil {
		return err
	}
	// A registry need not know how to cancel one; it forgets it in time.
	// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#cancel-a-blob-upload
	resp, err = s.http.Do(req)
	if errors.As(err, new(*intrusion)) { // nor would a blob be sent there
		return explain(what, repo.RegistryStr(), s.scope(), err)
	}
	if err == nil {
		resp.Body.Close()
	}
	return nil
}
