package registry

import (
	"cmp"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// WithScopes is a target for whose scopes ("repository:NAME:pull,push")
// credentials of their own count, where a login was made for them.
func WithScopes(target authn.Resource, scopes ...string) authn.Resource {
	return scopedResource{target, scopes}
}

type scopedResource struct {
	authn.Resource
	scopes []string
}

// ScopeDirectory is where credentials of a registry and a scope are kept, below
// buildx's directory: scope is a repository, "@" and actions, or both, as
// docker/login-action writes them: "team/app@push".
func ScopeDirectory(buildx, host, scope string) string {
	dir := filepath.Join(buildx, "config", scopeHost(host))
	repository, actions, has := strings.Cut(scope, "@")
	if repository != "" {
		dir = filepath.Join(dir, filepath.FromSlash(repository))
	}
	if has {
		dir += "@" + actions
	}
	return dir
}

// scopeHost is a registry's name in buildx's directory.
func scopeHost(host string) string {
	if host == name.DefaultRegistry {
		return "registry-1.docker.io"
	}
	return host
}

// scopedLogin is a directory with credentials for a part of a registry.
type scopedLogin struct {
	dir        string
	repository string   // empty is any
	actions    []string // that are needed; none is any
}

// scoped is a login for a part of a registry, by its scope as ScopeDirectory
// takes it.
func scoped(scope string) scopedLogin {
	repository, actions, _ := strings.Cut(scope, "@")
	l := scopedLogin{repository: repository}
	for action := range strings.SplitSeq(actions, ",") {
		if action = strings.TrimSpace(action); action != "" {
			l.actions = append(l.actions, action)
		}
	}
	return l
}

// compare orders logins that fit: the one that fits best comes first. The order
// is buildx's: one of the repository before one of the registry, then the one of
// more actions.
func (l scopedLogin) compare(o scopedLogin) int {
	return cmp.Or(strings.Compare(o.repository, l.repository), cmp.Compare(len(o.actions), len(l.actions)))
}

// asked are the actions of the one resource that a target is for; nil where it
// is for none or several. Several scopes at once, as a mount across repositories
// asks for, have no login of their own, as in buildx.
func asked(target authn.Resource) map[string][]string {
	scoped, ok := target.(scopedResource)
	if !ok {
		return nil
	}
	if all := parseScopes(scoped.scopes); len(all) == 1 {
		return all
	}
	return nil
}

// BestScope is which of scopes, as ScopeDirectory takes them, a target's login
// is of; -1 is none. An empty scope is of the whole registry, and counts where
// none other fits.
func BestScope(target authn.Resource, scopes []string) int {
	best := -1
	want := asked(target)
	for i, scope := range scopes {
		l := scoped(scope)
		if scope != "" && (want == nil || !l.fits(want)) {
			continue
		}
		if best < 0 || l.compare(scoped(scopes[best])) < 0 {
			best = i
		}
	}
	return best
}

// scopedDirectory is the directory of the credentials that fit a target's scope
// best; empty is none.
func (k *keychain) scopedDirectory(target authn.Resource) string {
	want := asked(target)
	if want == nil {
		return ""
	}
	base := filepath.Join(BuildxDirectory(k.environ, k.dir), "config")
	var fit []scopedLogin
	for _, l := range scopedLogins(base, scopeHost(target.RegistryStr())) {
		if l.fits(want) {
			fit = append(fit, l)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, scopedLogin.compare).dir
}

// scopedLogins are the directories of a registry below base. What can't be read
// there is none: most machines have no such directory.
func scopedLogins(base, host string) []scopedLogin {
	var found []scopedLogin
	filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if d.IsDir() || d.Name() != config.ConfigFileName {
			return nil
		}
		dir := filepath.Dir(path)
		key, err := filepath.Rel(base, dir)
		if err != nil {
			return nil
		}
		main, actions, _ := strings.Cut(filepath.ToSlash(key), "@")
		registry, repository, _ := strings.Cut(main, "/")
		if registry == host {
			l := scoped(repository + "@" + actions)
			l.dir = dir
			found = append(found, l)
		}
		return nil
	})
	return found
}

// fits is whether the login is for the one scope that is asked for.
func (l scopedLogin) fits(asked map[string][]string) bool {
	for resource, actions := range asked {
		if l.repository != "" && resource != "repository:"+l.repository {
			return false
		}
		for _, need := range l.actions {
			if !slices.Contains(actions, need) {
				return false
			}
		}
	}
	return true
}

// parseScopes are the actions of each resource in scopes, of which one text may
// hold several: https://distribution.github.io/distribution/spec/auth/scope/
func parseScopes(scopes []string) map[string][]string {
	asked := map[string][]string{}
	for _, text := range scopes {
		for scope := range strings.FieldsSeq(text) {
			parts := strings.SplitN(scope, ":", 3)
			resource := strings.Join(parts[:min(len(parts), 2)], ":")
			if len(parts) == 3 {
				asked[resource] = append(asked[resource], strings.Split(parts[2], ",")...)
			} else if _, ok := asked[resource]; !ok {
				asked[resource] = nil
			}
		}
	}
	return asked
}
