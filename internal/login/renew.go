package login

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// Keychain is inner, but that credentials which login got from a provider, and
// which are near their end, are got again from there before. They are kept in
// memory alone. Near is the last fifth of their life, ten minutes at most.
// Inner, a [registry.Keychain], says which login is in force for a target, and
// where it is kept: what is kept without a journal of ours is as inner gives it.
func (s *Source) Keychain(inner authn.Keychain) authn.Keychain {
	return &renewing{source: s, inner: inner, renewed: map[registry.Kept]lease{}}
}

type renewing struct {
	source *Source
	inner  authn.Keychain

	mu      sync.Mutex
	renewed map[registry.Kept]lease // what is used in place of what is kept
}

// lease are credentials that end.
type lease struct {
	Credentials
	issued time.Time
}

// Resolve implements authn.Keychain.
func (k *renewing) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (k *renewing) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	found, err := authn.Resolve(ctx, k.inner, target)
	if err != nil {
		return nil, err
	}
	kept, ok := found.(*registry.Kept)
	if !ok {
		return found, nil
	}
	entry := journaled(kept)
	if entry == nil || entry.Expires == nil || entry.Renewal == nil {
		return found, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	used, ok := k.renewed[*kept]
	if !ok {
		used = lease{Credentials{Username: kept.Username, Password: kept.Password, Expires: *entry.Expires}, entry.Renewal.Issued}
	}
	now := k.source.Now()
	if !near(now, used.issued, used.Expires) {
		return used.authenticator(), nil
	}
	again, err := k.renew(ctx, kept.Key, *entry.Renewal)
	switch {
	case err == nil:
		k.renewed[*kept] = again
		return again.authenticator(), nil
	case now.Before(used.Expires):
		return used.authenticator(), nil // good for a while; asked again then
	}
	return nil, errdefs.New(errdefs.KindOf(err), "credentials of %s ended at %s, and new ones: %w",
		target.RegistryStr(), used.Expires.UTC().Format(time.RFC3339), err)
}

// near is whether credentials are about to end.
func near(now, issued, expires time.Time) bool {
	return expires.Sub(now) < min(10*time.Minute, expires.Sub(issued)/5)
}

// journaled is what the journal beside their file tells of credentials; nil is
// nothing. Others than those that we put may be in force for the same registry:
// docker login wrote them since, or they are of one repository.
func journaled(kept *registry.Kept) *loginEntry {
	if kept.File == "" {
		return nil
	}
	doc, err := readJournal(filepath.Dir(kept.File))
	if err != nil || doc == nil {
		return nil // the configuration itself may be sound
	}
	inForce := basic(Credentials{Username: kept.Username, Password: kept.Password})
	for _, l := range slices.Backward(doc.Logins) {
		var put struct{ Auth string }
		if l.Key == kept.Key && json.Unmarshal(l.Auth, &put) == nil && put.Auth == inForce {
			return &l
		}
	}
	return nil
}

// renew gets credentials of a registry again; key is its name in docker's
// configuration.
func (k *renewing) renew(ctx context.Context, key string, r Renewal) (lease, error) {
	reg, err := ParseRegistry("registry", 0, key)
	if err != nil {
		return lease{}, err
	}
	for _, p := range providers() {
		if p.name != r.Provider {
			continue
		}
		issued := k.source.Now()
		list, err := p.renew(k.source, ctx, Account{Registry: reg}, r)
		if err != nil {
			return lease{}, err
		}
		for _, c := range list {
			if c.Registry == reg {
				return lease{c, issued}, nil
			}
		}
	}
	return lease{}, errdefs.New(errdefs.Environment, "provider %q gave none for %s", oneLine(r.Provider), reg)
}
