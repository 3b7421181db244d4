package setup

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// dial connects to the socket of the buildkitd in a container that runs on this
// machine. Only who may look into other users' processes can, which is root. The
// error says why not; it is nobody's fault, and a command in the container does it
// as well, 50 ms later.
func (r running) dial(ctx context.Context) (net.Conn, error) {
	if r.pid == 0 {
		return nil, fmt.Errorf("container %s does not run", r.id)
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", r.pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	// The engine may be another machine's, or the process gone and its number
	// another's: of this container are only those that its control groups name.
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", r.pid))
	if err != nil {
		return nil, err
	}
	if r.id == "" || !bytes.Contains(groups, []byte(r.id)) {
		return nil, fmt.Errorf("process %d is not of container %s", r.pid, r.id)
	}
	// A link in the image leads nowhere outside of it.
	socket, err := unix.Openat2(root, daemonSocket, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("%s in container %s: %w", daemonSocket, r.id, err)
	}
	defer unix.Close(socket)
	return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", socket))
}
