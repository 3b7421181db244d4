package setup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	engine "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// pullPolicy is how an image is pulled again by an engine, which itself tries
// again for layers only.
type pullPolicy struct {
	tries int
	base  time.Duration // the first wait is at most this; doubled each time
	after time.Duration // the longest wait that a registry may ask for
	stall time.Duration // how long a pull may go without a word
}

var pulls = pullPolicy{tries: 5, base: 2 * time.Second, after: 30 * time.Second, stall: 90 * time.Second}

// pull has an engine pull an image, with the credentials of the docker CLI's
// configuration. What goes wrong for a while is tried again with its reason
// shown; where the image is there already the first failure is the last, so
// that nobody waits who is offline. Of two that want the same image at the same
// time one pulls it for both.
func (m *Manager) pull(ctx context.Context, api *engine.Client, image string) error {
	auth, err := m.registryAuth(ctx, image)
	if err != nil {
		return err
	}
	done := m.pulling.DoChan(api.DaemonHost()+" "+image, func() (any, error) {
		return nil, m.pullTries(ctx, api, image, auth, pulls)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Manager) pullTries(ctx context.Context, api *engine.Client, image, auth string, p pullPolicy) error {
	for try := 1; ; try++ {
		err := m.pullOnce(ctx, api, image, auth, p.stall)
		if err == nil || ctx.Err() != nil || !passes(err) || try == p.tries {
			return err
		}
		if _, found := api.ImageInspect(ctx, image); found == nil {
			return err
		}
		wait := p.wait(try, err)
		m.stepf("pulling image %s failed, try %d of %d: %s; again in %s", image, try, p.tries, firstLine(err.Error()), wait.Round(100*time.Millisecond))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// asked is what a registry says of when to come back, as far as an engine
// repeats it: "toomanyrequests: retry-after: 1.5s, allowed: 44000/minute".
var asked = regexp.MustCompile(`(?i)retry-after:?\s*([0-9.]+)(ns|us|µs|ms|s|m)?\b`)

func (p pullPolicy) wait(try int, err error) time.Duration {
	wait := p.base << (try - 1)
	wait = wait/2 + rand.N(wait/2+1)
	if found := asked.FindStringSubmatch(err.Error()); found != nil {
		unit := found[2]
		if unit == "" {
			unit = "s"
		}
		if d, err := time.ParseDuration(found[1] + unit); err == nil {
			wait = max(wait, min(d, p.after))
		}
	}
	return wait
}

// Engines tell what a registry answered in words only, with status 500 for
// almost all of it.
var (
	passing = regexp.MustCompile(`(?i)toomanyrequests|too many requests|\b(429|50[0234])\b|internal server error|bad gateway|service unavailable|gateway time-?out|` +
		`time-?out|timed out|deadline exceeded|connection re(set|fused)|broken pipe|\bEOF\b|temporary failure|server misbehaving|no word`)
	lasting = regexp.MustCompile(`(?i)manifest unknown|not found|access denied|unauthorized|authentication required|no basic auth|no matching manifest|x509|invalid reference|HTTP response to HTTPS client`)
)

// passes is whether what went wrong may go well a moment later.
func passes(err error) bool {
	if engine.IsErrConnectionFailed(err) {
		return false // the engine itself is gone
	}
	return passing.MatchString(err.Error()) && !lasting.MatchString(err.Error())
}

func (m *Manager) pullOnce(ctx context.Context, api *engine.Client, image, auth string, stall time.Duration) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no word from the engine for %s", stall)) })
	defer silent.Stop()
	err := m.pullWatched(limited, api, image, auth, func() { silent.Reset(stall) })
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}

func (m *Manager) pullWatched(ctx context.Context, api *engine.Client, image, auth string, alive func()) error {
	stream, err := api.ImagePull(ctx, image, engine.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer stream.Close()
	seen := pullProgress{layers: map[string]jsonstream.Progress{}, told: time.Now()}
	for message, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
		alive()
		if line := seen.add(message); line != "" {
			m.stepf("image %s: %s", image, line)
		}
	}
	return ctx.Err()
}

// pullProgress makes a line of what layers do, now and then.
type pullProgress struct {
	layers map[string]jsonstream.Progress // by id; done where Current is Total
	told   time.Time
}

// pullLines is the time between two lines of progress.
const pullLines = 5 * time.Second

func (p *pullProgress) add(message jsonstream.Message) string {
	at := p.layers[message.ID]
	switch message.Status {
	case "Pulling fs layer":
		p.layers[message.ID] = jsonstream.Progress{}
	case "Downloading":
		if message.Progress != nil {
			p.layers[message.ID] = *message.Progress
		}
	case "Download complete", "Pull complete", "Already exists":
		p.layers[message.ID] = jsonstream.Progress{Current: max(at.Total, 1), Total: max(at.Total, 1)}
	}
	if time.Since(p.told) < pullLines || len(p.layers) == 0 {
		return ""
	}
	p.told = time.Now()
	return p.line()
}

func (p *pullProgress) line() string {
	var done int
	var current, total int64
	for _, l := range p.layers {
		current, total = current+l.Current, total+l.Total
		if l.Total > 0 && l.Current == l.Total {
			done++
		}
	}
	return fmt.Sprintf("%d of %d layers, %s of %s so far", done, len(p.layers), units.HumanSize(float64(current)), units.HumanSize(float64(total)))
}

// pullHint is what to do about an image that can't be had.
func pullHint(err error) string {
	if strings.Contains(strings.ToLower(err.Error()), "toomanyrequests") {
		return "hullwright login gives a higher limit; driver-opts image=... names the image elsewhere"
	}
	return "driver-opts image=... names another image; docker login, if it needs credentials"
}

// registryAuth is what an engine is given to pull an image with; empty is nothing.
func (m *Manager) registryAuth(ctx context.Context, image string) (string, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", errdefs.BadInputf("driver-opts", 0, "image %q: %w", image, err)
	}
	auth, err := m.credentials(ctx, ref.Context())
	if err != nil || auth.Username == "" && auth.IdentityToken == "" && auth.RegistryToken == "" {
		return "", err
	}
	auth.ServerAddress = configKey(ref.Context())
	return authconfig.Encode(auth)
}

// configKey is the name under which docker's configuration has a registry.
func configKey(repo name.Repository) string {
	if repo.RegistryStr() == name.DefaultRegistry {
		return authn.DefaultAuthKey
	}
	return repo.RegistryStr()
}

func (m *Manager) credentials(ctx context.Context, repo name.Repository) (registry.AuthConfig, error) {
	if m.host.Keychain == nil {
		return registry.AuthConfig{}, nil
	}
	found, err := authn.Resolve(ctx, m.host.Keychain, repo)
	if err != nil {
		return registry.AuthConfig{}, errdefs.New(errdefs.Environment, "credentials of %s: %w", repo.RegistryStr(), err)
	}
	auth, err := authn.Authorization(ctx, found)
	if err != nil {
		return registry.AuthConfig{}, errdefs.New(errdefs.Environment, "credentials of %s: %w", repo.RegistryStr(), err)
	}
	return registry.AuthConfig{
		Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	}, nil
}

// pinned is whether an image is named by its digest, so that the one that is
// there is the one that is meant.
func pinned(image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	_, digested := named.(reference.Digested)
	return err == nil && digested
}

// Prefetch begins to pull the image that registers emulators, where Emulate is
// likely to need it for want, beside whatever Ensure does meanwhile. Emulate
// takes part in that pull. The caller ends what is left of it with stop, which
// waits for it. A failure is Emulate's to tell, if it needs the image at all.
func (m *Manager) Prefetch(ctx context.Context, spec Spec, want []v1.Platform) (stop func()) {
	if !slices.ContainsFunc(want, func(p v1.Platform) bool { return imageNeeded(spec, p) }) {
		return func() {}
	}
	return m.beside(ctx, spec)
}

func (m *Manager) beside(ctx context.Context, spec Spec) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var eg errgroup.Group
	eg.Go(func() error { return m.prefetch(ctx, spec) })
	return func() {
		cancel()
		_ = eg.Wait() // Emulate tells it, where it matters
	}
}

func (m *Manager) prefetch(ctx context.Context, spec Spec) error {
	endpoint, err := m.endpoint(spec.Endpoint)
	if err != nil {
		return err
	}
	if err := m.ping(ctx, endpoint, pingLimit); err != nil {
		return err
	}
	api, err := m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	image := binfmtImage(spec.BinfmtImage)
	if _, err := api.ImageInspect(ctx, image); err == nil {
		return nil
	}
	m.stepf("pulling image %s", image)
	return m.pullKept(ctx, api, image)
}

// bundled are the architectures whose emulators BuildKit's own image brings.
// https://github.com/moby/buildkit/blob/v0.33.1/Dockerfile (binfmt, buildkit-linux)
var bundled = []string{"amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x"}

// imageNeeded guesses whether a platform takes the image: nothing runs it here,
// nothing here could, and the builder brings nothing that does.
func imageNeeded(spec Spec, p v1.Platform) bool {
	if p.OS != "linux" || p.Architecture == runtime.GOARCH || spec.Driver == Process {
		return false
	}
	if name, _, _ := strings.Cut(spec.DriverOpts["image"], "@"); name == "" || strings.Contains(name, "moby/buildkit") {
		if slices.Contains(bundled, p.Architecture) {
			return false
		}
	}
	if _, found, err := (binfmt.Registry{}).Handler(p.Architecture); err != nil || found {
		return false
	}
	return os.Geteuid() != 0 || len(binfmt.Emulators("/", p.Architecture)) == 0
}

// errPull is a pull that failed for an image that is not there.
func errPull(image string, err error) error {
	var bad *errdefs.Error
	if errors.As(err, &bad) {
		return err
	}
	return errdefs.New(errdefs.Environment, "pull image %s: %w", image, err).WithHint("%s", pullHint(err))
}
