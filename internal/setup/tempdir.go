package setup

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/moby/sys/atomicwriter"
)

// ownerFile is in a temporary directory, and says whose that is.
const ownerFile = ".hullwright-owner.json"

// TempDir makes a directory below base for what this process needs no longer than
// it runs: hullwright-WHAT-*, of which what is check, input or try. The caller
// removes it; where it can't any more, since it was killed, [Manager.Orphans] does.
func TempDir(base, what string) (string, error) {
	dir, err := os.MkdirTemp(base, "hullwright-"+what+"-")
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(self())
	if err == nil {
		err = atomicwriter.WriteFile(filepath.Join(dir, ownerFile), raw, 0o600)
	}
	if err != nil {
		os.RemoveAll(dir) // best effort: why it is of no use is told
		return "", err
	}
	return dir, nil
}

// tempDir is the name of a directory that TempDir made.
var tempDir = regexp.MustCompile(`^hullwright-(check|input|try)-[0-9]+$`)

// tempDir takes a temporary directory for a stray, whose process is over or can't
// be seen from here.
func (s *sweep) tempDir(dir string) {
	path := filepath.Join(dir, ownerFile)
	raw, err := os.ReadFile(path)
	var o owner
	if err != nil || !tempDir.MatchString(filepath.Base(dir)) || !mine(path) || json.Unmarshal(raw, &o) != nil || o.Runs() {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return // it is being removed
	}
	lost := ""
	if o.Over() {
		lost = fmt.Sprintf("its run ended without removing it (process %d)", o.PID)
	}
	s.stray(stray{
		entry: entry{Kind: kindDirectory, ID: dir}, mark: origin{Created: info.ModTime()}, lost: lost,
		remove: func(context.Context) error { return os.RemoveAll(dir) },
	})
}
