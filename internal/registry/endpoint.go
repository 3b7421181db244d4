package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/google/go-containerregistry/pkg/name"
)

// endpoint is how a registry wants to be spoken to. It is found once a client.
type endpoint struct {
	mu        sync.Mutex
	found     bool
	scheme    string
	place     place
	challenge *auth.Challenge // nil where it asks for nothing
}

// endpoint is the registry's, found.
func (c *Client) endpoint(ctx context.Context, reg name.Registry) (*endpoint, error) {
	host := reg.RegistryStr()
	c.mu.Lock()
	ep, ok := c.endpoints[host]
	if !ok {
		ep = &endpoint{}
		c.endpoints[host] = ep
	}
	c.mu.Unlock()

	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.found {
		return ep, nil
	}
	err := c.ping(ctx, host, ep)
	return ep, explain("GET "+host+"/v2/", host, "", err)
}

// schemes are those that a host may be spoken to with, the likelier first. A
// ping holds no credentials, so that it may try http at loopback, where
// registries are seldom otherwise; elsewhere http has to be asked for, and
// comes second.
func (c *Client) schemes(host string) []string {
	switch {
	case !c.mayBePlain(host):
		return []string{"https"}
	case isLoopback(hostname(host)):
		return []string{"http", "https"}
	}
	return []string{"https", "http"}
}

// ping asks for /v2/ until a scheme answers or no further try is worth it.
func (c *Client) ping(ctx context.Context, host string, ep *endpoint) error {
	p := c.wire.pace("GET " + host + "/v2/")
	for {
		var worth bool
		var last fault
		refusals := map[string]error{}
		for _, scheme := range c.schemes(host) {
			resp, at, err := c.pingOnce(ctx, scheme, host)
			if err == nil && isPong(resp) {
				// Where http was redirected to https at the same host, that is it.
				if resp.Request.URL.Host == host {
					scheme = resp.Request.URL.Scheme
				}
				ep.found, ep.scheme, ep.place, ep.challenge = true, scheme, at, pickChallenge(resp.Header)
				return nil
			}
			f, again := judge(resp, err)
			if err == nil && !again {
				f.err = notRegistry(host, readStatusError(resp))
			}
			refusals[scheme] = f.err
			if again && !worth {
				last, worth = f, true
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !worth {
			return telling(refusals)
		}
		if err := p.wait(ctx, last); err != nil {
			return err
		}
	}
}

// pingOnce asks once, in one scheme, and finds out where the registry is. The body
// of a good answer is read and closed, so that the next request finds the
// connection open.
func (c *Client) pingOnce(ctx context.Context, scheme, host string) (*http.Response, place, error) {
	k := &knock{client: c, host: host, place: placeOfName(host)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+"/v2/", nil)
	if err != nil {
		return nil, k.place, err
	}
	resp, err := (&http.Client{Transport: k, CheckRedirect: k.checkRedirect}).Do(req)
	if err != nil || !isPong(resp) {
		return resp, k.place, err
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, errorBodyLimit); err != nil && err != io.EOF {
		return nil, k.place, err
	}
	return resp, k.place, nil
}

// notRegistry is the error of an answer to a ping that no registry gives. A 404
// there is not [ErrNotFound]: nothing was looked for yet.
func notRegistry(host string, s *statusError) error {
	if s.status == http.StatusForbidden {
		return s
	}
	return wrongf("%s does not speak the registry protocol: GET /v2/ gives status %d", host, s.status)
}

// isPong is whether a registry answered, as opposed to something else there.
func isPong(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized
}

// telling is the refusal to show where each scheme had one: that of https,
// unless all that it says is that the server speaks http.
func telling(refusals map[string]error) error {
	if err, ok := refusals["http"]; ok && errors.Is(refusals["https"], http.ErrSchemeMismatch) {
		return err
	}
	return refusals["https"]
}
