package builder

import (
	"context"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
	"google.golang.org/grpc"

	"github.com/hullwright/hullwright/internal/registry"
)

// authorizer answers what BuildKit asks about registries: credentials as its own
// client does, tokens by s.Tokens. Its own way of these sends credentials wherever
// a registry says, and asks once.
type authorizer struct {
	auth.AuthServer
	tokens func(context.Context, registry.TokenRequest) (registry.Token, error)
}

// newAuthorizer is what a build's session needs to push and pull.
func newAuthorizer(s Session) session.Attachable {
	own := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: s.Credentials})
	server, ok := own.(auth.AuthServer)
	if !ok || s.Tokens == nil {
		return own
	}
	return authorizer{server, s.Tokens}
}

// Register implements session.Attachable.
func (a authorizer) Register(server *grpc.Server) { auth.RegisterAuthServer(server, a) }

// FetchToken implements auth.AuthServer.
func (a authorizer) FetchToken(ctx context.Context, r *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	host := r.Host
	if host == authprovider.DockerHubRegistryHost {
		host = "index.docker.io"
	}
	token, err := a.tokens(ctx, registry.TokenRequest{Host: host, Realm: r.Realm, Service: r.Service, Scopes: r.Scopes})
	if err != nil {
		return nil, err
	}
	if token.ExpiresIn == 0 {
		token.ExpiresIn = 60 // as the spec of tokens has it
	}
	return &auth.FetchTokenResponse{Token: token.Token, ExpiresIn: int64(token.ExpiresIn)}, nil
}
