package setup

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// rootName is where a process builder's directory has buildkitd's root: a
// directory that goes with it, or a link to one that stays.
const rootName = "root"

// keptRoot is the root directory that is to outlive a builder; empty where it
// goes with the builder.
func (m *Manager) keptRoot(spec Spec) (string, error) {
	switch {
	case spec.RootDir != "":
		return filepath.Clean(spec.RootDir), nil
	case !spec.KeepState:
		return "", nil
	case spec.unnamed:
		return "", errdefs.BadInputf("keep-state", 0, "the builder has no name by which it would be found again").
			WithHint("give it one with name")
	}
	return filepath.Join(m.cacheDir("builders"), spec.Name), nil
}

// rootPlace is a directory on the disk where a process builder's root directory
// will be.
func (m *Manager) rootPlace(spec Spec) (string, error) {
	dir, err := m.keptRoot(spec)
	if dir == "" || err != nil {
		return m.tmp(), err
	}
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir, nil
}

// cacheDir is a directory of ours below the user's cache directory.
func (m *Manager) cacheDir(name string) string {
	base := m.host.Environ["XDG_CACHE_HOME"]
	if !filepath.IsAbs(base) {
		base = filepath.Join(m.home(), ".cache")
	}
	return filepath.Join(base, "hullwright", name)
}

// privateDir makes a directory below the user's cache directory that is for this
// user alone. One that another may write to, there or on the way, is refused:
// programs and steps are taken from it as they are.
func (m *Manager) privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errdefs.New(errdefs.Environment, "make directory: %w", err)
	}
	for top := m.cacheDir(""); ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !mine(dir) || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
			return errdefs.New(errdefs.Denied, "directory %s may be written by others (%s)", dir, info.Mode()).
				WithHint("remove it, or set XDG_CACHE_HOME to a directory of your own")
		}
		if !below(dir, []string{top}) {
			return nil
		}
	}
}

// lockRoot makes a root directory that stays, and keeps others from taking it
// until the function that it gives is called: once a daemon was started that can
// be found.
func (p *processNode) lockRoot(ctx context.Context) (unlock func() error, err error) {
	if p.kept == "" {
		return func() error { return nil }, nil
	}
	if err := p.makeRoot(); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(p.kept, runFile))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, errdefs.New(errdefs.Environment, "root directory: %w", err)
	}
	return lock.Unlock, nil
}

// takeRoot takes a root directory that stays, which must be locked: what a killed
// daemon left in it is ended. The directory then says who has it. That only one
// daemon does is held by buildkitd itself, which locks it; but the steps of one
// that runs must not be taken for what a killed one left.
func (p *processNode) takeRoot() error {
	if p.kept == "" {
		return nil
	}
	holder, pid := holderOf(p.kept)
	if pid != 0 {
		return errHeld(p.kept, holder, pid)
	}
	if holder.Nonce != "" {
		remains, err := endRemains(p.kept)
		p.m.tellRemains(remains)
		if err != nil {
			return fmt.Errorf("root directory %s: %w", p.kept, err)
		}
	}
	raw, err := json.Marshal(p.mark)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.kept, runFile), raw, 0o600); err != nil {
		return errdefs.New(errdefs.Environment, "root directory: %w", err)
	}
	return os.Symlink(p.kept, filepath.Join(p.dir, rootName))
}

// makeRoot makes a root directory that stays. In the user's cache directory it
// must be the user's alone, since steps are taken from it as they are; a
// directory that was named is as it is.
func (p *processNode) makeRoot() error {
	if below(p.kept, []string{p.m.cacheDir("builders")}) {
		return p.m.privateDir(p.kept)
	}
	if err := os.MkdirAll(p.kept, 0o700); err != nil {
		return errdefs.New(errdefs.Environment, "make root directory: %w", err)
	}
	return nil
}

// tellRemains prints what a daemon that was killed had left.
func (m *Manager) tellRemains(names []string) {
	if len(names) > 0 {
		m.stepf("ended what a buildkitd that was killed had left: %s", strings.Join(names, ", "))
	}
}

// holderOf is who has taken a root directory, and the daemon that has it: by its
// lock, or, where that can't be seen or is not taken yet, by its environment; 0
// where none has that can be seen from here.
func holderOf(root string) (origin, int) {
	var k origin
	if raw, err := os.ReadFile(filepath.Join(root, runFile)); err != nil || json.Unmarshal(raw, &k) != nil {
		k = origin{}
	}
	pid := lockHolder(filepath.Join(root, "buildkitd.lock"))
	if pid == 0 && k.Nonce != "" {
		pid = leaderOf(k.Nonce)
	}
	return k, pid
}

func errHeld(root string, k origin, pid int) error {
	who := "a buildkitd that hullwright did not start"
	hint := "end it, or take another directory"
	if k.Nonce != "" {
		who = fmt.Sprintf("builder %s of %s", k.Builder, k.Run)
		hint = fmt.Sprintf("hullwright teardown --name %s ends it; or take another name, or root-dir", k.Builder)
	}
	if pid != 0 {
		who += fmt.Sprintf(" (process %d)", pid)
	}
	return errdefs.New(errdefs.Environment, "root directory %s is in use by %s", root, who).WithHint("%s", hint)
}

// placesOf are the directories that a process builder's mounts and steps are in:
// its own, and its root directory where that is elsewhere and still is its own.
func placesOf(dir, nonce string) []string {
	root, err := os.Readlink(filepath.Join(dir, rootName))
	if err != nil {
		return []string{dir}
	}
	if k, _ := holderOf(root); k.Nonce != nonce {
		return []string{dir} // another builder has it since
	}
	return []string{dir, root}
}

// checkMark refuses a directory that has not the nonce; fs.ErrNotExist where
// there is no mark.
func checkMark(dir, nonce string) error {
	mark, err := os.ReadFile(filepath.Join(dir, nonceFile))
	if err == nil && string(mark) != nonce {
		return errdefs.New(errdefs.Denied, "directory %s is not the one that was made", dir)
	}
	return err
}

// below is whether a path lies in one of the places.
func below(path string, places []string) bool {
	return slices.ContainsFunc(places, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
}

// isLink is whether a path is a symbolic link.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}
