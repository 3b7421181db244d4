package setup

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inProcesses finds process builders by their daemons, whose directories may be
// below a temporary directory that is another job's.
func (s *sweep) inProcesses(context.Context) error {
	found, err := findProcesses(func(pid int) bool {
		environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		return err == nil && strings.Contains("\x00"+string(environ), "\x00"+nonceVariable+"=")
	})
	for _, p := range leaders(found) {
		if dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), "cwd")); err == nil {
			s.processDir(dir)
		}
	}
	return err
}
