package registry

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/net/publicsuffix"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// answer sets the session's Authorization from a registry's challenge. The
// caller holds s.mu.
func (s *session) answer(ctx context.Context, challenge *auth.Challenge) error {
	login, err := authn.Authorization(ctx, s.login)
	if err != nil {
		return errdefs.New(errdefs.Environment, "credentials of %s: %w", s.repo.RegistryStr(), err)
	}
	switch {
	case login.RegistryToken != "":
		s.header = "Bearer " + login.RegistryToken
	case challenge.Scheme == auth.BearerAuth:
		token, err := s.token(ctx, challenge)
		if err != nil {
			return err
		}
		s.header = "Bearer " + token
	case login.Username != "" && login.Password != "":
		s.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password))
	case login.Auth != "":
		s.header = "Basic " + login.Auth
	}
	return nil
}

// token gets a token from the server that the challenge names.
func (s *session) token(ctx context.Context, challenge *auth.Challenge) (string, error) {
	scopes := []string{s.scope()}
	// Some registries want more than the spec says; what they name comes first,
	// since others look at the first scope only.
	if asked := challenge.Parameters["scope"]; asked != "" && !sameScope(asked, scopes[0]) {
		scopes = []string{asked, scopes[0]}
	}
	token, err := s.exchange(ctx, challenge.Parameters, scopes)
	return token.Token, err
}

// exchange gets a token for scopes from the server that parameters, those of a
// challenge, name.
func (s *session) exchange(ctx context.Context, parameters map[string]string, scopes []string) (Token, error) {
	realm, err := s.checkRealm(parameters["realm"])
	what := s.repo.RegistryStr()
	if s.repo.RepositoryStr() != "" {
		what = s.repo.Name()
	}
	if err != nil {
		return Token{}, err
	}
	token, err := transport.Exchange(ctx, s.repo.Registry, s.login,
		&hostTransport{host: realm.Host, session: s}, scopes,
		&transport.Challenge{Scheme: "bearer", Parameters: parameters, Insecure: s.scheme == "http"})
	if err != nil {
		return Token{}, explain("token of "+what+" at "+realm.Host, realm.Host, strings.Join(scopes, " "), err)
	}
	out := Token{Token: token.Token, ExpiresIn: token.ExpiresIn}
	if token.AccessToken != "" { // what some servers call it
		out.Token = token.AccessToken
	}
	return out, nil
}

// sameScope is whether two scopes ask for the same actions in any order.
func sameScope(a, b string) bool {
	split := func(scope string) (string, []string) {
		i := strings.LastIndex(scope, ":")
		actions := strings.Split(scope[i+1:], ",")
		slices.Sort(actions)
		return scope[:i+1], actions
	}
	resourceA, actionsA := split(a)
	resourceB, actionsB := split(b)
	return resourceA == resourceB && slices.Equal(actionsA, actionsB)
}

// hostTransport keeps a token request, which holds a password, at the host that
// was checked: redirects to another end here.
type hostTransport struct {
	host    string
	session *session
}

// RoundTrip implements http.RoundTripper.
func (t *hostTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.EqualFold(req.URL.Host, t.host) {
		return nil, errdefs.New(errdefs.Denied, "token server %s redirects to another host, %s", t.host, req.URL.Host)
	}
	return t.session.client.wire.RoundTrip(t.session.led(req, "wants credentials sent"))
}

// tenantDomains are domains whose subdomains belong to different customers, so
// that a common one proves nothing. The public suffix list misses them.
var tenantDomains = []string{"amazonaws.com", "azurecr.io", "azurecr.cn", "azurecr.us", "gcr.io", "pkg.dev"}

// checkRealm is the URL of a token server to which the session may send its
// credentials: the registry's own host, one of the same domain, or one that the
// client was told to trust. Registries under an attacker's hand have named
// servers of their own here (CVE-2020-15157, CVE-2026-48978).
func (s *session) checkRealm(realm string) (*url.URL, error) {
	host := s.repo.RegistryStr()
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errdefs.New(errdefs.Denied, "registry %s names no usable token server: %q", host, realm)
	}
	switch {
	case strings.EqualFold(u.Host, host) && (u.Scheme == "https" || s.scheme == "http"):
		return u, nil
	case u.Scheme != "https":
		return nil, errdefs.New(errdefs.Denied, "registry %s wants credentials sent over plain http, to %s", host, u.Host)
	case s.client.trusted[strings.ToLower(u.Host)], strings.EqualFold(u.Hostname(), hostname(host)) && !isLoopback(u.Hostname()):
		return u, nil
	case sameDomain(u.Hostname(), hostname(host)):
		return u, nil
	case s.login == authn.Anonymous && !isLoopback(u.Hostname()): // nothing to lose
		return u, s.client.check(s.lead("wants credentials sent"), u.Host)
	}
	return nil, errdefs.New(errdefs.Denied, "registry %s wants credentials sent to another host, %s", host, u.Host).
		WithHint("if %s is the token server of %s, name it in trust-realms", u.Host, host)
}

func sameDomain(a, b string) bool {
	domainA, errA := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(a))
	domainB, errB := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(b))
	if errA != nil || errB != nil || domainA != domainB {
		return false
	}
	return !slices.ContainsFunc(tenantDomains, func(d string) bool {
		return domainA == d || strings.HasSuffix(domainA, "."+d)
	})
}

// checkRedirect refuses redirects from https to http, and into networks that the
// registry may not lead to.
func (c *Client) checkRedirect(l lead, req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	switch {
	case len(via) >= 10:
		return fmt.Errorf("stopped after 10 redirects")
	case to.Scheme != "https" && !(to.Scheme == "http" && c.mayBePlain(to.Host)):
		return errdefs.New(errdefs.Denied, "%s redirects to plain %s at %s", from.Host, to.Scheme, to.Host)
	}
	return c.check(l, to.Host)
}
