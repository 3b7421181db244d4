package registry

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// TokenRequest is a registry's challenge to somebody else, for whom a token is got.
type TokenRequest struct {
	Host    string // the registry's
	Realm   string // address of the token server
	Service string
	Scopes  []string // repository:NAME:ACTIONS
}

// Token is what a token server gave.
type Token struct {
	Token     string
	ExpiresIn int // seconds; 0 is not said
}

// Token gets a token with the client's credentials for the repository, or for the
// registry where the scopes name none. The token server is held against the same
// rules as for requests of the client's own, and asked again as often: a daemon
// that relays a registry's challenge is believed no more than the registry.
func (c *Client) Token(ctx context.Context, r TokenRequest) (Token, error) {
	reg, err := name.NewRegistry(r.Host)
	if err != nil {
		return Token{}, errdefs.New(errdefs.Environment, "token: %w", err)
	}
	s := &session{client: c, repo: reg.Repo(scopedRepository(r.Scopes)), scheme: "https", place: placeOfName(r.Host)}
	if c.mayBePlain(r.Host) {
		s.scheme = "http"
	}
	if s.login, err = c.login(ctx, s.repo, scopesOf(r.Scopes, s.repo.RepositoryStr())...); err != nil {
		return Token{}, err
	}
	login, err := authn.Authorization(ctx, s.login)
	if err != nil {
		return Token{}, errdefs.New(errdefs.Environment, "credentials of %s: %w", r.Host, err)
	}
	if login.RegistryToken != "" {
		return Token{Token: login.RegistryToken}, nil
	}
	challenge := map[string]string{"realm": r.Realm, "service": r.Service}
	token, err := s.exchange(ctx, challenge, r.Scopes)
	var in *intrusion
	if !errors.As(err, &in) {
		return token, err
	}
	// Somebody else spoke to the registry, and where that is was not looked at yet.
	wait, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	ep, unknown := c.endpoint(wait, reg)
	if unknown != nil || ep.place <= s.place {
		return Token{}, err // which says what is to be done
	}
	s.place = ep.place
	return s.exchange(ctx, challenge, r.Scopes)
}

// knockTimeout bounds the search for where a registry is, to which somebody else speaks.
const knockTimeout = 30 * time.Second

// login resolves the credentials of a repository for scopes, as they are now.
func (c *Client) login(ctx context.Context, repo name.Repository, scopes ...string) (authn.Authenticator, error) {
	var resource authn.Resource = repo
	if repo.RepositoryStr() == "" {
		resource = repo.Registry
	}
	login, err := authn.Resolve(ctx, c.keychain, WithScopes(resource, scopes...))
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "credentials of %s: %w", repo.RegistryStr(), err)
	}
	return login, nil
}

// scopesOf are the scopes of a repository among others: with the one that is
// pushed to, BuildKit asks for those that it would mount layers from, and a
// login that was made for the former must count all the same.
func scopesOf(scopes []string, repository string) []string {
	var own []string
	for _, text := range scopes {
		for scope := range strings.FieldsSeq(text) {
			if repository == "" || strings.HasPrefix(scope, "repository:"+repository+":") {
				own = append(own, scope)
			}
		}
	}
	return own
}

// scopedRepository is the repository that scopes are for: the one to push to,
// where another is there to mount from. Empty is none.
func scopedRepository(scopes []string) string {
	found := ""
	for _, scope := range scopes {
		path, ok := strings.CutPrefix(scope, "repository:")
		i := strings.LastIndex(path, ":")
		if !ok || i < 0 {
			continue
		}
		if strings.Contains(path[i:], "push") {
			return path[:i]
		}
		if found == "" {
			found = path[:i]
		}
	}
	return found
}
