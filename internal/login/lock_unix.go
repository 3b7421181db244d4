//go:build unix

package login

import (
	"os"

	"github.com/gofrs/flock"
)

// lockOf is the lock of a directory. It is on the directory, so that it leaves no
// file.
func lockOf(dir string) *flock.Flock { return flock.New(dir, flock.SetFlag(os.O_RDONLY)) }
