package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

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
	// cleanGrace is how long after a run was told to stop its tags may be put
	// back: runners kill what is left after some ten seconds.
	cleanGrace = 6 * time.Second
	// lookAge is how old the look at a tag may be when the tag is written. A
	// write that comes in between unseen is found when the tag is read back.
	lookAge = 250 * time.Millisecond
)

// writeAll writes rank by rank. A rank is tried to its end, whatever fails in
// it; the next one begins only when all of it stands. The next one's tags are
// looked at beside the writes of a rank, which so cost no time. read is when all
// were looked at first.
func (l *release) writeAll(ctx context.Context, read time.Time) error {
	ranks := l.ranks()
	if len(ranks) > 0 && time.Since(read) > lookAge {
		if err := l.compare(ctx, ranks[0]); err != nil && ctx.Err() == nil {
			return err
		}
	}
	noting := func() error { return nil } // of the rank before
	for i, rank := range ranks {
		if ctx.Err() != nil {
			return l.canceled(ctx)
		}
		work := []func() error{noting, func() error { return l.writeRank(ctx, rank) }}
		var moved error // counts where nothing stopped us
		if i+1 < len(ranks) {
			work = append(work, func() error { moved = l.compare(ctx, ranks[i+1]); return nil })
		}
		err := together(work...)
		if ctx.Err() != nil && slices.ContainsFunc(l.rows, func(r *row) bool { return !r.settled() }) {
			return errors.Join(l.canceled(ctx), err)
		}
		if err := errors.Join(err, moved); err != nil {
			return err
		}
		noting = l.noting()
	}
	return nil
}

// together does several things at the same time, each to its end, and gives all
// that went wrong.
func together(work ...func() error) error {
	var g errgroup.Group
	errs := make([]error, len(work))
	for i, do := range work {
		g.Go(func() error {
			errs[i] = do()
			return nil
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

// compare looks again at the tags of a rank that are to be written. What
// another run moved since they were read, they keep.
func (l *release) compare(ctx context.Context, rank int) error {
	return l.each(func(r *row) bool { return r.rank == rank && r.Status == statusPending }, func(r *row) error {
		now, err := r.session.look(ctx, r.tag)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return l.moved(ctx, r, now)
	})
}

// moved settles a tag that is not what it was. now is zero where it is gone.
func (l *release) moved(ctx context.Context, r *row, now look) error {
	has := ""
	if now.digest != (v1.Hash{}) {
		has = now.digest.String()
	}
	switch {
	case has == r.Before:
		return nil
	case now.digest == l.digest:
		r.After, r.Status, r.Reason = has, statusUnchanged, "another run wrote the same"
		return nil
	}
	if has != "" {
		if err := l.keep(ctx, r, now.digest); err != nil || r.Status == statusKept {
			return err
		}
	}
	r.After, r.Status = has, statusFailed
	return errdefs.New(errdefs.Environment, "%s moved since we read it: it had %s, it has %s", r.tag, shown(r.Before), shown(has)).
		WithHint("another run wrote the tag and it was left as it is; run again if this image shall have it")
}

// shown is a digest, or nothing, in a message.
func shown(digest string) string {
	if digest == "" {
		return "no image"
	}
	return digest
}

// each does do for the rows that match, all at the same time, whatever fails,
// and gives all that went wrong.
func (l *release) each(match func(*row) bool, do func(*row) error) error {
	var g errgroup.Group
	g.SetLimit(perRepository * 4)
	errs := make([]error, len(l.rows))
	for i, r := range l.rows {
		if match(r) {
			g.Go(func() error {
				errs[i] = do(r)
				return nil
			})
		}
	}
	g.Wait()
	return errors.Join(errs...)
}

// settled is whether nothing is left to do for the tag.
func (r *row) settled() bool { return r.Stands() || r.Status == statusKept }

// canceled is the error of a release that was told to stop.
func (l *release) canceled(ctx context.Context) error {
	stand := 0
	var unknown string
	for _, r := range l.rows {
		if r.Stands() {
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
	return l.each(func(r *row) bool { return r.rank == rank && r.Status == statusPending }, func(r *row) error {
		return l.write(ctx, r)
	})
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
func (l *release) write(ctx context.Context, r *row) error {
	putCtx, end := outlive(ctx, putGrace)
	defer end()
	err := r.put(withStop(putCtx, ctx.Done()), *r.content)
	var unsent *unsentError
	switch {
	case err == nil:
		r.After, r.Status = l.digest.String(), statusWritten
		return nil
	case errors.As(err, &unsent):
		return nil // pending; whoever stopped us says why
	case statusOf(err) == http.StatusPreconditionFailed && r.etag != "":
		return l.unmatched(ctx, r, err)
	case refused(err):
		r.Status = statusFailed
		return l.immutable(ctx, r, err)
	}
	// The write may have reached the registry, or may still: look.
	answered := statusOf(err) != 0 // every try
	r.Status = statusUnknown
	lookCtx, end := outlive(ctx, lookGrace)
	defer end()
	err = r.settle(lookCtx, l.digest, err)
	if ctx.Err() != nil {
		return nil // the row says what is known
	}
	if r.Status == statusUnknown && answered {
		r.Status = statusFailed
	}
	return err
}

// unmatched is a write that the registry refused since the tag's ETag is not
// the one that we read: another run was quicker. Where the tag is what it was,
// the ETag says something else, and we write without it.
func (l *release) unmatched(ctx context.Context, r *row, refusal error) error {
	now, err := r.session.look(ctx, r.tag)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return errors.Join(refusal, err)
	}
	if now.digest == l.digest { // by a try of ours whose answer was lost
		r.After, r.Status = now.digest.String(), statusWritten
		return nil
	}
	if err := l.moved(ctx, r, now); err != nil || r.Status != statusPending {
		return err
	}
	r.etag = ""
	return l.write(ctx, r)
}

// refused is whether a registry answered that it will not write.
func refused(err error) bool {
	status := statusOf(err)
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout
}

// immutable is what is left of a refusal: nothing, where the tag may not move
// and another run wrote the same meanwhile.
func (l *release) immutable(ctx context.Context, r *row, refusal error) error {
	if !slices.Contains([]int{http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed}, statusOf(refusal)) {
		return refusal
	}
	now, err := r.session.look(ctx, r.tag)
	if err != nil {
		return refusal // that is what went wrong; the look is for more
	}
	r.After = now.digest.String()
	if now.digest != l.digest {
		return fmt.Errorf("%w; the tag has %s", refusal, now.digest)
	}
	r.Status, r.Reason = statusUnchanged, "another run wrote the same"
	return nil
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

// put writes a manifest under the tag, in a registry that can compare only if
// the tag is what it was when we read it.
func (r *row) put(ctx context.Context, m Manifest) error {
	reply, err := r.session.do(ctx, call{
		method:      http.MethodPut,
		kind:        manifests,
		id:          r.tag.TagStr(),
		contentType: string(m.MediaType),
		ifMatch:     r.etag,
		body:        m.Raw,
	})
	if err != nil {
		return err
	}
	if said := reply.header.Get("Docker-Content-Digest"); said != "" && said != m.Digest.String() {
		return wrongf("PUT %s: %w", r.tag, &otherDigestError{m.Digest.String(), said})
	}
	return nil
}

// readBack reads every tag again and holds it against the digest: another job
// may have moved it meanwhile.
func (l *release) readBack(ctx context.Context) error {
	return l.each((*row).stands, func(r *row) error { return l.check(ctx, r) })
}

func (r *row) stands() bool { return r.Stands() }

func (l *release) check(ctx context.Context, r *row) error {
	now, err := r.session.resolve(ctx, r.tag)
	if errors.Is(err, ErrNotFound) {
		r.After, r.Status = "", statusFailed
		return wrongf("%s was written and is gone", r.tag)
	}
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if now != l.digest {
		// A cache before the registry may answer HEAD from what was.
		m, err := r.session.manifest(ctx, r.tag)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		now = m.Digest
	}
	if now == l.digest {
		r.After = now.String()
		return nil
	}
	if err := l.keep(ctx, r, now); err != nil || r.Status == statusKept {
		return err
	}
	r.After, r.Status = now.String(), statusFailed
	return wrongf("%s moved since it was written: it has %s, not %s", r.tag, now, l.digest)
}
