package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// stopLimit is how long a buildkitd may take to end builds and itself. Runners
// give a canceled job some seconds in all.
const stopLimit = 3 * time.Second

// startDaemon starts a program in a session of its own, so that no terminal and
// no runner's process group ends it with the step. It holds none of our streams:
// a runner waits for their last holder.
func startDaemon(argv, environ []string, dir, log string) error {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environ
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	// Start returns when the kernel has closed our files for the new program,
	// which is an instant before it shows the program's environment. Until then
	// nobody could find it to stop it.
	for tries := 0; tries < 500 && !hasMark(pid, environ) && !ended(pid); tries++ {
		time.Sleep(2 * time.Millisecond)
	}
	return cmd.Process.Release()
}

func hasMark(pid int, environ []string) bool {
	i := slices.IndexFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, nonceVariable+"=") })
	_, nonce, _ := strings.Cut(environ[i], "=")
	return hasNonce(pid, nonce)
}

// ended is whether a child of ours has ended; it takes the child's status.
func ended(pid int) bool {
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil && got == pid
}

// daemonProcess is a running process that has a nonce in its environment.
type daemonProcess struct {
	pid     int
	session int
}

// findDaemon lists the processes that were started with a nonce.
func findDaemon(nonce string) ([]daemonProcess, error) {
	return findProcesses(func(pid int) bool { return hasNonce(pid, nonce) })
}

func findProcesses(ours func(pid int) bool) ([]daemonProcess, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []daemonProcess
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() || !ours(pid) {
			continue
		}
		// A process that is gone by now has no session any more.
		if session, err := unix.Getsid(pid); err == nil {
			found = append(found, daemonProcess{pid: pid, session: session})
		}
	}
	return found, nil
}

// stopDaemon ends a process builder: its daemon, what that left running, and
// its mounts. The session's leader alone is asked first, since buildkitd ends
// its builds properly only as long as their runc processes live.
func (m *Manager) stopDaemon(ctx context.Context, dir, nonce string) error {
	found, err := findDaemon(nonce)
	if err != nil {
		return err
	}
	orphans, err := orphansOf(dir, nonce)
	if err != nil {
		return err
	}
	nothing := len(found)+len(orphans) == 0
	signalAll(leaders(found), nonce, unix.SIGTERM)
	if err := awaitEnd(ctx, found, nonce, stopLimit); err != nil {
		m.stepf("buildkitd did not end within %s; killing it", stopLimit)
		if found, err = findDaemon(nonce); err != nil {
			return err
		}
		signalAll(found, nonce, unix.SIGKILL)
		if err := awaitEnd(context.WithoutCancel(ctx), found, nonce, time.Second); err != nil {
			return err
		}
	}
	remains, err := endRemains(placesOf(dir, nonce)...)
	m.tellRemains(remains)
	if err != nil {
		return err
	}
	if nothing && len(remains) == 0 {
		return errGone
	}
	return nil
}

// endRemains ends what a daemon that is gone left in directories that are its
// alone: steps, their mounts, and what runc wrote down of them. It names them.
func endRemains(places ...string) (names []string, err error) {
	var faults []error
	for _, end := range []func([]string) ([]string, error){killSteps, unmountBelow, forgetSteps} {
		list, err := end(places)
		names = append(names, list...)
		faults = append(faults, err)
	}
	return names, errors.Join(faults...)
}

func leaders(found []daemonProcess) []daemonProcess {
	return slices.DeleteFunc(slices.Clone(found), func(p daemonProcess) bool { return p.pid != p.session })
}

// leaderOf is the daemon that was started with a nonce; 0 where it is gone. What
// it left running may have the nonce too, and leads no session.
func leaderOf(nonce string) int {
	found, err := findDaemon(nonce)
	if list := leaders(found); err == nil && len(list) > 0 {
		return list[0].pid
	}
	return 0
}

// signalAll signals processes that still are what they were when they were
// found: FindProcess holds on to the process by a descriptor, so that the check
// and the signal are for the same one even if its number is given away.
func signalAll(found []daemonProcess, nonce string, sig syscall.Signal) {
	for _, p := range found {
		process, err := os.FindProcess(p.pid)
		if err != nil {
			continue
		}
		if hasNonce(p.pid, nonce) {
			process.Signal(sig) // an error is that it ended just now
		}
		process.Release()
	}
}

func hasNonce(pid int, nonce string) bool {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+nonceVariable+"="+nonce+"\x00"))
}

// awaitEnd waits until no process has the nonce any more.
func awaitEnd(ctx context.Context, found []daemonProcess, nonce string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		for _, p := range found {
			ended(p.pid) // a child of ours is there until its status is taken
		}
		left, err := findDaemon(nonce)
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d is still running", left[0].pid)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// orphansOf lists the steps of a buildkitd that was killed. They have another
// environment, but dir, which is theirs alone, has the nonce.
func orphansOf(dir, nonce string) ([]daemonProcess, error) {
	err := checkMark(dir, nonce)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return stepsIn(placesOf(dir, nonce))
}

// stepsIn lists processes whose root file system lies in one of the places.
func stepsIn(places []string) ([]daemonProcess, error) {
	own, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return findProcesses(func(pid int) bool {
		mounts, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "mountinfo"))
		return err == nil && !bytes.Equal(mounts, own) && slices.ContainsFunc(places, func(dir string) bool {
			return rootedIn(string(mounts), dir)
		})
	})
}

// rootedIn is whether a mountinfo's root directory comes from dir, as the
// source of a bind mount or a layer of an overlay.
func rootedIn(mountinfo, dir string) bool {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && fields[4] == "/" && strings.Contains(line, dir+"/") {
			return true
		}
	}
	return false
}

func killSteps(places []string) (names []string, err error) {
	steps, err := stepsIn(places)
	for _, p := range steps {
		// The name alone: arguments are in the build's log, and may be secret.
		program, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "comm")) // it may have ended
		if err := unix.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return names, fmt.Errorf("kill %d: %w", p.pid, err)
		}
		names = append(names, fmt.Sprintf("process %d (%s)", p.pid, bytes.TrimSpace(program)))
	}
	return names, err
}

// unmountBelow undoes the mounts below directories, innermost first.
func unmountBelow(places []string) (names []string, err error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, dir := range places {
		for _, p := range slices.Backward(mountsBelow(string(raw), dir)) {
			if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return names, fmt.Errorf("unmount %s: %w", p, err)
			}
			names = append(names, "mount "+p)
		}
	}
	return names, nil
}

func mountsBelow(mountinfo, dir string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	return points
}

// unescape reads the four bytes that mountinfo writes in octal.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// removeRoot removes the snapshots of an ordinary user's builder: their files
// belong to users of its namespace, and only from there can they be removed. Of
// a root directory that stays it removes the link.
func (m *Manager) removeRoot(ctx context.Context, dir string) error {
	root := filepath.Join(dir, rootName)
	if isLink(root) {
		return nil
	}
	if err := os.RemoveAll(root); err == nil || mayMount() {
		return err
	}
	kit := m.lookPath("rootlesskit")
	if kit == "" {
		return errdefs.New(errdefs.Environment, "remove %s: rootlesskit is not in PATH any more", root)
	}
	cmd := exec.CommandContext(ctx, kit, "rm", "-rf", "--", root)
	cmd.Env = []string{"PATH=" + strings.Join(m.path(), ":"), "HOME=" + m.home(), "TMPDIR=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errdefs.New(errdefs.Environment, "remove %s: %s", root, lastError(out, err))
	}
	return nil
}

// lockHolder is the process that has a file locked by flock(2), as far as it can
// be seen from here; 0 is none. On btrfs none ever is, nor on an overlay of several
// file systems: there the kernel shows another device than stat(2) gives. To try the lock could take it from a daemon that
// starts at that moment.
func lockHolder(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	raw, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return 0
	}
	// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:12345 0 EOF
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[5] == file {
			pid, _ := strconv.Atoi(fields[4]) // the kernel writes a number
			return pid
		}
	}
	return 0
}
