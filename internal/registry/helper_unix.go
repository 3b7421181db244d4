//go:build unix

package registry

import (
	"os/exec"
	"syscall"
)

// endWithChildren has a canceled program's children end too: a helper is often a
// script, and what it runs would hold its output open.
func endWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
