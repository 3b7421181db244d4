package ci

import (
	"context"
	"strings"
	"sync"
)

// Worktree is how a checkout lies in its directory.
type Worktree struct {
	Shallow  bool // its history is cut off
	Detached bool // HEAD is on no branch
	Tags     int  // git tags that it has
	Changes  int  // files that differ from the commit, or that git does not know
}

// ReadWorktree asks the repository in the host's directory. Errors are
// errdefs.Environment, with git's own words.
func ReadWorktree(ctx context.Context, h Host) (Worktree, error) {
	var w Worktree
	var shallow string
	var tags, changes []string
	var err error
	var wg sync.WaitGroup // each question is a process, of a few milliseconds
	wg.Go(func() { shallow, err = runGit(ctx, h, "rev-parse", "--is-shallow-repository") })
	wg.Go(func() {
		_, detached := runGit(ctx, h, "symbolic-ref", "--quiet", "HEAD")
		w.Detached = detached != nil
	})
	wg.Go(func() { tags, _ = gitLines(ctx, h, "for-each-ref", "--format=%(refname)", "refs/tags/") })
	wg.Go(func() { changes, _ = gitLines(ctx, h, "status", "--porcelain") })
	wg.Wait()
	if err != nil {
		return Worktree{}, err
	}
	w.Shallow = strings.TrimSpace(shallow) != "false"
	w.Tags, w.Changes = len(tags), len(changes)
	return w, nil
}
