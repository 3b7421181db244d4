package login

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// Keychain is inner, but that credentials which login got from a provider, and
// which are near their end, are got again from there before. They are kept in
// memory alone. Near is the last fifth of their life, ten minutes at most.
// Journals are looked for where environ says that docker's configuration is.
func (s *Source) Keychain(inner authn.Keychain, dir string) authn.Keychain {
	return &renewing{source: s, inner: inner, dir: dir, fresh: map[string]*loginEntryFresh{}}
}

type renewing struct {
	source *Source
	inner  authn.Keychain
	dir    string

	mu    sync.Mutex
	fresh map[string]*loginEntryFresh
}

// loginEntryFresh are credentials that were got again.
type loginEntryFresh struct {
	Credentials
	issued time.Time
}

// Resolve implements authn.Keychain.
func (k *renewing) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (k *renewing) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	entry := k.entry(target)
	if entry == nil {
		return authn.Resolve(ctx, k.inner, target)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.source.Now()
	if f := k.fresh[entry.Key]; f != nil && !near(now, f.issued, f.Expires) {
		return f.authenticator(), nil
	}
	if !near(now, entry.Renewal.Issued, *entry.Expires) {
		return authn.Resolve(ctx, k.inner, target)
	}
	f, err := k.renew(ctx, target.RegistryStr(), *entry.Renewal)
	if err == nil {
		k.fresh[entry.Key] = f
		return f.authenticator(), nil
	}
	if now.Before(*entry.Expires) && k.fresh[entry.Key] == nil {
		return authn.Resolve(ctx, k.inner, target) // good for a while; asked again then
	}
	return nil, errdefs.New(errdefs.KindOf(err), "credentials of %s ended at %s, and new ones: %w",
		target.RegistryStr(), entry.Expires.UTC().Format(time.RFC3339), err)
}

// near is whether credentials are about to end.
func near(now, issued, expires time.Time) bool {
	return expires.Sub(now) < min(10*time.Minute, expires.Sub(issued)/5)
}

// entry is the login in force of a registry, where it ends and can be got again.
func (k *renewing) entry(target authn.Resource) *loginEntry {
	if k.source.Environ["DOCKER_AUTH_CONFIG"] != "" {
		return nil
	}
	doc, err := readJournal(registry.ConfigDirectory(k.source.Environ, k.dir))
	if err != nil || doc == nil {
		return nil // the configuration itself may be sound
	}
	key := registry.ConfigKey(target.RegistryStr())
	var found *loginEntry
	for i, l := range doc.Logins {
		if l.Key == key {
			found = &doc.Logins[i]
		}
	}
	if found == nil || found.Expires == nil || found.Renewal == nil {
		return nil
	}
	return found
}

func (k *renewing) renew(ctx context.Context, host string, r Renewal) (*loginEntryFresh, error) {
	reg, err := name.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	for _, p := range providers() {
		if p.name != r.Provider {
			continue
		}
		issued := k.source.Now()
		list, err := p.renew(k.source, ctx, Account{Registry: reg}, r)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if c.Registry == reg {
				return &loginEntryFresh{c, issued}, nil
			}
		}
	}
	return nil, errdefs.New(errdefs.Environment, "provider %q gave none for %s", oneLine(r.Provider), host)
}
