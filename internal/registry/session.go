package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// perRepository is how many requests of one repository may be under way.
	// Twenty tags and their manifest must fit: a second wave costs a round trip.
	perRepository = 32
	// bodyLimit is the longest manifest or config that is read. The OCI
	// distribution spec asks registries to take manifests of 4 MiB.
	bodyLimit = 8 << 20

	manifests = "manifests"
	blobs     = "blobs"

	pull = "pull"
	push = "pull,push"
)

type sessionKey struct{ repo, actions string }

// session is what the client knows of one repository: where it answers and the
// token that opens it. It is the http.RoundTripper that puts the token on a
// request, and gets a new one, once a request, where a registry answers 401.
type session struct {
	client  *Client
	repo    name.Repository
	actions string
	slots   chan struct{} // bounds the requests under way
	http    *http.Client

	mu     sync.Mutex
	opened bool
	scheme string
	place  place // the registry's
	login  authn.Authenticator
	header string // Authorization; empty is none
}

// session is the client's session of a repository. One that may push serves to
// pull also.
func (c *Client) session(repo name.Repository, actions string) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sessions[sessionKey{repo.Name(), push}]; ok {
		return s
	}
	key := sessionKey{repo.Name(), actions}
	if s, ok := c.sessions[key]; ok {
		return s
	}
	s := &session{client: c, repo: repo, actions: actions, place: placeOfName(repo.RegistryStr()), slots: make(chan struct{}, perRepository)}
	s.http = &http.Client{Transport: s, CheckRedirect: s.checkRedirect}
	c.sessions[key] = s
	return s
}

// call is one request to a repository.
type call struct {
	method      string
	kind        string // manifests or blobs
	id          string // tag or digest
	accept      string
	contentType string
	ifMatch     string // ETag that what is there must have; empty is any
	body        []byte
	// probe asks for one byte and reads none: for presence, not content.
	probe bool
}

// reply is an answer with a status of 2xx.
type reply struct {
	header http.Header
	body   []byte
	size   int64 // of the whole content; -1 is unknown
}

// do makes a call. Errors are explained, with the call's operand.
func (s *session) do(ctx context.Context, c call) (reply, error) {
	what := c.method + " " + s.repo.Name() + separator(c.id) + c.id
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return reply{}, fmt.Errorf("%s: %w", what, &unsentError{ctx.Err()})
	}
	defer func() { <-s.slots }()
	if err := s.open(ctx); err != nil {
		return reply{}, err
	}
	p := s.client.wire.pace(what)
	for {
		r, err := s.once(ctx, c)
		var cut *cutError
		if !errors.As(err, &cut) || !Transient(err) || ctx.Err() != nil {
			return r, explain(what, s.repo.RegistryStr(), s.scope(), err)
		}
		if err := p.wait(ctx, fault{text: short(cut.err), err: err}); err != nil {
			return reply{}, explain(what, s.repo.RegistryStr(), s.scope(), err)
		}
	}
}

// cutError is a body that ended early, after a header that was good; it is
// above what the retrying transport sees.
type cutError struct{ err error }

func (e *cutError) Error() string { return "answer cut short: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

func (s *session) once(ctx context.Context, c call) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, s.url(c.kind, c.id).String(), nil)
	if err != nil {
		return reply{}, err
	}
	if c.body != nil {
		req.Body = io.NopCloser(bytes.NewReader(c.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
		req.ContentLength = int64(len(c.body))
		req.Header.Set("Content-Type", c.contentType)
	}
	if c.accept != "" {
		req.Header.Set("Accept", c.accept)
	}
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	if c.probe {
		req.Header.Set("Range", "bytes=0-0")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return reply{}, readStatusError(resp)
	}
	defer resp.Body.Close()
	r := reply{header: resp.Header, size: wholeSize(resp)}
	if c.probe {
		return r, nil
	}
	r.body, err = readBody(resp.Body)
	return r, err
}

// url is that of a manifest or a blob. The session must be open.
func (s *session) url(kind, id string) *url.URL {
	return &url.URL{Scheme: s.scheme, Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/" + kind + "/" + id}
}

func readBody(body io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, bodyLimit+1))
	if err != nil {
		return nil, &cutError{err}
	}
	if len(raw) > bodyLimit {
		return nil, wrongf("answer is longer than %d MiB", bodyLimit>>20)
	}
	return raw, nil
}

// wholeSize is the size of the content that resp has or has a part of.
func wholeSize(resp *http.Response) int64 {
	if resp.StatusCode != http.StatusPartialContent {
		return resp.ContentLength
	}
	var first, last, whole int64
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &whole); err != nil {
		return -1
	}
	return whole
}

func (s *session) scope() string {
	return "repository:" + s.repo.RepositoryStr() + ":" + s.actions
}

// open finds how the registry wants to be spoken to, and logs in.
func (s *session) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return nil
	}
	ep, err := s.client.endpoint(ctx, s.repo.Registry)
	if err != nil {
		return err
	}
	if s.login, err = s.client.login(ctx, s.repo, s.scope()); err != nil {
		return err
	}
	s.scheme, s.place = ep.scheme, ep.place
	if ep.challenge != nil {
		if err := s.answer(ctx, ep.challenge); err != nil {
			return err
		}
	}
	s.opened = true
	return nil
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	// Only the registry itself gets the token: not another host, port or scheme
	// that it redirects to. The header is put on a copy, since net/http carries
	// the original's headers along a redirect.
	ours := req.URL.Scheme == s.scheme && strings.EqualFold(req.URL.Host, s.repo.RegistryStr())
	if !ours {
		wants := "redirects"
		if req.Response == nil { // which a redirect has, and what a Location begins has not
			wants = "wants a blob sent"
		}
		return s.client.wire.RoundTrip(s.led(req, wants))
	}
	header := s.authorization()
	resp, err := s.client.wire.RoundTrip(authorized(req, header))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	challenge := pickChallenge(resp.Header)
	if challenge == nil || (req.Body != nil && req.GetBody == nil) {
		return resp, nil // nothing to answer, or a body that is gone
	}
	fresh, err := s.renew(req.Context(), header, challenge)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if fresh == header || req.Body != nil && req.GetBody == nil {
		return resp, nil
	}
	again, err := rewound(req)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	readStatusError(resp) // drained, so that the connection can be used again
	return s.client.wire.RoundTrip(authorized(again, fresh))
}

// led is a request that the registry wants sent.
func (s *session) led(req *http.Request, wants string) *http.Request {
	return s.client.led(req, s.lead(wants))
}

func (s *session) lead(wants string) lead {
	return lead{registry: s.repo.RegistryStr(), from: s.place, wants: wants}
}

func (s *session) checkRedirect(req *http.Request, via []*http.Request) error {
	return s.client.checkRedirect(s.lead("redirects"), req, via)
}

func authorized(req *http.Request, header string) *http.Request {
	out := req.Clone(req.Context())
	if header != "" {
		out.Header.Set("Authorization", header)
	}
	return out
}

func (s *session) authorization() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header
}

// renew is an Authorization to use in place of used, which was refused. Many
// requests whose token ran out together get one new token between them.
func (s *session) renew(ctx context.Context, used string, challenge *auth.Challenge) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header != used {
		return s.header, nil
	}
	// What a credential helper gave may be a token that has run out as well.
	login, err := s.client.login(ctx, s.repo, s.scope())
	if err != nil {
		return s.header, err
	}
	s.login = login
	err = s.answer(ctx, challenge)
	return s.header, err
}

// pickChallenge is the challenge that we can answer, a token's before a
// password's; nil is none.
func pickChallenge(h http.Header) *auth.Challenge {
	for _, c := range auth.ParseAuthHeader(h) {
		if c.Scheme == auth.BearerAuth || c.Scheme == auth.BasicAuth {
			return &c
		}
	}
	return nil
}
