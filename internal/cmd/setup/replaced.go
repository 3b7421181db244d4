package setup

import (
	"fmt"

	"github.com/hullwright/hullwright/internal/cli"
)

// Replaced are inputs of docker/setup-buildx-action that are about the program
// which this one does without. They are taken, so that a workflow need change
// only its uses:, and what they ask for is not passed over in silence.
type Replaced struct {
	Version     string `env:"VERSION" flag:"none" help:"Version of buildx. None is needed or installed, and a line says so; the version of BuildKit is the image's in driver-opts."`
	CacheBinary bool   `env:"CACHE-BINARY" flag:"none" envDefault:"true" help:"Cache the program buildx. It has no effect, since there is none to cache."`
}

// tell says which of them was given to no effect. Of cache-binary there is
// nothing to tell: a program that is not installed is neither cached nor not.
func (r Replaced) tell(env *cli.Env) {
	if r.Version != "" {
		fmt.Fprintf(env.Stderr, "setup: skipped version %q: builders need no buildx, and none is installed; driver-opts image=moby/buildkit:TAG chooses a BuildKit\n", r.Version)
	}
}
