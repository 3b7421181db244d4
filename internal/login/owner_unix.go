//go:build unix

package login

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// checkOwner refuses a file of somebody else's: root's and ours alone are read.
func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return errdefs.New(errdefs.Environment, "%s belongs to user %d, and we are user %d", path, stat.Uid, os.Geteuid()).
		WithHint("it could name programs that would run as us: give the file to user %d, or set DOCKER_CONFIG to a directory of that user's", os.Geteuid())
}
