package registry

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Try asks a registry whether credentials are good, as docker login does: it
// gets a token with them where the registry wants one, and opens /v2/. asked is
// false where the registry lets everybody in: it then proves nothing, and the
// credentials were not sent. The error is errdefs.Denied where they are refused,
// or where the registry names a token server that must not have them, and
// errdefs.Environment where nobody answers, or by no certificate that is trusted.
func (c *Client) Try(ctx context.Context, reg name.Registry, login authn.Authenticator) (asked bool, err error) {
	ep, err := c.endpoint(ctx, reg)
	if err != nil || ep.challenge == nil {
		return false, err
	}
	// Basic credentials go where the ping was answered; never on plain http but
	// to loopback and to registries that are insecure by the user's word.
	s := &session{client: c, repo: reg.Repo(""), scheme: ep.scheme, place: ep.place, login: login}
	if err := s.answerTry(ctx, ep); err != nil {
		return true, refusal(reg, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ep.scheme+"://"+reg.RegistryStr()+"/v2/", nil)
	if err != nil {
		return true, err
	}
	what := "GET " + reg.RegistryStr() + "/v2/"
	// The transport itself, below http.Client: it follows no redirect.
	resp, err := c.wire.RoundTrip(authorized(req, s.header))
	if err != nil {
		return true, explain(what, reg.RegistryStr(), "", err)
	}
	if resp.StatusCode != http.StatusOK {
		return true, refusal(reg, explain(what, reg.RegistryStr(), "", readStatusError(resp)))
	}
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, errorBodyLimit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return true, err
}

// answerTry answers a challenge with no scope but one that it names.
func (s *session) answerTry(ctx context.Context, ep *endpoint) error {
	login, err := authn.Authorization(ctx, s.login)
	if err != nil {
		return err
	}
	if ep.challenge.Scheme != auth.BearerAuth || login.RegistryToken != "" {
		return s.answer(ctx, ep.challenge)
	}
	var scopes []string
	if asked := ep.challenge.Parameters["scope"]; asked != "" {
		scopes = append(scopes, asked)
	}
	token, err := s.exchange(ctx, ep.challenge.Parameters, scopes)
	s.header = "Bearer " + token.Token
	return err
}

// refusal gives a refusal of credentials the next move of who just gave them.
func refusal(reg name.Registry, err error) error {
	var denied *errdefs.Error
	if !errors.As(err, &denied) || denied.Kind != errdefs.Denied || denied.Hint != loginHint(reg.RegistryStr()) {
		return err
	}
	hint := "check the username and the password; where two-factor login is on, the password is an access token"
	if reg.RegistryStr() == "ghcr.io" {
		hint += "; in a GitHub workflow the job needs `permissions: packages: write` to push"
	}
	return denied.WithHint("%s", hint)
}
