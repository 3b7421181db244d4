// Package login is the login command: it tries credentials at registries and
// keeps them for the job's later steps.
//
// Begin with [Verb]; run is the order of the work.
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// stateKey is the name under which the clean-up step finds the state file.
const stateKey = "hullwright-login"

// Options are what a person sets.
type Options struct {
	Registry      string       `env:"REGISTRY" arg:"REGISTRY" placeholder:"HOST" help:"Registry to log in to; the default is Docker Hub."`
	Username      string       `env:"USERNAME" help:"User; with ECR an access key's id."`
	Password      input.Secret `env:"PASSWORD" help:"Password or access token; with ECR an access key's secret."`
	PasswordStdin bool         `env:"PASSWORD-STDIN" envDefault:"false" help:"Read the password from standard input."`
	PasswordFile  string       `env:"PASSWORD-FILE" placeholder:"FILE" help:"File that holds the password."`
	ECR           string       `env:"ECR" placeholder:"auto|true|false" help:"Whether Amazon is asked for the password; the default, auto, is by the registry's name."`
	Scope         string       `env:"SCOPE" placeholder:"REPOSITORY@ACTIONS" help:"What the login is for, where several are needed at one registry: a repository, actions, or both, as team/app@push."`
	RegistryAuth  input.Secret `env:"REGISTRY-AUTH" placeholder:"YAML" help:"Several logins: a list in YAML of registry, username, password, ecr and scope. No other of these inputs is given then."`
	Logout        bool         `env:"LOGOUT" envDefault:"true" help:"On GitHub, log out at the end of the job."`

	Config      string       `group:"where" env:"CONFIG" placeholder:"DIR" help:"Directory of a docker configuration that gets the credentials; the default is one of the job's own, which has all else that the user's has."`
	State       string       `env:"STATE" placeholder:"FILE" help:"File that will say what was written, for logout. The default is in the job's temporary directory."`
	ScopeOff    bool         `env:"SCOPE-DISABLED" also:"DOCKER_LOGIN_SCOPE_DISABLED" envDefault:"false" help:"Take scope as not given, for later steps whose programs know no scopes."`
	GitHubToken input.Secret `group:"providers" env:"GITHUB-TOKEN" help:"Token of the job on GitHub, the password of ghcr.io where none is given."`
	login.Options

	Insecure    input.Words `group:"registry" env:"INSECURE-REGISTRIES" placeholder:"HOST" help:"Registries, as registry.lan:5000, that may be spoken to over plain http or with a certificate that nobody vouches for. Loopback always may over http."`
	RegistryCA  []string    `env:"REGISTRY-CA" placeholder:"HOST=FILE" help:"Authorities that certify a registry, one registry a line: registry.lan:5000=ca.pem. A token server on another host needs a line of its own. Those in docker's directories certs.d count without being named."`
	TrustRealms input.Words `env:"TRUST-REALMS" placeholder:"HOST" help:"Token servers, as auth.example.com, that may get a registry's credentials though they are of another domain."`
	cli.Common
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "login",
		Summary: "log in to registries for the rest of the job",
		Long: `
Tries the credentials at the registry, and keeps them in a docker configuration
of the job's own: two jobs on one machine do not see each other's. On GitHub
later steps use it unasked; in a shell, take what the command prints:

  eval "$(printenv TOKEN | hullwright login ghcr.io --username ada --password-stdin)"
  hullwright logout`,
		Reports: true,
		Outputs: []cli.Output{
			{Name: "docker-config", Help: "Directory of the docker configuration with the credentials."},
			{Name: "state", Help: "The state file."},
		},
	}, run)
}

// job is one run.
type job struct {
	env     *cli.Env
	options Options
	// found are the credentials of each account.
	found [][]login.Credentials
	// authorities are certificates in PEM, by the registry that they vouch for.
	authorities map[string][]byte
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	j := &job{env: env, options: o}
	accounts, err := o.accounts(env)
	var unread error
	j.authorities, unread = setup.SettingOptions{RegistryCA: o.RegistryCA}.Authorities(env.Dir)
	if err := errors.Join(err, unread); err != nil {
		return err
	}
	if j.found, err = j.prover().Prove(ctx, accounts); err != nil {
		return err
	}
	return j.keep(ctx, accounts)
}

// prover is what speaks to registries and providers.
func (j *job) prover() login.Prover {
	o, environ := j.options, j.env.Environ
	client := registry.New(
		registry.WithTransport(registry.Transport(environ)),
		registry.WithCertificates(registry.DockerCertificates(environ)),
		registry.WithAuthorities(j.authorities),
		registry.WithInsecure(o.Insecure...),
		registry.WithTrustedRealm(o.TrustRealms...),
		registry.WithRetry(registry.Retry{Tries: 4, Total: time.Minute}),
		registry.WithRetryLog(func(line string) { fmt.Fprintln(j.env.Stderr, line) }),
	)
	source := o.Source(environ)
	source.HTTP = &http.Client{Transport: registry.Transport(environ), Timeout: time.Minute}
	source.Now, source.Hide = j.env.Now, j.env.CI.Mask
	source.GitHubToken = string(o.GitHubToken)
	return login.Prover{Source: source, Client: client, Warn: func(text string) { j.env.Warnf("%s", text) }}
}

// keep writes what was found, and has later steps look there.
func (j *job) keep(ctx context.Context, accounts []login.Account) error {
	state, err := j.openState()
	if err != nil {
		return err
	}
	if err := j.write(ctx, state, accounts); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, state.Undo(clean, j.buildx()))
	}
	if err := state.HandOver(); err != nil {
		return err
	}
	fmt.Fprintf(j.env.Stderr, "login: state file %s\n", state.Path())
	return j.env.Output("state", state.Path())
}

func (j *job) openState() (*login.State, error) {
	path := j.options.State
	if path == "" {
		var err error
		if path, err = login.NewStatePath(temporary(j.env.Environ)); err != nil {
			return nil, err
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(j.env.Dir, path)
	}
	if saver, ok := j.env.CI.(ci.StateSaver); ok && j.options.Logout {
		if err := saver.SaveState(stateKey, path); err != nil {
			return nil, err
		}
	}
	return login.NewState(path, j.env.Now(), j.lifetime())
}

// lifetime is after what time the credentials count as left behind, as setup has
// it for builders: zero, which is never, on a person's own machine.
func (j *job) lifetime() time.Duration {
	d, _ := setup.UpkeepOptions{}.ParseLifetime(j.env.CI.Name(), j.env.Environ, false) // who wishes nothing makes no fault
	return d
}

// write puts every account's credentials into the directory that is theirs.
func (j *job) write(ctx context.Context, state *login.State, accounts []login.Account) error {
	var main *login.Directory
	for i, a := range accounts {
		var d *login.Directory
		var err error
		if a.Scope != "" {
			d, err = login.ScopedDirectory(j.buildx(), a)
		} else if d = main; d == nil {
			d, err = j.directory()
			main = d
		}
		if err != nil {
			return err
		}
		if err := state.Record(d); err != nil {
			return err
		}
		if err := d.PutBy(ctx, state, j.found[i]); err != nil {
			return err
		}
		for _, c := range j.found[i] {
			j.tell(a, c)
		}
	}
	if main == nil {
		return nil
	}
	return j.export(main)
}

func (j *job) tell(a login.Account, c login.Credentials) {
	fmt.Fprintln(j.env.Stderr, ci.Clean("login: "+c.Describe(a)))
	var first struct{ Auths map[string]json.RawMessage }
	if json.Unmarshal([]byte(j.env.Environ["DOCKER_AUTH_CONFIG"]), &first) == nil && first.Auths[registry.ConfigKey(c.Registry.RegistryStr())] != nil {
		j.env.Warnf("DOCKER_AUTH_CONFIG has credentials of %s too, and they come first; unset it for this login to count", c.Registry)
	}
}

// directory is where logins without a scope are kept.
func (j *job) directory() (*login.Directory, error) {
	if c := j.options.Config; c != "" {
		return login.NamedDirectory(within(j.env.Dir, c))
	}
	return login.OwnDirectory(j.env.Environ, j.env.Dir, temporary(j.env.Environ), func(text string) { j.env.Warnf("%s", text) })
}

func (j *job) buildx() string { return registry.BuildxDirectory(j.env.Environ, j.env.Dir) }

// temporary is the job's directory for what ends with it.
func temporary(environ map[string]string) string {
	for _, variable := range []string{"RUNNER_TEMP", "TMPDIR"} {
		if dir := environ[variable]; filepath.IsAbs(dir) {
			return dir
		}
	}
	return os.TempDir()
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
