package setup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	engine "github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/security"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// The labels of what hullwright made in an engine.
const (
	labelBuilder = "io.hullwright.builder"
	labelNonce   = "io.hullwright.nonce"
)

// containerNode is a buildkitd in a container. Names and settings are buildx's
// (driver/docker-container/driver.go), so that either takes over from the other.
type containerNode struct {
	m       *Manager
	builder string
	node    groupNode
	nonce   string                  // of the builder's maker; empty where buildx made it
	keep    bool                    // leave the state volume at teardown
	mark    origin                  // of the builder's maker
	seen    atomic.Pointer[running] // as it was found, for the first connection
}

// running is the first process of a container that runs, by its engine's word.
type running struct {
	id  string // of the container
	pid int    // 0 where it does not run
}

// daemonSocket is where buildkitd listens in its images, and where buildctl looks
// for it there.
const daemonSocket = "run/buildkit/buildkitd.sock"

func (c *containerNode) name() string   { return containerOf(c.node.Name) }
func (c *containerNode) volume() string { return c.name() + "_state" }

func (c *containerNode) labels() map[string]string {
	if c.nonce == "" {
		return nil
	}
	return c.mark.of(c.nonce, c.builder).labels()
}

// up makes the container run: the one that is there, or a new one.
func (c *containerNode) up(ctx context.Context, state *State) error {
	api, err := c.m.engine(c.node.Endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	found, err := api.ContainerInspect(ctx, c.name(), engine.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return c.create(ctx, api, state)
	case err != nil:
		return errdefs.New(errdefs.Environment, "inspect container %s: %w", c.name(), err)
	case found.Container.State != nil && found.Container.State.Running:
		c.seen.Store(&running{found.Container.ID, found.Container.State.Pid})
		return nil
	case found.Container.State != nil && found.Container.State.Status == container.StateCreated:
		return c.adopt(ctx, api)
	}
	c.m.stepf("starting container %s, which is there and stopped", c.name())
	return c.start(ctx, api)
}

// adoptLimit is how long somebody else may take to start a container that is made;
// it takes a tenth of that on a busy machine.
const adoptLimit = 3 * time.Second

// adopt waits for whoever is making the container just now: it has no configuration
// before that is copied. One that nobody starts, since its maker was killed, gets it
// from us.
func (c *containerNode) adopt(ctx context.Context, api *engine.Client) error {
	for end := time.Now().Add(adoptLimit); time.Now().Before(end); {
		found, err := api.ContainerInspect(ctx, c.name(), engine.ContainerInspectOptions{})
		switch {
		case cerrdefs.IsNotFound(err): // the engine reserves a name before it shows the container
		case err != nil:
			return errdefs.New(errdefs.Environment, "inspect container %s: %w", c.name(), err)
		case found.Container.State != nil && found.Container.State.Status != container.StateCreated:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	c.m.stepf("starting container %s, which somebody made and did not start", c.name())
	opts, err := parseContainerOpts(c.node.DriverOpts)
	if err != nil {
		return err
	}
	files, err := c.files(opts)
	if err != nil {
		return err
	}
	return c.furnish(ctx, api, files)
}

// furnish copies the configuration into a container that is made, and starts it.
func (c *containerNode) furnish(ctx context.Context, api *engine.Client, files []byte) error {
	_, err := api.CopyToContainer(ctx, c.name(), engine.CopyToContainerOptions{
		DestinationPath: path.Dir(configDir),
		Content:         bytes.NewReader(files),
	})
	if err != nil {
		return errdefs.New(errdefs.Environment, "copy configuration to container %s: %w", c.name(), err)
	}
	return c.start(ctx, api)
}

func (c *containerNode) start(ctx context.Context, api *engine.Client) error {
	if _, err := api.ContainerStart(ctx, c.name(), engine.ContainerStartOptions{}); err != nil {
		return errdefs.New(errdefs.Environment, "start container %s: %w", c.name(), err)
	}
	return nil
}

func (c *containerNode) create(ctx context.Context, api *engine.Client, state *State) error {
	opts, err := parseContainerOpts(c.node.DriverOpts)
	if err != nil {
		return err
	}
	if err := c.pull(ctx, api, opts.image); err != nil {
		return err
	}
	if err := c.placeHost(ctx, api, &opts.host); err != nil {
		return err
	}
	if opts.host.DeviceRequests, err = c.gpus(ctx, api, opts.image, state); err != nil {
		return err
	}
	if err := c.createVolume(ctx, api, state); err != nil {
		return err
	}
	if err := c.record(state, kindContainer, c.name()); err != nil {
		return err
	}
	files, err := c.files(opts)
	if err != nil {
		return err
	}
	c.m.stepf("creating container %s", c.name())
	whole, cancel := unbroken(ctx)
	defer cancel()
	_, err = api.ContainerCreate(whole, engine.ContainerCreateOptions{
		Name:       c.name(),
		Config:     &container.Config{Image: opts.image, Env: opts.env, Cmd: c.command(), Labels: c.labels()},
		HostConfig: &opts.host,
	})
	if cerrdefs.IsConflict(err) {
		return c.adopt(ctx, api) // another process was quicker
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "create container %s: %w", c.name(), err)
	}
	return c.furnish(ctx, api, files)
}

// createLimit is how long the engine may take to make a container or a volume;
// it takes milliseconds.
const createLimit = 10 * time.Second

// unbroken is a context for a request that makes something. An engine goes on
// with one that its client gave up, so that what is not there when a canceled
// run looks may be there a moment later, with nobody left to remove it.
func unbroken(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), createLimit)
}

func (c *containerNode) record(state *State, k kind, id string) error {
	if state == nil || c.nonce == "" {
		return nil
	}
	return state.record(entry{Kind: k, ID: id, Where: c.node.Endpoint, Builder: c.builder})
}

// createVolume makes the state volume with our labels before the engine would
// make it without. One that is there is used as it is, and stays its maker's.
func (c *containerNode) createVolume(ctx context.Context, api *engine.Client, state *State) error {
	labels := c.labels()
	if c.keep {
		delete(labels, labelNonce)
	} else if err := c.record(state, kindVolume, c.volume()); err != nil {
		return err
	}
	whole, cancel := unbroken(ctx)
	defer cancel()
	_, err := api.VolumeCreate(whole, engine.VolumeCreateOptions{Name: c.volume(), Labels: labels})
	if err != nil {
		return errdefs.New(errdefs.Environment, "create volume %s: %w", c.volume(), err)
	}
	return nil
}

// command is the image's arguments. --config comes first, so that a user's
// flag beats it; it is given since images differ in where they look.
func (c *containerNode) command() []string {
	if _, ok := c.node.Files[configFile]; !ok {
		return c.node.Flags
	}
	return append([]string{"--config", path.Join(configDir, configFile)}, c.node.Flags...)
}

// placeHost completes the host configuration with what depends on the engine.
func (c *containerNode) placeHost(ctx context.Context, api *engine.Client, host *container.HostConfig) error {
	info, err := api.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return errdefs.New(errdefs.Environment, "engine %s: %w", c.node.Endpoint, err)
	}
	reap := true // BuildKit's container API leaves exited processes behind
	host.Init = &reap
	host.Privileged = true
	host.Mounts = append(
		[]mount.Mount{{Type: mount.TypeVolume, Source: c.volume(), Target: "/var/lib/buildkit"}},
		wslMounts(c.m.host.Environ, api.DaemonHost(), wslLibraries)...)
	switch {
	case info.Info.CgroupDriver != "cgroupfs":
		// A parent is a slice under systemd, and a path here: buildx takes the
		// option for cgroupfs only.
		host.CgroupParent = ""
	case host.CgroupParent == "":
		// One cgroup for all builders, so that limits can be set on it.
		host.CgroupParent = "/docker/buildx"
	}
	for _, o := range security.DecodeOptions(info.Info.SecurityOptions) {
		if o.Name == "userns" {
			host.UsernsMode = "host" // privileged is refused in a user namespace
		}
	}
	return nil
}

// files is the tar of what goes below /etc.
func (c *containerNode) files(opts containerOpts) ([]byte, error) {
	files := maps.Clone(c.node.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	if opts.provenance {
		facts, err := githubContext(c.m.host.Environ)
		if err != nil {
			return nil, err
		}
		if facts != nil {
			files[provenanceFile] = facts
		}
	}
	return configTar(files)
}

func configTar(files map[string][]byte) ([]byte, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	made := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		full := path.Join(path.Base(configDir), name)
		if err := addDirs(tw, path.Dir(full), made); err != nil {
			return nil, err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: full, Mode: 0o644, Size: int64(len(files[name]))}
		if err := tw.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := tw.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func addDirs(tw *tar.Writer, dir string, made map[string]bool) error {
	if dir == "." || made[dir] {
		return nil
	}
	if err := addDirs(tw, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}

// pull gets the image. Where that fails an image that is there serves: the
// registry may be out of reach by design. One that is named by its digest is
// not asked for again.
func (c *containerNode) pull(ctx context.Context, api *engine.Client, image string) error {
	if pinned(image) {
		if _, err := api.ImageInspect(ctx, image); err == nil {
			return nil
		}
	}
	c.m.stepf("pulling image %s", image)
	pullErr := c.m.pull(ctx, api, image)
	if pullErr == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, err := api.ImageInspect(ctx, image); err != nil {
		return errPull(image, pullErr)
	}
	c.m.stepf("using image %s as it is here, since the pull failed: %s", image, firstLine(pullErr.Error()))
	return nil
}

// dial connects to buildkitd: at its socket where we may, else through a command in
// the container.
func (c *containerNode) dial(ctx context.Context) (net.Conn, error) {
	api, err := c.m.engine(c.node.Endpoint)
	if err != nil {
		return nil, err
	}
	if conn, err := c.dialSocket(ctx, api); err == nil {
		return conn, api.Close()
	}
	conn, err := execConn(ctx, api, c.name(), "buildctl", "dial-stdio")
	if err != nil {
		api.Close()
		return nil, err
	}
	return conn, nil
}

// dialSocket connects to the socket in the container, of which nobody but root
// need be asked.
func (c *containerNode) dialSocket(ctx context.Context, api *engine.Client) (net.Conn, error) {
	if os.Geteuid() != 0 {
		return nil, errors.ErrUnsupported
	}
	if r := c.seen.Swap(nil); r != nil {
		return r.dial(ctx)
	}
	found, err := api.ContainerInspect(ctx, c.name(), engine.ContainerInspectOptions{})
	if err != nil || found.Container.State == nil {
		return nil, fmt.Errorf("inspect container %s: %w", c.name(), err)
	}
	return running{found.Container.ID, found.Container.State.Pid}.dial(ctx)
}

// gone says why the container will never answer; nil where it may yet.
func (c *containerNode) gone(ctx context.Context) error {
	api, err := c.m.engine(c.node.Endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	found, err := api.ContainerInspect(ctx, c.name(), engine.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		// The engine reserves a name before it shows the container: another
		// process is making it just now.
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect container %s: %w", c.name(), err)
	}
	// Restarting is what its restart policy makes of a buildkitd that ends at
	// once; the third time will not be lucky either.
	s := found.Container.State
	if s.Status == container.StateExited || s.Status == container.StateDead || found.Container.RestartCount >= 3 {
		return fmt.Errorf("container %s ended with exit code %d", c.name(), s.ExitCode)
	}
	return nil
}

// tail is the end of the container's log.
func (c *containerNode) tail(ctx context.Context) string {
	api, err := c.m.engine(c.node.Endpoint)
	if err != nil {
		return ""
	}
	defer api.Close()
	// More than is shown, since the streams share the count, and buildkitd's
	// words are on the second.
	out, log, err := containerLog(ctx, api, c.name(), "200")
	if strings.TrimSpace(log) == "" {
		log = out
	}
	if err != nil {
		return fmt.Sprintf("%s\n(its log: %v)", lastLines(log), err)
	}
	return lastLines(log)
}

// containerLog is what a container wrote on its two streams, the last lines of
// it where tail is a number.
func containerLog(ctx context.Context, api *engine.Client, name, tail string) (out, complaints string, err error) {
	stream, err := api.ContainerLogs(ctx, name, engine.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: tail})
	if err != nil {
		return "", "", err
	}
	defer stream.Close()
	var stdout, stderr bytes.Buffer
	_, err = stdcopy.StdCopy(&stdout, &stderr, io.LimitReader(stream, 1<<20))
	return stdout.String(), stderr.String(), err
}

// removeContainer removes a container that has the nonce.
func (m *Manager) removeContainer(ctx context.Context, endpoint, name, nonce string) error {
	api, err := m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	found, err := api.ContainerInspect(ctx, name, engine.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return errGone
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "inspect container %s: %w", name, err)
	}
	if found.Container.Config.Labels[labelNonce] != nonce {
		return errdefs.New(errdefs.Denied, "container %s is not the one that was made", name)
	}
	_, err = api.ContainerRemove(ctx, found.Container.ID, engine.ContainerRemoveOptions{RemoveVolumes: true, Force: true})
	if cerrdefs.IsConflict(err) && awaitRemoval(ctx, api, found.Container.ID) {
		return nil
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return errdefs.New(errdefs.Environment, "remove container %s: %w", name, err)
	}
	return nil
}

// removalLimit is how long an engine may take to remove a container.
const removalLimit = 30 * time.Second

// awaitRemoval waits for an engine that removes a container already: a teardown
// that was killed had asked it to. It is false where the container stays.
func awaitRemoval(ctx context.Context, api *engine.Client, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, removalLimit)
	defer cancel()
	for {
		if _, err := api.ContainerInspect(ctx, id, engine.ContainerInspectOptions{}); cerrdefs.IsNotFound(err) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// removeVolume removes a volume that has the nonce.
func (m *Manager) removeVolume(ctx context.Context, endpoint, name, nonce string) error {
	api, err := m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	found, err := api.VolumeInspect(ctx, name, engine.VolumeInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return errGone
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "inspect volume %s: %w", name, err)
	}
	if found.Volume.Labels[labelNonce] != nonce {
		return errNotOurs // a builder of that name kept it for the next one
	}
	if _, err := api.VolumeRemove(ctx, name, engine.VolumeRemoveOptions{}); err != nil {
		return errdefs.New(errdefs.Environment, "remove volume %s: %w", name, err)
	}
	return nil
}
