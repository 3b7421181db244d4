package login

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// ending is a job with logins to Docker Hub whose tokens live for ten minutes,
// counted from noon.
type ending struct {
	*Source
	services *services
	dir      string
	now      time.Time
	runs     string // one letter for each login
}

// newEnding is a job whose environment has more of it.
func newEnding(t *testing.T, more ...string) *ending {
	t.Helper()
	dir := t.TempDir()
	environ := runner("DOCKER_CONFIG", filepath.Join(dir, "docker"), "BUILDX_CONFIG", filepath.Join(dir, "buildx"))
	e := &ending{services: &services{t: t}, dir: dir, now: noon}
	e.Source, _ = newSource(cloned(environ, more...))
	e.Now = func() time.Time { return e.now }
	e.HTTP = reach(t, e.services)
	return e
}

// login logs in, with a password of the user's own or with Docker's tokens, by
// variables that the step that builds does not have.
func (e *ending) login(t *testing.T, scope, user, password string) {
	t.Helper()
	own := *e.Source
	own.Environ = cloned(e.Environ, hubConnection, connection, hubLifetime, "600")
	a := account(t, "docker.io")
	a.Scope, a.Username, a.Password = scope, user, password
	list, err := own.Credentials(deadline(t), a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(e.Environ["DOCKER_CONFIG"], 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := NamedDirectory(e.Environ["DOCKER_CONFIG"])
	if scope != "" {
		d, err = ScopedDirectory(e.Environ["BUILDX_CONFIG"], a)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.runs += "x"
	if err := d.Put(deadline(t), e.runs, list); err != nil {
		t.Fatal(err)
	}
}

func (e *ending) keychain() authn.Keychain {
	return e.Keychain(registry.Keychain(e.Environ, e.dir))
}

// inForce is user:password that a keychain has for actions on a repository.
func inForce(t *testing.T, k authn.Keychain, repository, actions string) (string, error) {
	t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	found, err := authn.Resolve(deadline(t), k, registry.WithScopes(repo, "repository:"+repo.RepositoryStr()+":"+actions))
	if err != nil {
		return "", err
	}
	got, err := authn.Authorization(deadline(t), found)
	if err != nil {
		t.Fatal(err)
	}
	return got.Username + ":" + got.Password, nil
}

// TestRenewal has a build go on for longer than a token lives.
func TestRenewal(t *testing.T) {
	e := newEnding(t)
	e.login(t, "", "acme", "")
	keychain := e.keychain()
	for _, step := range []struct {
		after  time.Duration
		refuse string
		want   string
		err    string
	}{
		{after: 0, want: "acme:hub-token-1"},
		{after: 7 * time.Minute, want: "acme:hub-token-1"},
		// A service that fails does not end what is still good, and is told of after.
		{after: 9 * time.Minute, refuse: "/oauth/token", want: "acme:hub-token-1"},
		{after: 11 * time.Minute, refuse: "/oauth/token", err: "credentials of index.docker.io ended at 2026-05-04T12:10:00Z, and new ones: "},
		{after: 12 * time.Minute, want: "acme:hub-token-2"},
		{after: 18 * time.Minute, want: "acme:hub-token-2"},
		{after: 21 * time.Minute, refuse: "/oauth/token", want: "acme:hub-token-2"},
		{after: 23 * time.Minute, refuse: "/oauth/token", err: "credentials of index.docker.io ended at 2026-05-04T12:22:00Z, and new ones: "},
		{after: time.Hour, want: "acme:hub-token-3"},
	} {
		e.now, e.services.refuse = noon.Add(step.after), step.refuse
		got, err := inForce(t, keychain, "acme/app", "pull,push")
		checkFault(t, err, step.err, errdefs.Denied)
		if got != step.want {
			t.Errorf("after %s in force is %q, want %q", step.after, got, step.want)
		}
	}
}

// TestRenewalFollowsTheLogin renews the login that is in force for what is asked,
// and no other.
func TestRenewalFollowsTheLogin(t *testing.T) {
	type made struct {
		after          time.Duration
		scope          string
		user, password string // no password is a token of Docker's
	}
	type asked struct {
		after         time.Duration
		repo, actions string
		want          string
	}
	const (
		both = "pull,push"
		pull = "pull"
		// none are no credentials.
		none       = ":"
		firstToken = "YWNtZTpodWItdG9rZW4tMQ==" // acme:hub-token-1
	)
	for _, tt := range []struct {
		name    string
		environ []string
		logins  []made
		config  string // written over the main configuration after
		asked   []asked
		given   int // tokens in all
	}{
		{
			name:   "of an action",
			logins: []made{{scope: "@push", user: "acme"}},
			asked: []asked{
				{7 * time.Minute, "acme/app", both, "acme:hub-token-1"},
				{9 * time.Minute, "acme/app", pull, none},
				{9 * time.Minute, "acme/app", both, "acme:hub-token-2"},
				{18 * time.Minute, "acme/app", both, "acme:hub-token-3"},
			},
			given: 3,
		},
		{
			name:   "of a repository",
			logins: []made{{scope: "acme/app", user: "acme"}},
			asked: []asked{
				{9 * time.Minute, "acme/other", both, none},
				{9 * time.Minute, "acme/app", pull, "acme:hub-token-2"},
			},
			given: 2,
		},
		{
			name:   "a lasting one of an action beside one that ends",
			logins: []made{{user: "acme"}, {scope: "@push", user: "robot", password: "lasting"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", both, "robot:lasting"},
				{time.Hour, "acme/app", both, "robot:lasting"},
				{time.Hour, "acme/app", pull, "acme:hub-token-2"},
				{time.Hour, "acme/app", both, "robot:lasting"},
			},
			given: 2,
		},
		{
			name:   "one of an action that ends beside a lasting one",
			logins: []made{{user: "ada", password: "lasting"}, {scope: "@push", user: "acme"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", both, "acme:hub-token-2"},
				{9 * time.Minute, "acme/app", pull, "ada:lasting"},
			},
			given: 2,
		},
		{
			name: "three that end, apart",
			logins: []made{
				{user: "acme"},
				{after: 3 * time.Minute, scope: "@push", user: "pusher"},
				{after: 6 * time.Minute, scope: "acme/app@push", user: "owner"},
			},
			asked: []asked{
				{9 * time.Minute, "acme/app", pull, "acme:hub-token-4"},
				{9 * time.Minute, "acme/other", both, "pusher:hub-token-2"},
				{9 * time.Minute, "acme/app", both, "owner:hub-token-3"},
				{12 * time.Minute, "acme/other", both, "pusher:hub-token-5"},
				{12 * time.Minute, "acme/app", both, "owner:hub-token-3"},
				{15 * time.Minute, "acme/app", both, "owner:hub-token-6"},
				{15 * time.Minute, "acme/other", both, "pusher:hub-token-5"},
				{15 * time.Minute, "acme/app", pull, "acme:hub-token-4"},
			},
			given: 6,
		},
		{
			name:    "with others' credentials in the environment",
			environ: []string{"DOCKER_AUTH_CONFIG", `{"auths":{"ghcr.io":{"auth":"ZW52Om93bg=="}}}`},
			logins:  []made{{user: "acme"}, {scope: "@push", user: "pusher"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", pull, "acme:hub-token-3"},
				{9 * time.Minute, "acme/app", both, "pusher:hub-token-4"},
				{9 * time.Minute, "ghcr.io/acme/app", both, "env:own"},
			},
			given: 4,
		},
		{
			name:    "with the registry's credentials in the environment",
			environ: []string{"DOCKER_AUTH_CONFIG", `{"auths":{"https://index.docker.io/v1/":{"auth":"ZW52Om93bg=="}}}`},
			logins:  []made{{user: "acme"}, {scope: "@push", user: "pusher"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", pull, "env:own"},
				{time.Hour, "acme/app", both, "env:own"},
			},
			given: 2,
		},
		{
			name:    "with the same credentials in the environment",
			environ: []string{"DOCKER_AUTH_CONFIG", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + firstToken + `"}}}`},
			logins:  []made{{user: "acme"}},
			asked:   []asked{{time.Hour, "acme/app", pull, "acme:hub-token-1"}},
			given:   1,
		},
		{
			name:   "with the same credentials of another registry",
			logins: []made{{user: "acme"}},
			config: `{"auths":{"ghcr.io":{"auth":"` + firstToken + `"}}}`,
			asked:  []asked{{time.Hour, "ghcr.io/acme/app", pull, "acme:hub-token-1"}},
			given:  1,
		},
		{
			name:    "with a repository's credentials in the environment",
			environ: []string{"DOCKER_AUTH_CONFIG", `{"auths":{"index.docker.io/acme/app":{"auth":"ZW52Om93bg=="}}}`},
			logins:  []made{{user: "acme"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", pull, "env:own"},
				{9 * time.Minute, "acme/other", pull, "acme:hub-token-2"},
			},
			given: 2,
		},
		{
			name:   "registries that take Docker Hub's accounts",
			logins: []made{{user: "acme"}},
			asked: []asked{
				{9 * time.Minute, "dhi.io/python", pull, "acme:hub-token-2"},
				{9 * time.Minute, "acme/app", pull, "acme:hub-token-2"},
				{9 * time.Minute, "ghcr.io/acme/app", pull, none},
			},
			given: 2,
		},
		{
			name:   "replaced by docker login",
			logins: []made{{user: "acme"}},
			config: `{"auths":{"https://index.docker.io/v1/":{"auth":"dGhleTpwdw=="}}}`,
			asked:  []asked{{9 * time.Minute, "acme/app", pull, "they:pw"}, {time.Hour, "acme/app", pull, "they:pw"}},
			given:  1,
		},
		{
			name:   "replaced by another login of the job",
			logins: []made{{user: "acme"}, {after: 8 * time.Minute, user: "other"}},
			asked: []asked{
				{9 * time.Minute, "acme/app", pull, "other:hub-token-2"},
				{17 * time.Minute, "acme/app", pull, "other:hub-token-3"},
			},
			given: 3,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnding(t, tt.environ...)
			for _, l := range tt.logins {
				e.now = noon.Add(l.after)
				e.login(t, l.scope, l.user, l.password)
			}
			if tt.config != "" {
				put(t, filepath.Join(e.Environ["DOCKER_CONFIG"], configFile), tt.config, 0o600)
			}
			t.Chdir(e.Environ["DOCKER_CONFIG"]) // counts for nothing
			keychain := e.keychain()
			for _, a := range tt.asked {
				e.now = noon.Add(a.after)
				if got, err := inForce(t, keychain, a.repo, a.actions); err != nil || got != a.want {
					t.Errorf("after %s in force to %s %s is %q, %v, want %q", a.after, a.actions, a.repo, got, err, a.want)
				}
			}
			if e.services.given != tt.given {
				t.Errorf("%d tokens were given, want %d", e.services.given, tt.given)
			}
		})
	}
}

// TestRenewalEndsWithTheLogin has logins come and go in a build: what was renewed
// of one that is gone counts no more.
func TestRenewalEndsWithTheLogin(t *testing.T) {
	e := newEnding(t)
	e.login(t, "", "acme", "")
	e.login(t, "@push", "pusher", "")
	keychain := e.keychain()
	check := func(want string) {
		t.Helper()
		if got, err := inForce(t, keychain, "acme/app", "pull,push"); err != nil || got != want {
			t.Errorf("in force is %q, %v, want %q", got, err, want)
		}
	}
	e.now = noon.Add(9 * time.Minute)
	check("pusher:hub-token-3")
	a := account(t, "docker.io")
	a.Scope = "@push"
	d, err := ScopedDirectory(e.Environ["BUILDX_CONFIG"], a)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.DropAll(deadline(t)); err != nil {
		t.Fatal(err)
	}
	check("acme:hub-token-4")
	e.login(t, "", "other", "")
	check("other:hub-token-5")
	if err := os.RemoveAll(e.Environ["DOCKER_CONFIG"]); err != nil {
		t.Fatal(err)
	}
	check(":")
}
