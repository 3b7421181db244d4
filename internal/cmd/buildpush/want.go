package buildpush

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// Want is what a run would do, for who looks before it whether it can.
type Want struct {
	Event    ci.Event
	Request  builder.Request
	Spec     setup.Spec // of the builder that it would make
	Keychain authn.Keychain
	// Authorities are as registry.WithAuthorities has them.
	Authorities map[string][]byte
}

// credentialsLimit is how long those may take who make credentials for a login.
const credentialsLimit = 5 * time.Second

// Read gives what a run with these options would do. What can be read is there
// also where there are faults, which are the error, all of them joined. It asks
// no registry, but for logins those who make their credentials, as Amazon; and it
// changes nothing.
func Read(ctx context.Context, env *cli.Env, o Options) (Want, error) {
	event, err := readEvent(ctx, env, len(o.Images) > 0)
	faults := []error{err}
	j := &job{env: env, event: event, options: o, started: env.Now(), cacheSecrets: cacheSecrets{}}
	if err == nil {
		for _, parse := range parts {
			faults = append(faults, parse(j, ctx))
		}
	}
	j.openRegistry()
	if errors.Join(faults...) == nil {
		faults = append(faults, j.settleOutputs(ctx), j.checkCacheTargets(ctx))
	}
	faults = append(faults, j.remember(ctx)...)
	return Want{Event: event, Request: j.request, Spec: j.spec, Keychain: j.memory, Authorities: j.authorities}, errors.Join(faults...)
}

// remember has the logins that were given count, untried. As in logIn the request
// of a fork gets none.
func (j *job) remember(ctx context.Context) []error {
	if j.ofFork() && !j.options.AllowUntrusted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsLimit)
	defer cancel()
	var faults []error
	for _, a := range j.accounts {
		list, err := j.source.Credentials(ctx, a)
		if err != nil {
			faults = append(faults, &errdefs.Error{Kind: errdefs.KindOf(err), Input: "registry-auth", Err: err})
			continue
		}
		for _, c := range list {
			j.hide(c.Password)
		}
		j.memory.Remember(a, list)
	}
	return faults
}
