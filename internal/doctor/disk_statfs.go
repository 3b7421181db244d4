//go:build linux || darwin || freebsd

package doctor

import "golang.org/x/sys/unix"

func spaceOf(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, err
	}
	// Some file systems, as btrfs, have no table of files and say 0 of 0.
	return space{free: int64(s.Bavail) * int64(s.Bsize), files: s.Files == 0 || s.Ffree > 0}, nil
}
