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
		proc := filepath.Join("/proc", strconv.Itoa(p.pid))
		dir, err := os.Readlink(filepath.Join(proc, "cwd"))
		if err != nil || !mine(proc) {
			continue
		}
		if gone, ok := strings.CutSuffix(dir, " (deleted)"); ok {
			s.homeless(proc, gone)
		}
		s.processDir(dir)
	}
	return err
}

// homeless takes a daemon for a stray whose directory was removed, and its
// socket with it: nobody can reach it any more.
func (s *sweep) homeless(proc, dir string) {
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil {
		return // it ended
	}
	_, nonce, _ := strings.Cut("\x00"+string(environ), "\x00"+nonceVariable+"=")
	nonce, _, _ = strings.Cut(nonce, "\x00")
	if !noncePattern.MatchString(nonce) {
		return
	}
	s.stray(stray{
		entry: entry{Kind: kindProcess, ID: dir}, mark: origin{Nonce: nonce}, lost: "its directory is gone, and its socket with it",
		remove: func(ctx context.Context) error { return s.m.stopDaemon(ctx, dir, nonce) },
	})
}
