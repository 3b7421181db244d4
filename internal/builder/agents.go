package builder

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// agentTimeout is how long an ssh agent has to answer.
const agentTimeout = 5 * time.Second

// forwardAgents lets steps use ssh agents and keys. Keys are read here and never
// leave this process: the daemon only asks for signatures.
func (in *inputs) forwardAgents(ctx context.Context, r *request, solve Solve) error {
	if len(solve.SSH) == 0 {
		return nil
	}
	var configs []sshprovider.AgentConfig
	var faults []error
	for _, a := range solve.SSH {
		paths, err := in.agentPaths(ctx, a)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		configs = append(configs, sshprovider.AgentConfig{ID: a.ID, Paths: paths})
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	provider, err := sshprovider.NewSSHAgentProvider(configs)
	if err != nil {
		return agentError(err)
	}
	r.opt.Session = append(r.opt.Session, provider)
	return nil
}

// agentPaths are the socket or the keys of an agent, each seen to be there.
func (in *inputs) agentPaths(ctx context.Context, a Agent) ([]string, error) {
	paths := a.Paths
	if len(paths) == 0 {
		socket := in.session.Environ["SSH_AUTH_SOCK"]
		if socket == "" {
			return nil, noAgent(a.ID, errors.New("SSH_AUTH_SOCK is not set"))
		}
		paths = []string{socket}
	}
	var faults []error
	for _, path := range paths {
		if err := answers(ctx, path); err != nil {
			faults = append(faults, noAgent(a.ID, err))
		}
	}
	return paths, errors.Join(faults...)
}

func noAgent(id string, err error) error {
	return errdefs.BadInputf("ssh", 0, "%s: no agent: %w", id, err).
		WithHint(`start one with eval "$(ssh-agent)" and ssh-add, or name a key: ssh: %s=path/to/key`, id)
}

// answers is whether path is a file, or a socket at which somebody listens.
func answers(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return err
	}
	conn, err := (&net.Dialer{Timeout: agentTimeout}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}

func agentError(err error) error {
	fault := errdefs.BadInputf("ssh", 0, "%w", err)
	if strings.Contains(err.Error(), "passphrase") {
		return fault.WithHint("a key with a passphrase is used through an agent: ssh-add it, and name no path")
	}
	return fault
}
