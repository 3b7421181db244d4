//go:build !linux

package setup

import (
	"context"
	"runtime"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// buildkitd runs builds on Linux only; elsewhere the engine's machine has it.
var errNoProcess = errdefs.New(errdefs.Environment, "driver %s needs Linux, this is %s", Process, runtime.GOOS).
	WithHint("start a Docker Engine and use driver %s", DockerContainer)

type daemonProcess struct{}

func startDaemon(argv, environ []string, dir, log string) error { return errNoProcess }

func findDaemon(nonce string) ([]daemonProcess, error) { return nil, errNoProcess }

func (m *Manager) stopDaemon(ctx context.Context, dir, nonce string) error { return errNoProcess }

func (m *Manager) removeRoot(ctx context.Context, dir string) error { return nil }

func (p *processNode) try(ctx context.Context) error { return errNoProcess }

func mayMount() bool { return true }

func namespaced() bool { return false }

func lockHolder(path string) int { return 0 }

func leaderOf(nonce string) int { return 0 }

func endRemains(places ...string) ([]string, error) { return nil, nil }
