package binfmt

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// contain has root run a program of dir with dir as its whole file system, after
// endWithChildren.
func contain(cmd *exec.Cmd, dir string) {
	if os.Geteuid() != 0 {
		return
	}
	cmd.Path = "/" + filepath.Base(cmd.Path)
	cmd.Args[0] = cmd.Path
	cmd.Dir = "/"
	cmd.SysProcAttr.Chroot = dir
}

// endWithChildren has a canceled check's child end too: it may be what hangs, and
// the check waits for it.
func endWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
