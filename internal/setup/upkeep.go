package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// UpkeepOptions are what a person can say of what runs leave behind, for
// commands that make builders to embed.
type UpkeepOptions struct {
	Lifetime string `env:"LIFETIME" placeholder:"TIME" help:"How long what is made may stay, as 90m; then setup and teardown --orphans of any later job remove it. none is for ever. The default is 6h on a CI system, and none elsewhere and with keep-state."`
	Orphans  string `env:"ORPHANS" envDefault:"auto" choices:"auto true false" help:"Remove first what jobs that were killed left behind on this machine; build-push does where it makes a builder. auto is to, on any CI system but on runners that GitHub hosts, which are new for each job."`
}

// ParseLifetime is how long what is made may stay; zero is for ever. provider is
// the CI system's name, as ci.Provider has it. The error is an errdefs.BadInput.
func (o UpkeepOptions) ParseLifetime(provider string, environ map[string]string, keepState bool) (time.Duration, error) {
	switch {
	case o.Lifetime == "none", o.Lifetime == "" && (keepState || !onCI(provider, environ)):
		return 0, nil
	case o.Lifetime == "":
		return CILifetime, nil
	}
	d, err := time.ParseDuration(o.Lifetime)
	if err != nil || d <= 0 {
		return 0, errdefs.BadInputf("lifetime", 0, "%q is no time", o.Lifetime).
			WithHint("a number and a unit, as 90m or 6h, or none")
	}
	return d, nil
}

// Sweeps is whether to look for orphans. A runner that GitHub hosts has none.
func (o UpkeepOptions) Sweeps(provider string, environ map[string]string) bool {
	if o.Orphans == "auto" {
		return onCI(provider, environ) && environ["RUNNER_ENVIRONMENT"] != "github-hosted"
	}
	return o.Orphans == "true"
}

func onCI(provider string, environ map[string]string) bool {
	return provider != "git" || DefaultLifetime(environ) > 0
}

// sweepLimit is how long a job waits until what others left is removed. What is
// left then, as where an engine hangs, is the next one's.
const sweepLimit = time.Minute

// Sweep removes what other jobs left, for a minute at most. What can't be removed
// is told and left: this job does not depend on it, nor does it wait for another
// that is at it already.
func (m *Manager) Sweep(ctx context.Context) { m.sweepFor(ctx, sweepLimit, OrphanOptions{}) }

func (m *Manager) sweepFor(ctx context.Context, limit time.Duration, options OrphanOptions) {
	lock := m.orphansLock()
	switch alone, err := lock.TryLock(); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		m.stepf("warning: orphans are not looked for: %v", err)
		return
	case err == nil && !alone:
		m.stepf("skipping the search for orphans: another job is at it")
		return
	}
	defer lock.Unlock()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := m.orphans(limited, options)
	if limited.Err() != nil {
		err = fmt.Errorf("the search took longer than %s", limit)
	}
	for _, o := range found {
		m.stepf("orphan: %s %s: %s", o.Kind, o.ID, o.Why)
		err = errors.Join(err, o.Err)
	}
	if err != nil && ctx.Err() == nil {
		m.stepf("warning: orphans are left: %v", err)
	}
}
