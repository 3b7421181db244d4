package teardown

import (
	"context"
	"io"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/setup"
)

// show prints what builders wrote before they go, as docker/setup-buildx-action
// does: where the runner debugs, or the builder was made to write a detailed log.
// What can't be shown is no reason to leave a builder.
func show(ctx context.Context, env *cli.Env, m *setup.Manager, state string) {
	logs, err := m.Logs(ctx, state, env.Environ["RUNNER_DEBUG"] == "1")
	for _, l := range logs {
		err := env.Group("BuildKit's log, "+l.Of, func() error {
			w, err := ci.Foreign(env.CI, env.Stderr)
			if err != nil {
				return err
			}
			_, err = io.WriteString(w, l.Text)
			if closed := w.Close(); err == nil {
				err = closed
			}
			return err
		})
		if err != nil {
			env.Warnf("the log of %s: %v", l.Of, err)
		}
	}
	if err != nil && ctx.Err() == nil {
		env.Warnf("a log is not shown: %v", err)
	}
}
