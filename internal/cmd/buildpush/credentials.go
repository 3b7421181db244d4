package buildpush

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
	hull "github.com/hullwright/hullwright/internal/registry"
)

// buildkitCredentials gives BuildKit's client the credentials that our own
// requests use. The client keeps them to itself and is asked again and again in a
// long build: what a helper gave is used until the client's check says that it
// may have run out, and then got anew.
func buildkitCredentials(keychain authn.Keychain, now func() time.Time) authprovider.AuthConfigProvider {
	type login struct {
		types.AuthConfig
		at time.Time
	}
	var mu sync.Mutex
	known := map[string]login{}
	return func(ctx context.Context, host string, scopes []string, expired authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		mu.Lock()
		defer mu.Unlock()
		key := host + " " + strings.Join(scopes, " ")
		if found, ok := known[key]; ok && expired != nil && !expired(found.at, host) {
			return found.AuthConfig, nil
		}
		at := now()
		config, err := credentialsOf(ctx, keychain, host, scopes)
		if err != nil {
			return types.AuthConfig{}, err
		}
		known[key] = login{config, at}
		return config, nil
	}
}

// credentialsOf are the credentials of a registry, as BuildKit names it, for
// scopes.
func credentialsOf(ctx context.Context, keychain authn.Keychain, host string, scopes []string) (types.AuthConfig, error) {
	if host == authprovider.DockerHubRegistryHost {
		host = name.DefaultRegistry
	}
	registry, err := name.NewRegistry(host)
	if err != nil {
		return types.AuthConfig{}, err
	}
	found, err := authn.Resolve(ctx, keychain, hull.WithScopes(registry, scopes...))
	if err != nil {
		return types.AuthConfig{}, errdefs.New(errdefs.Environment, "credentials of %s: %w", host, err)
	}
	login, err := authn.Authorization(ctx, found)
	if err != nil {
		return types.AuthConfig{}, errdefs.New(errdefs.Environment, "credentials of %s: %w", host, err)
	}
	return types.AuthConfig{
		Username:      login.Username,
		Password:      login.Password,
		Auth:          login.Auth,
		IdentityToken: login.IdentityToken,
		RegistryToken: login.RegistryToken,
		ServerAddress: host,
	}, nil
}
