// Package login turns what a person knows of a registry into credentials that it
// takes, and keeps these in a docker configuration of the job's own.
//
// Begin with [Source.Credentials], which asks the registry's provider where the
// password is not the person's own (ECR, Docker Hub and ACR by OpenID Connect),
// and with [OpenDirectory], where they are kept until [Directory.Drop]. Tokens
// that end soon are got anew by [Source.Keychain].
package login

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Account is who logs in where, as it was written.
type Account struct {
	Registry name.Registry
	Username string
	Password string
	// ECR is whether Amazon gives the password: "true", "false", or "auto" by the
	// registry's name.
	ECR   string
	Scope string // repository, "@" and actions, or both; empty is the whole registry
	// Input and Line are where it was written, for errors.
	Input string
	Line  int
}

// Credentials are what a registry takes.
type Credentials struct {
	Registry name.Registry
	Username string
	Password string
	// Expires is when they end; zero is unknown. Of those that end, Renewal says
	// how to get them again.
	Expires time.Time
	Renewal *Renewal
}

// Renewal is how a provider's credentials are got again; it holds no secret.
type Renewal struct {
	Provider   string            `json:"provider"`
	Username   string            `json:"username,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Issued     time.Time         `json:"issued"`
}

// Source is where credentials come from besides the person.
type Source struct {
	// Environ is the process's environment. Amazon's SDK reads the process's own
	// beside it: its chain of providers takes no other.
	Environ map[string]string
	// HTTP sends the requests to providers. Redirects of these are not followed.
	HTTP *http.Client
	Now  func() time.Time
	// GitHubToken is the job's own token, for ghcr.io; empty is none.
	GitHubToken string
	// IDToken is an OpenID Connect token of the job; the runner is asked for one
	// where it is empty.
	IDToken string
	// Hide is told of every secret that is got, before anything else is done.
	Hide func(string)
	// Pause waits; tests make it short. Nil is real time.
	Pause func(context.Context, time.Duration) error
}

// provider gets credentials for registries that have their own way.
type provider struct {
	name string
	// serves is whether an account without a whole login is this provider's.
	serves func(*Source, Account) bool
	get    func(*Source, context.Context, Account) ([]Credentials, error)
	renew  func(*Source, context.Context, Account, Renewal) ([]Credentials, error)
}

// providers are asked in this order; the first that serves is it.
func providers() []provider {
	return []provider{
		{"ecr", (*Source).servesECR, (*Source).ecr, (*Source).renewECR},
		{"dockerhub", (*Source).servesHub, (*Source).hub, (*Source).renewHub},
		{"acr", (*Source).servesACR, (*Source).acr, (*Source).renewACR},
	}
}

// Credentials are an account's, at one registry or, with ECR, at those of several
// accounts of Amazon's. It is an errdefs.BadInput where something is missing.
func (s *Source) Credentials(ctx context.Context, a Account) ([]Credentials, error) {
	a = s.complete(a)
	for _, p := range providers() {
		if p.serves(s, a) {
			return p.get(s, ctx, a)
		}
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return []Credentials{{Registry: a.Registry, Username: a.Username, Password: a.Password}}, nil
}

// check finds what is missing of a login that is a person's own.
func (a Account) check() error {
	switch {
	case a.Password == "" && a.Username == "":
		return a.faultf("%s: username and password are missing", a.Registry).WithHint("%s", a.hint())
	case a.Username == "":
		return a.faultf("%s: the username is missing", a.Registry).WithHint("%s", a.hint())
	case a.Password == "":
		return a.faultf("%s: the password is missing", a.Registry).WithHint("%s", a.hint())
	case strings.ContainsFunc(a.Username, unicode.IsControl):
		return a.faultf("%s: the username has a control character", a.Registry)
	case strings.Contains(a.Username, ":"):
		// Basic credentials end the user at the first colon: RFC 7617, section 2.
		return a.faultf("%s: the username has a colon", a.Registry)
	case strings.ContainsRune(a.Password, 0):
		return a.faultf("%s: the password has a NUL", a.Registry)
	}
	return nil
}

func (a Account) faultf(format string, args ...any) *errdefs.Error {
	return errdefs.BadInputf(a.Input, a.Line, format, args...)
}

// hint is what a registry wants, where it is known.
func (a Account) hint() string {
	host := a.Registry.RegistryStr()
	switch {
	case host == name.DefaultRegistry:
		return "Docker Hub takes an account and an access token; or an organization and DOCKERHUB_OIDC_CONNECTIONID in a job with `permissions: id-token: write`"
	case host == "ghcr.io":
		return "in a GitHub workflow give github-token, and the job `permissions: packages: write`; elsewhere an account and a token of scope write:packages"
	case acrHost.MatchString(host):
		return "Azure takes a service principal's id and secret; or AZURE_CLIENT_ID and AZURE_TENANT_ID in a job with `permissions: id-token: write`"
	case isGoogle(host):
		return "Google takes an access token, or a service account's JSON key, as password"
	}
	return "the password is given by HULLWRIGHT_PASSWORD, password-file or on standard input with --password-stdin"
}

// complete fills in what a CI system or a registry's own custom tells.
func (s *Source) complete(a Account) Account {
	host := a.Registry.RegistryStr()
	own := func(server, user, password string) {
		if a.Password == "" && (a.Username == "" || a.Username == s.Environ[user]) && sameServer(s.Environ[server], host) {
			a.Username, a.Password = s.Environ[user], s.Environ[password]
		}
	}
	// https://docs.gitlab.com/ci/variables/predefined_variables/
	own("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")
	own("CI_DEPENDENCY_PROXY_SERVER", "CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD")
	jobToken := s.Environ["CI_JOB_TOKEN"]
	switch {
	case a.Password == "" && jobToken != "" && sameServer(s.Environ["CI_REGISTRY"], host) &&
		(a.Username == "" || a.Username == "gitlab-ci-token"):
		a.Username, a.Password = "gitlab-ci-token", jobToken
	case a.Password == "" && host == "ghcr.io" && s.GitHubToken != "":
		a.Password = s.GitHubToken
		if a.Username == "" {
			a.Username = s.Environ["GITHUB_ACTOR"]
		}
	case a.Username == "" && a.Password != "" && isGoogle(host):
		a.Username = googleUser(a.Password)
	}
	s.hide(a.Password)
	return a
}

func (s *Source) hide(secret string) {
	if s.Hide != nil && secret != "" {
		s.Hide(secret)
	}
}

// sameServer is whether a variable of the CI system, with or without the port of
// https, names a registry.
func sameServer(server, host string) bool {
	return server != "" && strings.EqualFold(strings.TrimSuffix(server, ":443"), strings.TrimSuffix(host, ":443"))
}

// isGoogle is whether a registry is Google's: gcr.io and Artifact Registry.
func isGoogle(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, "-docker.pkg.dev")
}

// googleUser is the user that Google wants with a kind of password:
// https://cloud.google.com/artifact-registry/docs/docker/authentication
func googleUser(password string) string {
	if strings.HasPrefix(strings.TrimSpace(password), "{") {
		return "_json_key"
	}
	return "oauth2accesstoken"
}

// soundPort is whether a host's port, where it has one, can be one.
func soundPort(host string) bool {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return true // none
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// ParseRegistry reads a registry as people write it: with https:// before it or a
// slash behind, as docker login takes it, and any of Docker Hub's names. http://
// is for loopback alone.
func ParseRegistry(input string, line int, text string) (name.Registry, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(text, "https://"), "/")
	if rest, plain := strings.CutPrefix(host, "http://"); plain {
		if !isLoopback(rest) {
			return name.Registry{}, errdefs.BadInputf(input, line, "%q: no credentials are sent over plain http", text).
				WithHint("leave the scheme out; a registry that has no https must be named in insecure-registries")
		}
		host = rest
	}
	switch host {
	case "", "docker.io", "index.docker.io", "registry-1.docker.io", "index.docker.io/v1", "registry.hub.docker.com":
		return name.NewRegistry(name.DefaultRegistry)
	}
	reg, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil || strings.ContainsAny(host, "/@ ") || !soundPort(host) {
		return name.Registry{}, errdefs.BadInputf(input, line, "%q is no registry", text).
			WithHint("a registry reads registry.example or registry.example:5000, without a repository")
	}
	return reg, nil
}
