// Package doctor checks before a build whether everything that it needs is
// there, and says of what is not what to do.
//
// Begin with [Checks], the table of all checks, and [Run], which does them, all at
// the same time, each with a deadline of its own. [Catalog] has every finding
// that there can be. Nothing is changed: no emulator is registered, no blob or tag
// is left at a registry. Only a builder that is stopped is started, as a build
// would.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/setup"
)

// Subject is the build that is to come.
type Subject struct {
	Builder   string     // its name; empty is the current one, or one that would be made
	Spec      setup.Spec // of a builder that would be made
	Platforms []v1.Platform
	Load      bool // whether the engine gets the image

	Push   []name.Repository // that are pushed to
	Caches []Cache
	Source Source
	Agents [][]string // the sockets and keys of each ssh agent; none is SSH_AUTH_SOCK's
	Rules  bool       // whether tags are derived from git

	Event ci.Event
	// Untrusted is whether the build is a stranger's, so that what it would have
	// written is left out: Push and exports of caches are empty for it.
	Untrusted bool
	Faults    []error // of what was written, as parsing found them
}

// Cache is one that is imported or exported.
type Cache struct {
	Type   string
	Ref    name.Reference // of type registry; else nil
	Export bool
	Must   bool // whether a failed export fails the build
}

// Source is what is built.
type Source struct {
	Dir        string // absolute path of the context; empty where it is elsewhere
	URL        string // of a context that the builder fetches
	Dockerfile string // absolute path; empty where it is not on this machine
}

// Host is the machine and the job, as far as checks may see them.
type Host struct {
	Environ  map[string]string
	Dir      string
	Now      func() time.Time
	CI       string // the name of the CI system
	Keychain authn.Keychain
	Insecure []string // registries, as registry.WithInsecure has them
	Realms   []string // as registry.WithTrustedRealm has them
	// Authorities are as registry.WithAuthorities has them.
	Authorities map[string][]byte
	Manager     *setup.Manager
}

// Options are how checks are done.
type Options struct {
	Only  []string      // names of checks; none is all
	Limit time.Duration // for each check; zero is 10 s
}

// DefaultLimit is how long a check may take.
const DefaultLimit = 10 * time.Second

// Check is one row of [Checks].
type Check struct {
	Name string
	Help string // what it looks at; one clause, lower case, no period
	do   func(context.Context, *run) []Finding
}

// Checks are all checks, in the order in which their findings are shown.
func Checks() []Check {
	return []Check{
		{"inputs", "what was written is sound, secrets and agents are there", checkInputs},
		{"ci", "what the event and the job's permissions allow", checkCI},
		{"git", "the checkout is whole: history, tags, changes", checkGit},
		{"dockerfile", "the Dockerfile is there and parses", checkDockerfile},
		{"context", "the size of the context, and its .dockerignore", checkContext},
		{"engine", "a Docker Engine answers, and speaks a usable API", checkEngine},
		{"process", "user namespaces and programs of driver process, where it is used", checkProcess},
		{"builder", "the builder is there and all its nodes answer", checkBuilder},
		{"buildkit", "no node has a version with known advisories", checkBuildKit},
		{"platforms", "each platform runs, natively or emulated, by running a program", checkPlatforms},
		{"disk", "free space of the builder and of temporary files", checkDisk},
		{"proxy", "proxies are named alike, and the builder has them too", checkProxy},
		{"credentials", "docker's configuration is sound and private, its helpers there", checkCredentials},
		{"dns", "the registries' names resolve", checkDNS},
		{"registry", "each registry answers, by a certificate that is trusted here", checkRegistry},
		{"clock", "this machine's clock is that of the registries", checkClock},
		{"login", "the registries take the credentials", checkLogin},
		{"push", "an upload may begin in each repository; it is canceled", checkPush},
		{"cache", "caches can be read and written, as far as it shows", checkCache},
		{"trust", "the builder reaches the registries and trusts their certificates", checkTrust},
	}
}

// Names are the names of all checks.
func Names() []string {
	var names []string
	for _, c := range Checks() {
		names = append(names, c.Name)
	}
	return names
}

// run is one run of the checks, and the facts that several of them need, each
// found once.
type run struct {
	Host
	Subject
	ctx   context.Context // of the whole run; facts outlive the check that asks first
	limit time.Duration

	engine     fact[engineFacts]
	builder    fact[*setup.Builder]
	registries map[string]*fact[answer]
	shared     *shared
}

// fact is found once, by whoever asks first.
type fact[T any] struct {
	once  sync.Once
	found atomic.Bool // value and err are there
	value T
	err   error
}

// of finds the fact within most of a check's time, so that what rests on it can
// still be told.
func (f *fact[T]) of(r *run, find func(context.Context) (T, error)) (T, error) {
	f.once.Do(func() {
		ctx, cancel := context.WithTimeout(r.ctx, r.limit*4/5)
		defer cancel()
		f.value, f.err = find(ctx)
		f.found.Store(true)
	})
	return f.value, f.err
}

// Run does the checks. It takes no longer than the limit and a little, whoever
// does not answer. A canceled run is an error; all else is a finding.
func Run(ctx context.Context, host Host, subject Subject, o Options) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{Host: host, Subject: subject, ctx: ctx, limit: cmp.Or(o.Limit, DefaultLimit)}
	r.registries, r.shared = map[string]*fact[answer]{}, newShared(host)
	for _, reg := range r.hosts() {
		r.registries[reg.RegistryStr()] = new(fact[answer])
	}
	begun := host.Now()
	var checks []Check
	for _, c := range Checks() {
		if len(o.Only) == 0 || slices.Contains(o.Only, c.Name) {
			checks = append(checks, c)
		}
	}
	found := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { found[i] = r.do(c) })
	}
	wg.Wait()
	if r.builder.found.Load() && r.builder.value != nil {
		r.builder.value.Close() // what it was asked is answered
	}
	return Report{Findings: slices.Concat(found...), Took: host.Now().Sub(begun)}, ctx.Err()
}

// do does one check. One that does not end is given up: a directory on a dead
// network drive answers nobody.
func (r *run) do(c Check) []Finding {
	ctx, cancel := context.WithTimeout(r.ctx, r.limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.do(ctx, r) }()
	var list []Finding
	select {
	case list = <-done:
	case <-time.After(r.limit + r.limit/10):
		list = []Finding{find("no-result", "", "no result within %s", r.limit)}
	}
	for i := range list {
		list[i].Check = c.Name
	}
	return list
}

// ok is a finding of a check that found nothing wrong.
func ok(on, format string, args ...any) Finding {
	return Finding{ID: "ok", Severity: OK, On: on, Found: fmt.Sprintf(format, args...)}
}

// leftOut is why a check was not done.
func leftOut(format string, args ...any) []Finding {
	return []Finding{find("left-out", "", format, args...)}
}
