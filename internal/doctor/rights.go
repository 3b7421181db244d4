package doctor

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

func checkPush(ctx context.Context, r *run) []Finding {
	if len(r.Push) == 0 {
		return leftOut("nothing is pushed")
	}
	return together(r.Push, func(repo name.Repository) []Finding {
		if _, err := r.ping(repo.Registry); err != nil {
			return leftOut("%s does not answer", repo.RegistryStr())
		}
		err := r.shared.client.TryPush(ctx, repo)
		switch {
		case err == nil:
			return []Finding{ok(repo.Name(), "an upload may begin (whether a tag may be overwritten, no registry tells)")}
		case errdefs.KindOf(err) != errdefs.Denied:
			return []Finding{because("push-failed", repo.Name(), err)}
		case r.refusesLogin(ctx, repo):
			return leftOut("%s refuses the credentials", repo.RegistryStr())
		case r.ofJob(ctx, repo):
			f := because("token-read-only", repo.Name(), err)
			return []Finding{f.then(find("token-read-only", "", "").Next)}
		}
		return []Finding{because("push-denied", repo.Name(), err)}
	})
}

// refusesLogin is whether credentials are refused whatever they are used for,
// which the check of logins tells.
func (r *run) refusesLogin(ctx context.Context, repo name.Repository) bool {
	login, err := authn.Resolve(ctx, r.Keychain, repo.Registry)
	if err != nil || login == authn.Anonymous {
		return false
	}
	_, err = r.shared.client.Try(ctx, repo.Registry, login)
	return errdefs.KindOf(err) == errdefs.Denied
}

// jobTokens are the variables with the token that a CI system made for the job.
var jobTokens = []string{"GITHUB_TOKEN", "INPUT_GITHUB-TOKEN", "INPUT_GITHUB_TOKEN", "GITEA_TOKEN", "CI_JOB_TOKEN"}

// ofJob is whether the credentials of a repository are the job's own token.
func (r *run) ofJob(ctx context.Context, repo name.Repository) bool {
	found, err := authn.Resolve(ctx, r.Keychain, registry.WithScopes(repo, "repository:"+repo.RepositoryStr()+":pull,push"))
	if err != nil {
		return false
	}
	login, err := authn.Authorization(ctx, found)
	if err != nil {
		return false
	}
	password := login.Password
	if raw, err := base64.StdEncoding.DecodeString(login.Auth); err == nil && password == "" {
		_, password, _ = strings.Cut(string(raw), ":")
	}
	return password != "" && slices.ContainsFunc(jobTokens, func(v string) bool {
		return strings.TrimSpace(r.Environ[v]) == password
	})
}

func checkCache(ctx context.Context, r *run) []Finding {
	var list []Cache
	for _, c := range r.Caches {
		if c.Ref != nil {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return leftOut("no cache is in a registry")
	}
	return together(list, func(c Cache) []Finding {
		if _, err := r.ping(c.Ref.Context().Registry); err != nil {
			return leftOut("%s does not answer", c.Ref.Context().RegistryStr())
		}
		if c.Export {
			return r.checkExport(ctx, c)
		}
		return r.checkImport(ctx, c)
	})
}

func (r *run) checkExport(ctx context.Context, c Cache) []Finding {
	repo := c.Ref.Context()
	same := func(o name.Repository) bool { return o.Name() == repo.Name() }
	if slices.ContainsFunc(r.Push, same) {
		return []Finding{ok(c.Ref.Name(), "in a repository that is pushed to")}
	}
	err := r.shared.client.TryPush(ctx, repo)
	switch {
	case err == nil:
		return []Finding{ok(c.Ref.Name(), "an upload may begin")}
	case c.Must:
		return []Finding{because("cache-denied-fatal", c.Ref.Name(), err)}
	}
	return []Finding{because("cache-denied", c.Ref.Name(), err)}
}

func (r *run) checkImport(ctx context.Context, c Cache) []Finding {
	_, err := r.shared.client.Resolve(ctx, c.Ref)
	switch {
	case err == nil:
		return []Finding{ok(c.Ref.Name(), "it is there")}
	case errors.Is(err, registry.ErrNotFound):
		return []Finding{find("cache-absent", c.Ref.Name(), "it is not there yet")}
	}
	return []Finding{because("cache-unreadable", c.Ref.Name(), err)}
}
