package login

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// attempts are how many registries are tried at the same time.
const attempts = 8

// Prover gets credentials and tries them where they are for.
type Prover struct {
	Source *Source
	Client *registry.Client
	// Warn is told of a registry that asks nobody who they are.
	Warn func(text string)
}

// Prove gives the credentials of every account, in the accounts' order, once
// their registries took them. Every fault is told: an errdefs.BadInput of what is
// missing, an errdefs.Denied of what is refused.
func (p Prover) Prove(ctx context.Context, accounts []Account) ([][]Credentials, error) {
	found := make([][]Credentials, len(accounts))
	faults := make([]error, len(accounts))
	var group errgroup.Group
	group.SetLimit(attempts)
	for i, a := range accounts {
		group.Go(func() error {
			found[i], faults[i] = p.one(ctx, a)
			return nil
		})
	}
	group.Wait() // no function of it fails
	return found, errors.Join(faults...)
}

func (p Prover) one(ctx context.Context, a Account) ([]Credentials, error) {
	found, err := p.Source.Credentials(ctx, a)
	if err != nil {
		return nil, wrap(a, err)
	}
	for _, c := range found {
		p.Source.hide(basic(c))
		asked, err := p.Client.Try(ctx, c.Registry, c.authenticator())
		if err != nil {
			return nil, fmt.Errorf("log in to %s as %s: %w", c.Registry, c.Username, err)
		}
		if !asked {
			p.Warn(fmt.Sprintf("%s asks nobody who they are: the login was not tried", c.Registry))
		}
	}
	return found, nil
}

// Describe says for a log who is logged in where, of an account's credentials.
func (c Credentials) Describe(a Account) string {
	text := fmt.Sprintf("logged in to %s as %s", c.Registry, c.Username)
	if a.Scope != "" {
		text += " for " + a.Scope
	}
	if !c.Expires.IsZero() {
		text += ", until " + c.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// wrap names the registry, unless the fault names an input.
func wrap(a Account, err error) error {
	var told *errdefs.Error
	if errors.As(err, &told) && told.Input != "" {
		return err
	}
	return fmt.Errorf("credentials of %s: %w", a.Registry, err)
}

// basic is how credentials go over the wire, which logs may show as well.
func basic(c Credentials) string {
	return base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
}

func (c Credentials) authenticator() authn.Authenticator {
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password})
}
