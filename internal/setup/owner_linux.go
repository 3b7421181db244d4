package setup

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// self is the owner that this process is.
func self() *owner {
	o := &owner{PID: os.Getpid()}
	o.Start, _ = startOf(o.PID) // a system without /proc knows no lives
	o.Host, _ = os.Hostname()
	o.Namespace, _ = os.Readlink("/proc/self/ns/pid")
	if raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		o.Boot = strings.TrimSpace(string(raw))
	}
	return o
}

// life says whether the process still runs. A process of another machine, or
// in another container, can't be seen from here.
func (o *owner) life() life {
	here := self()
	if o.Host != here.Host || o.Boot == "" || o.Start == "" || here.Boot == "" {
		return lifeUnknown
	}
	if o.Boot != here.Boot {
		return lifeOver
	}
	if o.Namespace != here.Namespace {
		return lifeUnknown
	}
	start, err := startOf(o.PID)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH), err == nil && start != o.Start:
		return lifeOver
	case err != nil:
		return lifeUnknown
	}
	return lifeOn
}

// startOf is when a process started. A process that ended and that its parent
// has not asked after is none.
func startOf(pid int) (string, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The program's name, in parentheses, may have blanks and parentheses; the
	// state comes after it, as field 3, and the start is field 22.
	// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
	rest := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(rest) < 20 || rest[0] == "Z" || rest[0] == "X" {
		return "", fs.ErrNotExist
	}
	return rest[19], nil
}

// mine is whether a file is ours: this user's, and no link to another's.
func mine(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink != 0 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
