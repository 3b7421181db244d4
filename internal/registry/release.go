package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const (
	// putGrace is how long a write that is under way may take once a run was
	// told to stop. A write that is cut off may still land, seconds later, with
	// nobody there to say so.
	putGrace = 3 * time.Second
	// lookGrace is how long it may take, after that, to see what became of it.
	lookGrace = 2 * time.Second
)

// Tag is a tag to write.
type Tag struct {
	Reference name.Tag
	// Rank orders writes: all tags of a lower rank stand, in every repository,
	// before the first of a higher one is written. See [Rank].
	Rank int
}

// Release is a set of tags that shall all point to one digest, which is already
// in every repository.
type Release struct {
	Digest v1.Hash
	Tags   []Tag
	// Check runs beside the reading of the tags. No tag is written unless it
	// gives nil; nil itself checks nothing.
	Check func(ctx context.Context) error
}

// Written is what became of one tag.
type Written struct {
	Tag    string `json:"tag"`    // full reference
	Before string `json:"before"` // digest that the tag had; empty is none
	After  string `json:"after"`  // digest that the tag has; empty is not written
	Status string `json:"status"` // "written", "unchanged", "pending", "failed" or "unknown"
}

// The statuses of [Written].
const (
	statusWritten   = "written"   // by this run
	statusUnchanged = "unchanged" // had the digest already
	statusPending   = "pending"   // nothing was sent
	statusFailed    = "failed"    // refused, or has another digest than was sent
	statusUnknown   = "unknown"   // a write was cut off and may still land
)

// release is a Release at work.
type release struct {
	client  *Client
	digest  v1.Hash
	rows    []*row
	journal func([]Written) error
}

// row is one tag. It is written by one goroutine at a time.
type row struct {
	Written
	tag     name.Tag
	rank    int
	session *session
	content *Manifest // shared by the rows of a repository
}

// Release writes the tags, those of one rank in parallel, and gives a row a tag
// in every case, also with an error. journal is called with all rows before the
// first write and after each rank; its error stops the release. When ctx ends
// no further tag is written; a write under way is awaited for at most 3 s.
//
// A tag that has the digest is left alone. At the end every tag is read again
// and held against the digest. After a failure or a cancellation the journal
// gets the last word too, and tags whose write was cut off are read again.
func (c *Client) Release(ctx context.Context, r Release, journal func([]Written) error) ([]Written, error) {
	l := c.newRelease(r, journal)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.read(gctx) })
	if r.Check != nil {
		g.Go(func() error { return r.Check(gctx) })
	}
	if err := g.Wait(); err != nil {
		return l.written(), err
	}
	if err := l.note(); err != nil {
		return l.written(), err
	}
	err := l.writeAll(ctx)
	if err == nil {
		err = l.readBack(ctx)
	}
	if err != nil {
		err = errors.Join(err, l.note())
	}
	return l.written(), err
}

func (c *Client) newRelease(r Release, journal func([]Written) error) *release {
	l := &release{client: c, digest: r.Digest, journal: journal}
	contents := map[string]*Manifest{}
	for _, t := range r.Tags {
		repo := t.Reference.Repository
		if contents[repo.Name()] == nil {
			contents[repo.Name()] = &Manifest{}
		}
		l.rows = append(l.rows, &row{
			Written: Written{Tag: t.Reference.Name(), Status: statusPending},
			tag:     t.Reference,
			rank:    t.Rank,
			session: c.session(repo, push),
			content: contents[repo.Name()],
		})
	}
	return l
}

func (l *release) written() []Written {
	out := make([]Written, len(l.rows))
	for i, r := range l.rows {
		out[i] = r.Written
	}
	return out
}

func (l *release) note() error {
	if l.journal == nil {
		return nil
	}
	if err := l.journal(l.written()); err != nil {
		return fmt.Errorf("journal of tags: %w", err)
	}
	return nil
}

// read gets the manifest from every repository and the digest that every tag
// has, all at the same time.
func (l *release) read(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(perRepository * 4)
	seen := map[*Manifest]bool{}
	for _, r := range l.rows {
		if !seen[r.content] {
			seen[r.content] = true
			g.Go(func() error {
				m, err := r.session.manifest(ctx, r.tag.Digest(l.digest.String()))
				*r.content = m
				return err
			})
		}
		g.Go(func() error { return r.readBefore(ctx, l.digest) })
	}
	return g.Wait()
}

func (r *row) readBefore(ctx context.Context, digest v1.Hash) error {
	before, err := r.session.resolve(ctx, r.tag)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Before = before.String()
	if before == digest {
		r.After, r.Status = r.Before, statusUnchanged
	}
	return nil
}

// writeAll writes rank by rank. A rank is tried to its end, whatever fails in
// it; the next one begins only when all of it stands.
func (l *release) writeAll(ctx context.Context) error {
	for _, rank := range l.ranks() {
		if ctx.Err() != nil {
			return l.canceled(ctx)
		}
		err := l.writeRank(ctx, rank)
		if ctx.Err() != nil && slices.ContainsFunc(l.rows, func(r *row) bool { return !r.stands() }) {
			return errors.Join(l.canceled(ctx), err)
		}
		if err != nil {
			return err
		}
		if err := l.note(); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) stands() bool { return r.Status == statusWritten || r.Status == statusUnchanged }

// canceled is the error of a release that was told to stop.
func (l *release) canceled(ctx context.Context) error {
	stand := 0
	var unknown string
	for _, r := range l.rows {
		if r.stands() {
			stand++
		}
		if r.Status == statusUnknown {
			unknown += ", unknown is " + r.Tag
		}
	}
	return errdefs.New(errdefs.Canceled, "release of %s stopped, %d of %d tags stand%s: %w", l.digest, stand, len(l.rows), unknown, ctx.Err())
}

// ranks are the ranks that have a tag to write, lowest first.
func (l *release) ranks() []int {
	var ranks []int
	for _, r := range l.rows {
		if r.Status == statusPending {
			ranks = append(ranks, r.rank)
		}
	}
	slices.Sort(ranks)
	return slices.Compact(ranks)
}

// writeRank writes the tags of one rank, all at the same time, and gives all
// that went wrong.
func (l *release) writeRank(ctx context.Context, rank int) error {
	var g errgroup.Group // one failure does not cut off the others' writes
	g.SetLimit(perRepository * 4)
	errs := make([]error, len(l.rows))
	for i, r := range l.rows {
		if r.rank == rank && r.Status == statusPending {
			g.Go(func() error {
				errs[i] = r.write(ctx, l.digest)
				return nil
			})
		}
	}
	g.Wait()
	return errors.Join(errs...)
}

// outlive is a context that lasts for grace after ctx has ended.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// write puts the manifest under the tag, and settles what became of it.
func (r *row) write(ctx context.Context, digest v1.Hash) error {
	putCtx, end := outlive(ctx, putGrace)
	defer end()
	err := r.put(withStop(putCtx, ctx.Done()), digest)
	var unsent *unsentError
	switch {
	case err == nil:
		r.After, r.Status = digest.String(), statusWritten
		return nil
	case errors.As(err, &unsent):
		return nil // pending; whoever stopped us says why
	case refused(err):
		r.Status = statusFailed
		return err
	}
	// The write may have reached the registry, or may still: look.
	r.Status = statusUnknown
	lookCtx, end := outlive(ctx, lookGrace)
	defer end()
	err = r.settle(lookCtx, digest, err)
	if ctx.Err() != nil {
		return nil // the row says what is known
	}
	if r.Status == statusUnknown && statusOf(err) != 0 {
		r.Status = statusFailed // the registry answered every try
	}
	return err
}

// refused is whether a registry answered that it will not write.
func refused(err error) bool {
	status := statusOf(err)
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout
}

// settle reads a tag whose write ended in err, and gives the error that is left.
func (r *row) settle(ctx context.Context, digest v1.Hash, err error) error {
	now, lookErr := r.session.resolve(ctx, r.tag)
	if lookErr != nil {
		if errors.Is(lookErr, ErrNotFound) {
			return err
		}
		return errors.Join(err, lookErr)
	}
	r.After = now.String()
	var other *otherDigestError
	switch {
	case errors.As(err, &other):
		r.Status = statusFailed
		return fmt.Errorf("%w; the tag has %s now", err, now)
	case now == digest:
		r.Status = statusWritten
		return nil
	}
	return err
}

// otherDigestError is a registry that stored, or says so, something else than
// what it was sent.
type otherDigestError struct{ sent, said string }

func (e *otherDigestError) Error() string {
	return fmt.Sprintf("registry returned another digest: sent %s, got %s", e.sent, e.said)
}

func (r *row) put(ctx context.Context, digest v1.Hash) error {
	reply, err := r.session.do(ctx, call{
		method:      http.MethodPut,
		kind:        manifests,
		id:          r.tag.TagStr(),
		contentType: string(r.content.MediaType),
		body:        r.content.Raw,
	})
	if err != nil {
		return err
	}
	if said := reply.header.Get("Docker-Content-Digest"); said != "" && said != digest.String() {
		return wrongf("PUT %s: %w", r.tag, &otherDigestError{digest.String(), said})
	}
	return nil
}

// readBack reads every tag again and holds it against the digest: another job
// may have moved it meanwhile.
func (l *release) readBack(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(perRepository * 4)
	errs := make([]error, len(l.rows))
	for i, r := range l.rows {
		g.Go(func() error {
			errs[i] = r.check(ctx, l.digest)
			return nil
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

func (r *row) check(ctx context.Context, digest v1.Hash) error {
	now, err := r.session.resolve(ctx, r.tag)
	if errors.Is(err, ErrNotFound) {
		r.After, r.Status = "", statusFailed
		return wrongf("%s was written and is gone", r.tag)
	}
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if now != digest {
		// A cache before the registry may answer HEAD from what was.
		m, err := r.session.manifest(ctx, r.tag)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		now = m.Digest
	}
	r.After = now.String()
	if now != digest {
		r.Status = statusFailed
		return wrongf("%s moved since it was written: it has %s, not %s", r.tag, now, digest)
	}
	return nil
}
