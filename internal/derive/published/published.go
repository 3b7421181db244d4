// Package published lists the tags that images have, for the command metadata
// where it is part of the whole program. It is a package of its own so that
// metadata as a program of its own stays small: what speaks to registries is
// not linked there.
package published

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// Tags lists the tags of a repository, as "ghcr.io/acme/app"; none where the
// registry does not know it. Credentials and proxies are those of env. Errors
// are errdefs.Error: BadInput for what is no repository, Denied, or Environment.
func Tags(ctx context.Context, env *cli.Env, repository string) ([]string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return nil, errdefs.BadInputf("images", 0, "%q is no image name: %w", repository, err)
	}
	tags, err := remote.List(repo,
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(registry.Keychain(env.Environ, env.Dir)),
		remote.WithTransport(registry.Transport(env.Environ)))
	var answer *transport.Error
	switch {
	case err == nil:
		return tags, nil
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return nil, nil
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		// So some registries say that there is no such repository.
		return nil, errdefs.New(errdefs.Denied, "tags of %s: %w", repository, err).
			WithHint("log in first, with the right to pull; before the first push leave guard-latest out")
	}
	return nil, errdefs.New(errdefs.Environment, "tags of %s: %w", repository, err)
}
