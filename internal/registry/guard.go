package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Guard is what makes an image older than another.
type Guard int

const (
	// GuardNothing lets every tag move.
	GuardNothing Guard = iota
	// GuardNewest compares versions where both images have one, else the times
	// at which they were created.
	GuardNewest
	// GuardCreated compares the times at which images were created.
	GuardCreated
	// GuardVersion compares versions.
	GuardVersion
)

// Where an image says how old it is:
// https://github.com/opencontainers/image-spec/blob/main/annotations.md
const (
	createdKey = "org.opencontainers.image.created"
	versionKey = "org.opencontainers.image.version"
)

// age is what an image says of its age. What it does not say is zero.
type age struct {
	created time.Time
	version *semver.Version
}

// guard compares images of one release. It reads each image once.
type guard struct {
	by     Guard
	digest v1.Hash

	mu   sync.Mutex
	ages map[string]func() (age, error) // by repository and digest
}

func newGuard(r Release) *guard {
	return &guard{by: r.Guard, digest: r.Digest, ages: map[string]func() (age, error){}}
}

// keep makes a moving tag stay where has, the digest that it has, is of a newer
// image. Where the two can't be compared the tag moves, and its row says so.
func (l *release) keep(ctx context.Context, r *row, has v1.Hash) error {
	if l.guard == nil || r.rank == rankFixed {
		return nil
	}
	ours, err := l.guard.age(ctx, r.session, l.digest)
	if err != nil {
		return fmt.Errorf("guard of %s: %w", r.tag, err)
	}
	theirs, err := l.guard.age(ctx, r.session, has)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("guard of %s: %w", r.tag, err)
	}
	newer, reason := l.guard.newer(theirs, ours)
	r.Reason = reason
	if newer {
		r.After, r.Status = has.String(), statusKept
	}
	return nil
}

// newer is whether theirs is newer than ours, and what to say of it: why the tag
// stays, or why nothing can be said.
func (g *guard) newer(theirs, ours age) (bool, string) {
	versions := theirs.version != nil && ours.version != nil
	times := !theirs.created.IsZero() && !ours.created.IsZero()
	switch {
	case versions && g.by != GuardCreated:
		if theirs.version.GreaterThan(ours.version) {
			return true, fmt.Sprintf("has version %s, newer than %s", theirs.version, ours.version)
		}
	case times && g.by != GuardVersion:
		if theirs.created.After(ours.created) {
			return true, fmt.Sprintf("has an image of %s, newer than of %s", stamp(theirs.created), stamp(ours.created))
		}
	default:
		return false, "not guarded: " + g.missing(theirs) + " and " + g.missing(ours) + " can't be compared"
	}
	return false, ""
}

// missing is what an image has of what is compared.
func (g *guard) missing(a age) string {
	switch {
	case a.version != nil && g.by != GuardCreated:
		return "version " + a.version.String()
	case !a.created.IsZero() && g.by != GuardVersion:
		return "an image of " + stamp(a.created)
	case g.by == GuardVersion:
		return "an image without a version"
	}
	return "an image without a time"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// age reads an image's age, once.
func (g *guard) age(ctx context.Context, s *session, digest v1.Hash) (age, error) {
	key := s.repo.Name()
	if digest == g.digest {
		key = "" // the same in every repository
	}
	key += "@" + digest.String()
	g.mu.Lock()
	read, ok := g.ages[key]
	if !ok {
		read = sync.OnceValues(func() (age, error) { return readAge(ctx, s, digest) })
		g.ages[key] = read
	}
	g.mu.Unlock()
	return read()
}

// readAge reads an index's annotations and, where these don't say all, those of
// its first image and that image's config: three requests at most.
func readAge(ctx context.Context, s *session, digest v1.Hash) (age, error) {
	var a age
	m, err := s.manifest(ctx, s.repo.Digest(digest.String()))
	if err != nil {
		return a, err
	}
	if m.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(m.Raw))
		if err != nil {
			return a, wrongf("%s@%s: index: %w", s.repo, digest, err)
		}
		if a.fill(index.Annotations); a.whole() {
			return a, nil
		}
		first, ok := firstImage(index)
		if !ok {
			return a, nil
		}
		if m, err = s.manifest(ctx, s.repo.Digest(first.String())); err != nil {
			return a, err
		}
	}
	if !m.MediaType.IsImage() {
		return a, nil
	}
	return a, a.fillFromImage(ctx, s, m)
}

// firstImage is the first manifest of an index that is no attestation.
func firstImage(index *v1.IndexManifest) (v1.Hash, bool) {
	for _, d := range index.Manifests {
		if d.MediaType.IsImage() && d.Annotations[referenceType] != attestationManifest {
			return d.Digest, true
		}
	}
	return v1.Hash{}, false
}

func (a *age) fillFromImage(ctx context.Context, s *session, m Manifest) error {
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil {
		return wrongf("%s@%s: manifest: %w", s.repo, m.Digest, err)
	}
	if a.fill(parsed.Annotations); a.whole() || !parsed.Config.MediaType.IsConfig() {
		return nil
	}
	r, err := s.do(ctx, call{method: http.MethodGet, kind: blobs, id: parsed.Config.Digest.String()})
	if err != nil {
		return err
	}
	var config struct {
		Created time.Time `json:"created"`
		Config  struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(r.body, &config); err != nil {
		return wrongf("%s: config %s: %w", s.repo, parsed.Config.Digest, err)
	}
	var own age
	own.fill(config.Config.Labels)
	// A label may be the base image's, and the config's time, of an image whose
	// steps were cached, that of the build that made them: the later is nearer.
	if config.Created.Unix() > 0 && config.Created.After(own.created) {
		own.created = config.Created
	}
	if a.created.IsZero() {
		a.created = own.created
	}
	if a.version == nil {
		a.version = own.version
	}
	return nil
}

func (a *age) whole() bool { return a.version != nil && !a.created.IsZero() }

// fill takes what labels or annotations say, and what is not there yet. A
// version that is not SemVer, as a branch's name, is none.
func (a *age) fill(labels map[string]string) {
	if t, err := time.Parse(time.RFC3339, labels[createdKey]); a.created.IsZero() && err == nil {
		a.created = t
	}
	if v, err := semver.StrictNewVersion(strings.TrimPrefix(labels[versionKey], "v")); a.version == nil && err == nil {
		a.version = v
	}
}
