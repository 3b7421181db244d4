package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
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
	// Guard keeps tags that move, those of a rank above 0, from going back to an
	// older image. The default lets them go anywhere.
	Guard Guard
	// Rollback puts tags that were written back to what they were, where the
	// release fails or is canceled.
	Rollback bool
}

// Written is what became of one tag.
type Written struct {
	Tag    string `json:"tag"`              // full reference
	Before string `json:"before"`           // digest that the tag had; empty is none
	After  string `json:"after"`            // digest that the tag has; empty is not written
	Status string `json:"status"`           // "written", "unchanged", "kept", "pending", "failed", "unknown" or "restored"
	Reason string `json:"reason,omitempty"` // why, where the status alone does not say
}

// Stands is whether the tag has the release's digest.
func (w Written) Stands() bool { return w.Status == statusWritten || w.Status == statusUnchanged }

// The statuses of [Written].
const (
	statusWritten   = "written"   // by this run
	statusUnchanged = "unchanged" // had the digest already
	statusPending   = "pending"   // nothing was sent
	statusFailed    = "failed"    // refused, or has another digest than was sent
	statusKept      = "kept"      // has a newer image, and a guard
	statusUnknown   = "unknown"   // a write was cut off and may still land
	statusRestored  = "restored"  // was written, and is what it was before
)

// release is a Release at work.
type release struct {
	client  *Client
	digest  v1.Hash
	rows    []*row
	journal func([]Written) error
	guard   *guard // nil lets every tag move
}

// row is one tag. It is written by one goroutine at a time.
type row struct {
	Written
	tag     name.Tag
	rank    int
	session *session
	content *Manifest // shared by the rows of a repository
	etag    string    // that the registry gave with Before; empty is none
}

// Release writes the tags, those of one rank in parallel, and gives a row a tag
// in every case, also with an error. journal is called with all rows before the
// first write, and after each rank beside the writes of the next one, never twice
// at the same time; its error stops the release. When ctx ends no further tag is
// written; a write under way is awaited for at most 3 s.
//
// A tag that has the digest is left alone; one that another run moved since it
// was read is not written. At the end every tag is read again and held against
// the digest. After a failure or a cancellation tags whose write was cut off are
// read again, the tags are put back where the release says so, and the journal
// gets the last word.
func (c *Client) Release(ctx context.Context, r Release, journal func([]Written) error) ([]Written, error) {
	l := c.newRelease(r, journal)
	clean, end := outlive(ctx, cleanGrace)
	defer end()
	read, err := l.prepare(ctx, r.Check)
	if err != nil {
		return l.written(), err
	}
	if err = l.writeAll(ctx, read); err == nil {
		err = together(l.noting(), func() error { return l.readBack(ctx) })
	}
	if err != nil && r.Rollback {
		err = errors.Join(err, l.rollback(clean))
	}
	if err != nil {
		err = errors.Join(err, l.note())
	}
	return l.written(), err
}

// prepare reads the tags and notes them in the journal, while check runs, and
// gives the time at which they were read.
func (l *release) prepare(ctx context.Context, check func(context.Context) error) (time.Time, error) {
	var read time.Time
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := l.read(gctx)
		read = time.Now()
		if err != nil {
			return err
		}
		return l.note()
	})
	if check != nil {
		g.Go(func() error { return check(gctx) })
	}
	return read, g.Wait()
}

func (c *Client) newRelease(r Release, journal func([]Written) error) *release {
	l := &release{client: c, digest: r.Digest, journal: journal}
	if r.Guard != GuardNothing {
		l.guard = newGuard(r)
	}
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

// note gives the rows to the journal as they are now.
func (l *release) note() error { return l.noting()() }

// noting takes the rows as they are now, for a note while they change.
func (l *release) noting() func() error {
	rows := l.written()
	return func() error {
		if l.journal == nil {
			return nil
		}
		if err := l.journal(rows); err != nil {
			return fmt.Errorf("journal of tags: %w", err)
		}
		return nil
	}
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
		g.Go(func() error { return l.readBefore(ctx, r) })
	}
	return g.Wait()
}

// readBefore notes what a tag has, and decides whether it is to be written.
func (l *release) readBefore(ctx context.Context, r *row) error {
	before, err := r.session.look(ctx, r.tag)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Before, r.etag = before.digest.String(), before.etag
	if before.digest == l.digest {
		r.After, r.Status = r.Before, statusUnchanged
		return nil
	}
	return l.keep(ctx, r, before.digest)
}
