package buildpush

import (
	"context"

	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// buildkitCredentials gives BuildKit's client the credentials that our own
// requests use. The client fetches tokens with them; they don't leave it.
func buildkitCredentials(keychain authn.Keychain) authprovider.AuthConfigProvider {
	return func(ctx context.Context, host string, _ []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		if host == authprovider.DockerHubRegistryHost {
			host = name.DefaultRegistry
		}
		registry, err := name.NewRegistry(host)
		if err != nil {
			return types.AuthConfig{}, err
		}
		found, err := authn.Resolve(ctx, keychain, registry)
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
}
