package ci

import (
	"context"
	"net/url"
	"sync"
)

// Checkout is the repository that a directory lies in.
type Checkout struct {
	SHA    string // of HEAD
	Remote string // address as git has it, without a login; empty where there is none
}

// ReadCheckout asks the repository in the host's directory. Where it is in none,
// or in one without a commit, the error is errdefs.Environment.
func ReadCheckout(ctx context.Context, h Host) (Checkout, error) {
	var c Checkout
	var err error
	var tracked, origin string
	var wg sync.WaitGroup // each question is a process, of a few milliseconds
	wg.Go(func() { c.SHA, err = runGit(ctx, h, "rev-parse", "--verify", "HEAD^{commit}") })
	wg.Go(func() { tracked = trackedRemote(ctx, h) })
	wg.Go(func() { origin = remoteAddress(ctx, h, "origin") })
	wg.Wait()
	if err != nil {
		return Checkout{}, err
	}
	if tracked != "" && tracked != "origin" {
		c.Remote = remoteAddress(ctx, h, tracked)
	}
	if c.Remote == "" {
		c.Remote = origin
	}
	if c.Remote == "" {
		c.Remote = remoteAddress(ctx, h, "upstream")
	}
	return c, nil
}

// remoteAddress is a remote's address without a login, empty where there is none.
func remoteAddress(ctx context.Context, h Host, remote string) string {
	address, err := runGit(ctx, h, "remote", "get-url", remote)
	if err != nil {
		return ""
	}
	return withoutLogin(address)
}

// trackedRemote is the remote that the branch of HEAD follows, empty where it
// follows none.
func trackedRemote(ctx context.Context, h Host) string {
	branch, err := runGit(ctx, h, "symbolic-ref", "--quiet", "HEAD")
	if err != nil {
		return ""
	}
	remote, err := runGit(ctx, h, "for-each-ref", "--format=%(upstream:remotename)", branch)
	if err != nil {
		return ""
	}
	return remote
}

// IsDirty is whether the checkout in the host's directory has changes, or files
// that git does not know.
func IsDirty(ctx context.Context, h Host) bool {
	changes, err := runGit(ctx, h, "status", "--porcelain", "--ignored")
	return err != nil || changes != ""
}

// withoutLogin is an address without user and password; that of ssh, where the
// user is part of the address, keeps it.
func withoutLogin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	if u.Scheme == "ssh" {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	return u.String()
}
