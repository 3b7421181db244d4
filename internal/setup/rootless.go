package setup

import (
	"context"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// ProcessFaults says all that keeps this user from having a builder of driver
// process here, as far as it can be known before a daemon is started: programs
// that are missing, and what the kernel refuses when it is tried for real. As an
// ordinary user that is a user namespace, as root mounts. Each is an
// errdefs.Environment with the next move for a hint; none is that it will work.
// It leaves nothing behind, and takes a fraction of a second.
func (m *Manager) ProcessFaults(ctx context.Context) []error {
	return (&processNode{m: m}).faults(ctx)
}

func (p *processNode) faults(ctx context.Context) []error {
	if _, err := p.command(); err != nil {
		return errdefs.List(err)
	}
	return nil
}
