package binfmt

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// contain has root run a program of dir with dir as its whole file system.
func contain(cmd *exec.Cmd, dir string) {
	if os.Geteuid() != 0 {
		return
	}
	cmd.Path = "/" + filepath.Base(cmd.Path)
	cmd.Args[0] = cmd.Path
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
}
