//go:build unix

package policy

import (
	"net"
	"os"
	"os/exec"
	"syscall"
)

// connectionPair is a connection, and its other end for a program that is
// started.
func connectionPair() (net.Conn, *os.File, error) {
	// Not every unix makes sockets that no other program inherits in one call.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "policy"), os.NewFile(uintptr(fds[1]), "policy")
	defer ours.Close()
	conn, err := net.FileConn(ours) // of a copy
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// apart has no signal of a terminal end the program before this one: it is
// needed until the build has ended.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
