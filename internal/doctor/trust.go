package doctor

import (
	"context"
	"fmt"
	"regexp"

	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/hullwright/hullwright/internal/setup"
)

// probeTag names an image that no registry has.
const probeTag = "hullwright-doctor-no-such-tag"

func checkTrust(ctx context.Context, r *run) []Finding {
	b, left := r.booted()
	if b == nil {
		return left
	}
	return r.each(func(reg name.Registry) []Finding {
		var list []Finding
		for _, n := range b.Nodes {
			list = append(list, r.reach(ctx, b.Client(n), n, reg)...)
		}
		return list
	})
}

// reach has a node ask a registry for an image that is not there. That it is told
// so, or that it is asked for credentials, shows that it got through.
func (r *run) reach(ctx context.Context, c *client.Client, n setup.Node, reg name.Registry) []Finding {
	on := n.Name + " to " + reg.RegistryStr()
	err := resolve(ctx, c, r.repositoryAt(reg).Tag(probeTag))
	id := blame(err)
	if ctx.Err() != nil {
		id, err = "builder-unreachable", fmt.Errorf("no answer within %s", r.limit)
	}
	switch {
	case id == "":
		return []Finding{ok(on, "reached and trusted")}
	case id == "builder-unreachable":
		if _, here := r.ping(reg); here != nil {
			return leftOut("%s does not answer here either", reg.RegistryStr())
		}
	}
	return []Finding{find(id, on, "%v", err)}
}

// repositoryAt is a repository of the build at a registry.
func (r *run) repositoryAt(reg name.Registry) name.Repository {
	for _, repo := range r.Push {
		if repo.RegistryStr() == reg.RegistryStr() {
			return repo
		}
	}
	for _, c := range r.Caches {
		if c.Ref != nil && c.Ref.Context().RegistryStr() == reg.RegistryStr() {
			return c.Ref.Context()
		}
	}
	return reg.Repo("library/hullwright-doctor")
}

// resolve asks for an image without credentials: a refusal is an answer too.
func resolve(ctx context.Context, c *client.Client, ref name.Tag) error {
	nobody := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: func(context.Context, string, []string, authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
			return types.AuthConfig{}, nil
		},
	})
	opt := client.SolveOpt{Internal: true, Session: []session.Attachable{nobody}}
	_, err := c.Build(ctx, opt, "", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		_, _, _, err := g.ResolveImageConfig(ctx, ref.Name(), sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: "pull"}})
		if err != nil {
			return nil, err
		}
		return gateway.NewResult(), nil
	}, nil)
	return err
}

// failures are what a builder says that got no answer. Over gRPC nothing is left
// of an error but its text.
var failures = []struct {
	id   string
	text *regexp.Regexp
}{
	{"builder-untrusted", regexp.MustCompile(`x509: |tls: failed to verify`)},
	{"builder-plain", regexp.MustCompile(`server gave HTTP response to HTTPS client`)},
	{"builder-unreachable", regexp.MustCompile(`dial tcp|no such host|i/o timeout|connection refused|no route to host|network is unreachable|proxyconnect|Client\.Timeout`)},
}

// blame is the finding of a builder's error; empty where a registry answered.
func blame(err error) string {
	if err == nil {
		return ""
	}
	for _, f := range failures {
		if f.text.MatchString(err.Error()) {
			return f.id
		}
	}
	return ""
}
