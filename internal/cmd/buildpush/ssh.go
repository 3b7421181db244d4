package buildpush

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// parseSSH reads the agents and keys that steps may use. A context that git
// fetches by ssh needs the default one.
func (j *job) parseSSH(context.Context) error {
	agents, err := parseSSH(j.options.SSH, j.env.Dir, j.env.Environ)
	if err != nil {
		return err
	}
	isDefault := func(a builder.Agent) bool { return a.ID == "default" }
	if isGitSSH(j.request.Context.URL) && !slices.ContainsFunc(agents, isDefault) {
		if j.env.Environ["SSH_AUTH_SOCK"] == "" {
			return errdefs.BadInputf("context", 0, "%s is fetched by ssh, and there is no agent: SSH_AUTH_SOCK is not set", j.request.Context.URL).
				WithHint("start ssh-agent, or name a key: ssh default=KEY")
		}
		agents = append(agents, builder.Agent{ID: "default"})
	}
	j.request.SSH = agents
	return nil
}

// parseSSH reads id[=path,path] entries, a path being an agent's socket or a
// private key. Without a path it is the agent of SSH_AUTH_SOCK.
func parseSSH(words input.Words, dir string, environ map[string]string) ([]builder.Agent, error) {
	var agents []builder.Agent
	var errs []error
	seen := map[string]bool{}
	for i, word := range words {
		agent, err := parseAgent(word, dir, environ)
		if err == nil && seen[agent.ID] {
			err = errdefs.New(errdefs.BadInput, "%q is given twice", agent.ID).
				WithHint(`quote several keys of one id: "%s=KEY,KEY"`, agent.ID)
		}
		if err != nil {
			errs = append(errs, at("ssh", i+1, err))
			continue
		}
		seen[agent.ID] = true
		agents = append(agents, agent)
	}
	return agents, errors.Join(errs...)
}

func parseAgent(word, dir string, environ map[string]string) (builder.Agent, error) {
	id, paths, given := strings.Cut(word, "=")
	agent := builder.Agent{ID: id}
	switch {
	case id == "":
		return agent, errdefs.New(errdefs.BadInput, "%q has no id; expected default or id=PATH", word)
	case !given && strings.ContainsAny(id, `/\`):
		return agent, errdefs.New(errdefs.BadInput, "%q is no id", word).
			WithHint("write default=%s; quote several keys, \"default=KEY,KEY\"", word)
	case !given && environ["SSH_AUTH_SOCK"] == "":
		return agent, errdefs.New(errdefs.BadInput, "%s: there is no agent, SSH_AUTH_SOCK is not set", id).
			WithHint("start ssh-agent, or name a key: %s=KEY", id)
	case !given:
		return agent, nil
	}
	for _, path := range strings.Split(paths, ",") {
		if path == "" {
			return agent, errdefs.New(errdefs.BadInput, "%s: an empty path", id)
		}
		path = absolute(path, dir)
		if _, err := os.Stat(path); err != nil {
			return agent, errdefs.New(errdefs.BadInput, "%s: %w", id, err)
		}
		agent.Paths = append(agent.Paths, path)
	}
	return agent, nil
}
