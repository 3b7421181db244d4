package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// rollback puts the tags that this run wrote, or may have written, back to what
// they were: the moving ones first, in the opposite order of the writes. A tag
// that has another digest than ours by now is somebody else's, and stays. It
// gives an error for each tag that could not be put back.
func (l *release) rollback(ctx context.Context) error {
	var ranks []int
	for _, r := range l.rows {
		if r.touched() {
			ranks = append(ranks, r.rank)
		}
	}
	slices.Sort(ranks)
	var errs []error
	for _, rank := range slices.Backward(slices.Compact(ranks)) {
		errs = append(errs, l.each(func(r *row) bool { return r.rank == rank && r.touched() }, func(r *row) error {
			return l.restore(ctx, r, true)
		}))
	}
	return errors.Join(errs...)
}

// touched is whether a write of ours may have reached the tag.
func (r *row) touched() bool {
	return r.Status == statusWritten || r.Status == statusUnknown || r.Status == statusFailed && r.After != "" && r.After != r.Before
}

// restore puts one tag back. Where match is set, a registry that can compare does
// so only if the tag is what it was when we looked.
func (l *release) restore(ctx context.Context, r *row, match bool) error {
	now, err := r.session.look(ctx, r.tag)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return l.stuck(r, err)
	}
	has := ""
	if err == nil {
		has = now.digest.String()
	}
	r.After = has
	r.etag = ""
	if match {
		r.etag = now.etag
	}
	switch {
	case has == r.Before: // the write did not land, or somebody put it back
		r.Status = statusRestored
		return nil
	case now.digest != l.digest:
		r.Status, r.Reason = statusFailed, "not put back: another run wrote it"
		return nil
	case r.Before == "":
		err = r.remove(ctx)
	default:
		err = r.putBack(ctx)
	}
	if statusOf(err) == http.StatusPreconditionFailed && r.etag != "" {
		// Another run was quicker, or a try of ours whose answer was lost, or the
		// ETag says something else than what the tag is: look.
		return l.restore(ctx, r, false)
	}
	if err != nil {
		return l.stuck(r, err)
	}
	r.After, r.Status, r.Reason = r.Before, statusRestored, ""
	return nil
}

// stuck is a tag that could not be put back.
func (l *release) stuck(r *row, err error) error {
	r.Reason = "not put back: " + err.Error()
	return fmt.Errorf("put %s back to %s: %w", r.tag, shown(r.Before), err)
}

// putBack writes the manifest that the tag had before.
func (r *row) putBack(ctx context.Context) error {
	old, err := r.session.manifest(ctx, r.tag.Digest(r.Before))
	if err != nil {
		return err
	}
	return r.put(ctx, old)
}

// remove deletes a tag that was not there before: the tag, never the digest,
// which other tags may have. Registries differ in whether they can, and few
// compare before they do.
func (r *row) remove(ctx context.Context) error {
	_, err := r.session.do(ctx, call{method: http.MethodDelete, kind: manifests, id: r.tag.TagStr(), ifMatch: r.etag})
	switch status := statusOf(err); {
	case status == http.StatusNotFound:
		return nil
	case status == http.StatusMethodNotAllowed || status == http.StatusBadRequest || status == http.StatusNotImplemented:
		return errdefs.New(errdefs.Environment, "registry can't delete a tag: %w", err).
			WithHint("remove %s by hand: it was not there before this run", r.tag)
	}
	if err != nil {
		return err
	}
	if _, err := r.session.resolve(ctx, r.tag); !errors.Is(err, ErrNotFound) {
		return errors.Join(errdefs.New(errdefs.Environment, "registry says that it deleted the tag, which is still there"), err)
	}
	return nil
}
