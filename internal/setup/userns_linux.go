package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// tryLimit is how long a trial may take; it takes milliseconds.
const tryLimit = 10 * time.Second

// namespaced is whether we are in a user namespace already, where root is not
// the machine's.
func namespaced() bool {
	raw, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(raw)), " ") != "0 0 4294967295"
}

// mayMount is whether we are a root that makes mounts. The root of an
// unprivileged container makes them as an ordinary user does: in a namespace.
func mayMount() bool {
	raw, err := os.ReadFile("/proc/self/status")
	return err == nil && hasCapability(statusField(raw, "CapEff:"), unix.CAP_SYS_ADMIN)
}

// hasCapability reads a set of capabilities as /proc shows it, in hexadecimal.
func hasCapability(set string, capability int) bool {
	bits, err := strconv.ParseUint(set, 16, 64)
	return err == nil && bits&(1<<capability) != 0
}

// try does what the daemon will do first, with a program that ends at once in
// its place, and explains what the kernel refuses.
func (p *processNode) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	if mayMount() {
		return p.tryMounts(ctx)
	}
	return p.tryNamespace(ctx)
}

// tryMounts has root make a mount namespace and change a mount in it.
func (p *processNode) tryMounts(ctx context.Context) error {
	daemon, err := p.daemon()
	if err != nil {
		return err
	}
	cmd := p.trial(ctx, daemon, "--version")
	// Go makes all mounts of an unshared namespace private, by mount(2).
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if _, statErr := exec.CommandContext(ctx, daemon, "--version").Output(); statErr == nil {
			return errMounts(errnoOf(err))
		}
	}
	return errdefs.New(errdefs.Environment, "%s can't be run: %s", daemon, lastError(out, err)).
		WithHint("name another with buildkitd, or a release with buildkitd-url; this machine is %s", machineName())
}

func errMounts(err error) error {
	return errdefs.New(errdefs.Environment, "root may make no mounts here (unshare, mount: %w)", err).
		WithHint("run in a privileged container (docker run --privileged), or as an ordinary user with rootlesskit, or use another driver")
}

// tryNamespace has rootlesskit make a namespace, with a process namespace in
// it whose /proc is mounted, as every step has.
func (p *processNode) tryNamespace(ctx context.Context) error {
	c := observe()
	if err := errors.Join(p.checkMappers(c)...); err != nil {
		return err
	}
	rootlesskit := p.lookPath("rootlesskit")
	bare := p.trial(ctx, rootlesskit, "--version")
	bare.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	if err := bare.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.explain(fmt.Errorf("clone: %w", errnoOf(err)))
	}
	dir, err := TempDir(p.m.tmp(), "try")
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	defer os.RemoveAll(dir)
	args := append([]string{"--state-dir", filepath.Join(dir, "state"), "--pidns"}, kit...)
	whole := p.trial(ctx, rootlesskit, append(args, rootlesskit, "--version")...)
	out, err := whole.CombinedOutput()
	if ctx.Err() != nil {
		return errdefs.New(errdefs.Environment, "rootlesskit: no end within %s: %w", tryLimit, ctx.Err())
	}
	if masked := procRefused(out); masked != "" && !p.sharesProc() {
		return errMaskedProc(masked)
	}
	if err != nil {
		return c.explainKit(out, err)
	}
	return nil
}

// trial is a command in the daemon's environment, with its descendants in a
// process group of their own that ends with ctx.
func (p *processNode) trial(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=" + strings.Join(p.programs(), string(filepath.ListSeparator)), "HOME=" + p.m.home()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// sharesProc is whether steps are to have the daemon's own /proc.
func (p *processNode) sharesProc() bool {
	for _, f := range p.flags {
		if f == "--oci-worker-no-process-sandbox" || f == "--oci-worker-no-process-sandbox=true" {
			return true
		}
	}
	return false
}

// procRefused is what rootlesskit says of a /proc that it could not mount, with
// which it goes on.
// https://github.com/rootless-containers/rootlesskit/blob/v1.1.0/pkg/child/child.go#L103
func procRefused(out []byte) string {
	const warning = "failed to mount procfs"
	for line := range strings.Lines(string(out)) {
		if _, after, ok := strings.Cut(line, warning); ok {
			_, reason, _ := strings.Cut(strings.TrimRight(strings.TrimSpace(after), `"`), ": ")
			return "mount proc: " + reason
		}
	}
	return ""
}

// checkMappers tells where newuidmap and newgidmap have not the rights without
// which they can do nothing.
func (p *processNode) checkMappers(c circumstances) []error {
	if os.Geteuid() == 0 {
		return nil // they need no further rights
	}
	var faults []error
	for _, program := range []string{"newuidmap", "newgidmap"} {
		path := p.lookPath(program)
		if path == "" || privileged(path) {
			continue
		}
		faults = append(faults, errdefs.New(errdefs.Environment, "%s has neither the setuid bit nor a capability, or its file system ignores them", path).
			WithHint("install it again (apt-get install --reinstall uidmap), or as root: chmod u+s %s", path))
	}
	if c.chained && len(faults) == 0 {
		faults = append(faults, c.explainMap(errors.New("NoNewPrivs is 1 in /proc/self/status")))
	}
	return faults
}

// privileged is whether a program gains rights when it is run.
func privileged(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID != 0 {
		return false
	}
	size, err := unix.Getxattr(path, "security.capability", nil)
	stat, ok := info.Sys().(*syscall.Stat_t)
	return err == nil && size > 0 || ok && stat.Uid == 0 && info.Mode()&os.ModeSetuid != 0
}

// observe looks at what decides about namespaces here.
func observe() circumstances {
	c := circumstances{sysctl: map[string]string{}}
	for _, name := range []string{maxNamespaces, cloneAllowed, apparmorChains} {
		raw, err := os.ReadFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")))
		if err == nil { // a kernel has only those that it knows
			c.sysctl[name] = strings.TrimSpace(string(raw))
		}
	}
	if raw, err := os.ReadFile("/proc/self/status"); err == nil {
		c.filtered = statusField(raw, "Seccomp:") == "2" // SECCOMP_MODE_FILTER
		c.chained = statusField(raw, "NoNewPrivs:") == "1"
		bounds := statusField(raw, "CapBnd:")
		c.bounded = !hasCapability(bounds, unix.CAP_SYS_ADMIN)
		c.idless = !hasCapability(bounds, unix.CAP_SETUID) || !hasCapability(bounds, unix.CAP_SETGID)
	}
	if raw, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		c.container = inContainerByMounts(string(raw))
	}
	return c
}

func statusField(status []byte, name string) string {
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// inContainerByMounts is whether a root directory is an overlay, or something
// lies over files of /proc: engines do both, a machine neither.
func inContainerByMounts(mountinfo string) bool {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		_, kind, _ := strings.Cut(line, " - ")
		if fields[4] == "/" && strings.HasPrefix(kind, "overlay ") {
			return true
		}
		if fields[4] == "/proc/kcore" || fields[4] == "/proc/keys" {
			return true
		}
	}
	return false
}

// errnoOf is what the kernel said, without the program that was to be run.
func errnoOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func machineName() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "another"
	}
	return unix.ByteSliceToString(name.Machine[:])
}
