package login

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/registry"
)

// Memory is the logins of one run. They are written nowhere, and end with it.
type Memory struct {
	source *Source
	inner  authn.Keychain

	mu     sync.Mutex
	logins []*remembered
}

// remembered is what is known of one registry, or of a part of one.
type remembered struct {
	account Account
	Credentials
	issued time.Time
}

// Memory is inner, but for the registries that are remembered.
func (s *Source) Memory(inner authn.Keychain) *Memory { return &Memory{source: s, inner: inner} }

// Remember has the credentials of an account count from now on. Those that end
// are got again from the account's provider before.
func (m *Memory) Remember(a Account, list []Credentials) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range list {
		issued := m.source.Now()
		if c.Renewal != nil {
			issued = c.Renewal.Issued
		}
		m.logins = append(m.logins, &remembered{account: a, Credentials: c, issued: issued})
	}
}

// Resolve implements authn.Keychain.
func (m *Memory) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return m.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (m *Memory) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	login := m.find(target)
	if login == nil {
		return authn.Resolve(ctx, m.inner, target)
	}
	if err := m.refresh(ctx, login); err != nil {
		return nil, err
	}
	return login.authenticator(), nil
}

// find is the login that fits a target best; nil is none.
func (m *Memory) find(target authn.Resource) *remembered {
	var ours []*remembered
	var scopes []string
	for _, l := range m.logins {
		if l.Registry.RegistryStr() == target.RegistryStr() {
			ours = append(ours, l)
			scopes = append(scopes, l.account.Scope)
		}
	}
	if best := registry.BestScope(target, scopes); best >= 0 {
		return ours[best]
	}
	return nil
}

// refresh gets credentials again that are near their end.
func (m *Memory) refresh(ctx context.Context, l *remembered) error {
	now := m.source.Now()
	if l.Expires.IsZero() || !near(now, l.issued, l.Expires) {
		return nil
	}
	list, err := m.source.Credentials(ctx, l.account)
	if err != nil {
		if now.Before(l.Expires) {
			return nil // good for a while; asked again then
		}
		return wrap(l.account, err)
	}
	for _, c := range list {
		if c.Registry == l.Registry {
			l.Credentials, l.issued = c, now
		}
	}
	return nil
}
