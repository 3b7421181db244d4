package buildpush

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/setup"
)

// Want is what a run would do, for who looks before it whether it can.
type Want struct {
	Event    ci.Event
	Request  builder.Request
	Spec     setup.Spec // of the builder that it would make
	Keychain authn.Keychain
}

// Read gives what a run with these options would do. What can be read is there
// also where there are faults, which are the error, all of them joined. It asks
// no registry, and changes nothing.
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
	return Want{Event: event, Request: j.request, Spec: j.spec, Keychain: j.memory}, errors.Join(faults...)
}
