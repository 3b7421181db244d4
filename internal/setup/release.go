package setup

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/gofrs/flock"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Release is a release of BuildKit: a .tar.gz with bin/buildkitd in it, as
// https://github.com/moby/buildkit/releases has them. The zero value is none.
type Release struct {
	URL    string
	SHA256 string // of the archive, in lower case
}

// releaseLimit is the largest archive that is taken. Releases have some 90 MB.
const releaseLimit = 512 << 20

// releaseTries is how a download is tried again.
var releaseTries = pullPolicy{tries: 5, base: 2 * time.Second, after: 30 * time.Second, stall: 90 * time.Second}

// programsOf is the directory of the programs that a builder to be made shall
// run; empty where they are the machine's own. It may take minutes, so that the
// store must not be locked.
func (m *Manager) programsOf(ctx context.Context, spec Spec) (bin string, err error) {
	if spec.Release == (Release{}) || exists(m.store().path("instances", spec.Name)) {
		return "", nil
	}
	return m.fetchRelease(ctx, spec.Release)
}

// fetchRelease gives the directory of a release's programs. A release is got
// once for all runs of this user, into the user's cache directory, and is there
// whole or not at all: of two that want one the other waits.
func (m *Manager) fetchRelease(ctx context.Context, r Release) (bin string, err error) {
	cache := m.cacheDir("releases")
	if err := m.privateDir(cache); err != nil {
		return "", err
	}
	unlock, err := m.lockReleases(ctx, cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(cache, r.SHA256)
	bin = filepath.Join(dir, "bin")
	switch _, err := os.Stat(dir); {
	case err == nil:
		m.stepf("buildkitd of %s is in %s already", shown(r.URL), dir)
		return bin, m.privateDir(dir)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := sweepReleases(cache); err != nil {
		return "", err
	}
	return bin, m.getRelease(ctx, r, cache, dir)
}

// lockReleases waits until no other download is under way. The lock is on the
// directory, so that it leaves no file.
func (m *Manager) lockReleases(ctx context.Context, cache string) (unlock func() error, err error) {
	lock := flock.New(cache, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if err == nil && !free {
		m.stepf("waiting for another download to %s", cache)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "lock %s: %w", cache, err)
	}
	return lock.Unlock, nil
}

// sweepReleases removes what downloads that were killed left. Who calls it holds
// the lock, so that none is under way.
func sweepReleases(cache string) error {
	left, err := filepath.Glob(filepath.Join(cache, ".new-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// getRelease downloads, verifies and unpacks a release, in this order.
func (m *Manager) getRelease(ctx context.Context, r Release, cache, dir string) (err error) {
	work, err := os.MkdirTemp(cache, ".new-")
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	m.stepf("getting buildkitd from %s", shown(r.URL))
	archive, err := os.OpenFile(filepath.Join(work, "archive"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	defer archive.Close()
	d := download{m: m, release: r, file: archive, policy: releaseTries, client: m.releaseClient()}
	if err := d.tries(ctx); err != nil {
		return err
	}
	if err := d.verify(); err != nil {
		return err
	}
	tree := filepath.Join(work, "tree")
	if err := unpackRelease(archive, tree); err != nil {
		return errdefs.New(errdefs.Environment, "release %s: %w", shown(r.URL), err).
			WithHint("expected the .tar.gz of a BuildKit release for linux")
	}
	if err := os.Rename(tree, dir); err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	m.stepf("buildkitd of %s is in %s from now on", shown(r.URL), dir)
	return nil
}

// releaseClient follows redirects only to where the release itself could be.
func (m *Manager) releaseClient() *http.Client {
	return &http.Client{Transport: m.host.Transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return lastingError{errors.New("more than 10 redirects")}
		}
		if err := safeURL(next.URL, via[0].URL); err != nil {
			return lastingError{err}
		}
		return nil
	}}
}

// lastingError is one that another try would not end.
type lastingError struct{ error }

func (e lastingError) Unwrap() error { return e.error }

// statusError is an answer other than 200.
type statusError struct {
	code  int
	after time.Duration // that the server asks to wait
}

func (e statusError) Error() string {
	return fmt.Sprintf("%d %s", e.code, http.StatusText(e.code))
}

// download is the getting of one release.
type download struct {
	m       *Manager
	release Release
	file    *os.File
	policy  pullPolicy
	client  *http.Client
	told    time.Time
}

func (d *download) tries(ctx context.Context) error {
	for try := 1; ; try++ {
		err := d.once(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("get %s: %w", shown(d.release.URL), ctx.Err())
		}
		if !worthAnother(err) || try == d.policy.tries {
			return &errdefs.Error{Kind: errdefs.Environment, Input: "buildkitd-url", Err: fmt.Errorf("%s: %w", shown(d.release.URL), err), Hint: downloadHint(err)}
		}
		wait := d.policy.pause(try, err)
		d.m.stepf("getting buildkitd failed, try %d of %d: %v; again in %s", try, d.policy.tries, err, wait.Round(100*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// pause is the time to the next try: what the server asks for, within limits.
func (p pullPolicy) pause(try int, err error) time.Duration {
	wait := p.wait(try, err)
	var status statusError
	if errors.As(err, &status) {
		wait = max(wait, min(status.after, p.after))
	}
	return wait
}

// worthAnother is whether another try may go well: after all that the network
// can do, and answers that are for a while.
func worthAnother(err error) bool {
	var status statusError
	if errors.As(err, &status) {
		return status.code == http.StatusRequestTimeout || status.code == http.StatusTooManyRequests || status.code >= 500
	}
	var lasting lastingError
	var path *fs.PathError // of the file that is written: no space, most likely
	return !errors.As(err, &lasting) && !errors.As(err, &path) && !certificateFault(err)
}

// certificateFault is whether a server's certificate was not trusted.
func certificateFault(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}

func downloadHint(err error) string {
	var status statusError
	switch {
	case certificateFault(err):
		return "SSL_CERT_FILE names the file of a certificate authority of your own"
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		return "look whether the address is right: releases are named buildkit-vVERSION.linux-ARCH.tar.gz"
	}
	return ""
}

// once downloads the whole from its beginning.
func (d *download) once(ctx context.Context) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(d.policy.stall, func() { cancel(fmt.Errorf("no answer for %s", d.policy.stall)) })
	defer silent.Stop()
	err := d.get(limited, func() { silent.Reset(d.policy.stall) })
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	// The error of a request has its whole address, which may be a signed one.
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func (d *download) get(ctx context.Context, alive func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.release.URL, nil)
	if err != nil {
		return lastingError{err}
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	alive()
	if resp.StatusCode != http.StatusOK {
		return statusError{resp.StatusCode, retryAfter(resp.Header)}
	}
	if resp.ContentLength > releaseLimit {
		return lastingError{fmt.Errorf("%s is more than the %s that a release may have", units.HumanSize(float64(resp.ContentLength)), units.HumanSize(releaseLimit))}
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	return d.copy(resp, alive)
}

func (d *download) copy(resp *http.Response, alive func()) error {
	d.told = d.m.host.Now()
	buffer := make([]byte, 256<<10)
	var size int64
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 {
			alive()
			if size += int64(n); size > releaseLimit {
				return lastingError{fmt.Errorf("more than the %s that a release may have", units.HumanSize(releaseLimit))}
			}
			if _, err := d.file.Write(buffer[:n]); err != nil {
				return err
			}
			d.tell(size, resp.ContentLength)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) tell(size, whole int64) {
	if d.m.host.Now().Sub(d.told) < pullLines {
		return
	}
	d.told = d.m.host.Now()
	of := ""
	if whole > 0 {
		of = " of " + units.HumanSize(float64(whole))
	}
	d.m.stepf("buildkitd: %s%s so far", units.HumanSize(float64(size)), of)
}

// retryAfter is a wait that a server asks for in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// verify holds the whole archive against its checksum.
func (d *download) verify() error {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, d.file); err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	found := hex.EncodeToString(hash.Sum(nil))
	if found != d.release.SHA256 {
		return &errdefs.Error{
			Kind: errdefs.Environment, Input: "buildkitd-sha256",
			Err:  fmt.Errorf("%s has SHA-256 %s, expected %s; nothing of it was run%s", shown(d.release.URL), found, d.release.SHA256, d.kind()),
			Hint: "compare it with what the release's page tells; if that says the same as the input, do not trust what came",
		}
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// kind says what came in the place of an archive; empty where it is one.
func (d *download) kind() string {
	head := make([]byte, 512)
	n, _ := d.file.ReadAt(head, 0) // what can't be read has no kind
	if kind := http.DetectContentType(head[:n]); kind != "application/x-gzip" {
		return "; what came is " + kind
	}
	return ""
}

// shown is an address that was parsed before, for people.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	return shownURL(u)
}
