package buildpush

import (
	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// credentials are the user's logins in the two forms that they are asked for:
// by BuildKit, which has its client fetch tokens, and by our own requests.
type credentials struct {
	provider authprovider.AuthConfigProvider
	keychain authn.Keychain
}

func loadCredentials(environ map[string]string) (credentials, error) {
	dir := registry.ConfigDir(environ)
	file, err := config.Load(dir)
	if err != nil {
		return credentials{}, errdefs.New(errdefs.BadInput, "docker's configuration in %s: %w", dir, err)
	}
	return credentials{
		provider: authprovider.LoadAuthConfig(file),
		keychain: registry.Keychain(environ),
	}, nil
}
