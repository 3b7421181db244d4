package buildpush

import (
	"context"
	"errors"
	"fmt"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/login"
)

// LoginOptions are the credentials of this run alone. hullwright login takes more,
// and keeps them for later steps.
type LoginOptions struct {
	Registry     string       `env:"REGISTRY" placeholder:"HOST" help:"Registry that this run logs in to, where no login step did; the default with a username is Docker Hub. ghcr.io in a GitHub workflow, GitLab's own in its jobs and Amazon's need no more than their name."`
	Username     string       `env:"USERNAME" help:"User at registry; with ECR an access key's id."`
	Password     input.Secret `env:"PASSWORD" help:"Password or access token at registry; with ECR an access key's secret."`
	RegistryAuth input.Secret `env:"REGISTRY-AUTH" placeholder:"YAML" help:"Several logins of this run: a list in YAML of registry, username, password, ecr and scope."`
	login.Options
}

// parseLogins reads who logs in where. Passwords are hidden first of all.
func (j *job) parseLogins(context.Context) error {
	o := j.options.LoginOptions
	j.hide(string(o.Password))
	single := login.Written{Registry: o.Registry, Username: o.Username, Password: string(o.Password), Input: "registry"}
	var err error
	switch {
	case o.RegistryAuth != "":
		j.accounts, err = login.ParseList(string(o.RegistryAuth), false, j.hide)
		return errors.Join(login.Besides(single), err)
	case o.Registry+o.Username != "":
		var a login.Account
		a, err = single.Account()
		j.accounts = []login.Account{a}
	case o.Password != "":
		// As of HULLWRIGHT_PASSWORD, which a job may have for its login step.
		fmt.Fprintln(j.env.Stderr, "login: left out, password has neither registry nor username beside it")
	}
	return err
}

// logIn tries the logins that were given, and keeps them in memory. The request
// of a fork gets none: where it has a secret at all, its Dockerfile could take
// what nobody but this repository's people may pull.
func (j *job) logIn(ctx context.Context) error {
	if len(j.accounts) == 0 {
		return nil
	}
	if j.ofFork() && !j.options.AllowUntrusted {
		return skip(fmt.Sprintf("request %d comes from a fork", j.event.Request.Number))
	}
	return j.env.Group("Login", func() error {
		found, err := login.Prover{
			Source: j.source, Client: j.registry, Warn: func(text string) { j.env.Warnf("%s", text) },
		}.Prove(ctx, j.accounts)
		if err != nil {
			return err
		}
		for i, a := range j.accounts {
			j.memory.Remember(a, found[i])
			for _, c := range found[i] {
				fmt.Fprintln(j.env.Stderr, ci.Clean("login: "+c.Describe(a)))
			}
		}
		return nil
	})
}
