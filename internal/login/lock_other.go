//go:build !unix

package login

import "github.com/gofrs/flock"

// lockOf is the lock of a directory. It is a file beside it: Windows locks no
// directory, and removes none in which a file is open.
func lockOf(dir string) *flock.Flock { return flock.New(dir + ".lock") }
