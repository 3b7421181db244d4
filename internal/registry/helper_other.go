//go:build !unix

package registry

import "os/exec"

// endWithChildren does nothing here: os/exec ends the program alone, and its
// WaitDelay lets go of its output.
func endWithChildren(*exec.Cmd) {}
