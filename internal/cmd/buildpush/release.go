package buildpush

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/registry"
)

// Release are the inputs of how registries are spoken to and tags are written.
type Release struct {
	Rollback        bool        `env:"ROLLBACK" envDefault:"false" help:"Where a release fails or is canceled, put the tags that were written back to what they were, unless another run moved them meanwhile."`
	GuardMovingTags string      `env:"GUARD-MOVING-TAGS" envDefault:"false" bare:"true" placeholder:"BOOL|created|version" help:"Leave tags that move (latest, 1, 1.4, a branch) where they are, if they have a newer image: created by its time, version by its version, true by version where both have one, else by time."`
	TrustRealms     input.Words `env:"TRUST-REALMS" placeholder:"HOST" help:"Token servers, as auth.example.com, that may get a registry's credentials though they are of another domain."`
}

// parseRelease parses the inputs of a release into the job.
func (j *job) parseRelease(context.Context) error {
	var errs []error
	var err error
	j.guard, err = parseGuard(j.options.GuardMovingTags)
	errs = append(errs, err)
	// The builder's options say of each whether it is a host, and of files what is
	// wrong with them.
	for _, host := range j.options.InsecureRegistries {
		j.request.Insecure = append(j.request.Insecure, strings.ToLower(host))
	}
	j.authorities, _ = j.options.Authorities(j.env.Dir)
	_, err = parseHosts("trust-realms", j.options.TrustRealms)
	errs = append(errs, err)
	return errors.Join(errs...)
}

func parseGuard(text string) (registry.Guard, error) {
	switch text {
	case "created":
		return registry.GuardCreated, nil
	case "version":
		return registry.GuardVersion, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return registry.GuardNothing, errdefs.BadInputf("guard-moving-tags", 0, "%q is no guard", text).
			WithHint("one of true, false, created, version")
	}
	if on {
		return registry.GuardNewest, nil
	}
	return registry.GuardNothing, nil
}

// parseHosts reads hosts with a port or without.
func parseHosts(in string, words input.Words) ([]string, error) {
	var hosts []string
	var errs []error
	for i, word := range words {
		if err := checkHost(word); err != nil {
			errs = append(errs, errdefs.BadInputf(in, i+1, "%q is no host: %w", word, err).
				WithHint("a host reads registry.example or registry.example:5000, without a scheme or a path"))
			continue
		}
		hosts = append(hosts, strings.ToLower(word))
	}
	return hosts, errors.Join(errs...)
}

func checkHost(word string) error {
	if i := strings.IndexAny(word, "/@ \t"); i >= 0 {
		return fmt.Errorf("it has %q", word[i])
	}
	_, port, err := net.SplitHostPort(word)
	if err != nil {
		return nil // no port
	}
	return checkPort(port)
}

// openRegistry makes the client of registries.
func (j *job) openRegistry() {
	j.source = j.options.Source(j.env.Environ)
	j.source.Now, j.source.Hide, j.source.GitHubToken = j.env.Now, j.env.CI.Mask, j.options.token()
	j.source.HTTP = &http.Client{Transport: registry.Transport(j.env.Environ), Timeout: time.Minute}
	j.memory = j.source.Memory(j.source.Keychain(registry.Keychain(j.env.Environ, j.env.Dir)))
	j.registry = registry.New(
		registry.WithKeychain(j.memory),
		registry.WithTransport(registry.Transport(j.env.Environ)),
		registry.WithCertificates(registry.DockerCertificates(j.env.Environ)),
		registry.WithAuthorities(j.authorities),
		registry.WithInsecure(j.request.Insecure...),
		registry.WithTrustedRealm(j.options.TrustRealms...),
		registry.WithRetryLog(func(line string) { fmt.Fprintln(j.env.Stderr, line) }),
	)
}

// merge makes one index of what several nodes pushed.
func (j *job) merge(ctx context.Context) error {
	if !j.plan.Merge {
		return nil
	}
	var err error
	j.result, err = builder.Merge(ctx, j.registry, j.request, j.result)
	return err
}

func (j *job) align(ctx context.Context) error {
	if len(j.plan.Align) == 0 {
		return nil
	}
	return builder.Align(ctx, j.registry, j.request, j.result.Digest)
}

// release releases the image. Beside it the nodes are asked how they built: what
// they say is for the metadata alone.
func (j *job) release(ctx context.Context) error {
	asked := make(chan error, 1)
	go func() { asked <- j.askProvenance(ctx) }()
	err := j.moveTags(ctx)
	if err := <-asked; err != nil {
		j.env.Warnf("the metadata is without provenance: %v", err)
	}
	return err
}

// moveTags points the tags to the image, where it is pushed.
func (j *job) moveTags(ctx context.Context) error {
	if !j.request.Push {
		return skip("the image is not pushed")
	}
	var err error
	byEngine := j.tags
	j.tags, j.pushed, err = builder.Release(ctx, j.registry, j.request, builder.Moves{Guard: j.guard, Rollback: j.options.Rollback},
		j.result.Digest, func(rows []registry.Written) error { return j.state.Note("tags", rows) })
	j.tags = withEngineRows(j.tags, byEngine)
	for _, t := range j.tags {
		if err != nil || t.Reason != "" {
			fmt.Fprintln(j.env.Stderr, ci.Clean(endState(t)))
		}
	}
	return err
}

// endState is a tag's row for a log: "registry/app:latest: kept, has version 1.5.0, newer than 1.4.2".
func endState(t registry.Written) string {
	line := t.Tag + ": " + t.Status
	if t.After != "" {
		line += " at " + t.After
	}
	if t.Reason != "" {
		line += ", " + t.Reason
	}
	return line
}
