package setup

import (
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/doctor"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/report"
	"github.com/hullwright/hullwright/internal/setup"
)

// Checks of what setup gives, and of the machine around it. What is to be built,
// and where it goes, setup does not know.
var (
	machineChecks = []string{"engine", "disk", "proxy", "credentials"}
	builderChecks = []string{"builder", "buildkit", "platforms"}
)

// check looks at the builder, nil where there is none, and tells what it finds.
func check(ctx context.Context, env *cli.Env, m *setup.Manager, spec setup.Spec, b *setup.Builder, platforms []v1.Platform) error {
	subject := doctor.Subject{Spec: spec, Platforms: platforms}
	only := machineChecks
	if b != nil {
		subject.Builder, subject.Spec.Driver = b.Name, b.Driver
		only = slices.Concat(builderChecks, machineChecks)
	}
	host := doctor.Host{
		Environ: env.Environ, Dir: env.Dir, Now: env.Now, CI: env.CI.Name(),
		Keychain: registry.Keychain(env.Environ, env.Dir), Manager: m,
	}
	found, err := doctor.Run(ctx, host, subject, doctor.Options{Only: only})
	if err != nil {
		return err
	}
	if err := report.Checks(env, env.Stderr, found); err != nil {
		return err
	}
	return found.Err(false)
}
