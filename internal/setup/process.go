package setup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// nonceVariable marks a buildkitd that hullwright started, and nonceFile its
// directory: teardown signals and removes nothing that has not the mark.
const (
	nonceVariable = "HULLWRIGHT_BUILDER_NONCE"
	nonceFile     = ".hullwright-nonce"
	processLog    = "buildkitd.log"
)

// socketLimit is the longest path of a socket that buildkitd listens on: fewer
// characters than the 107 that Linux takes.
// https://github.com/containerd/containerd/blob/v2.4.2/pkg/sys/socket_unix.go#L33
const socketLimit = 104

// processNode is a buildkitd that runs beside us. buildx knows it as a remote
// builder.
type processNode struct {
	socketNode
	m         *Manager
	dir       string // private: socket, root, configuration, log
	buildkitd string // path; empty is found in PATH
	flags     []string
	env       []string // further variables, NAME=value
	config    []byte
	mark      origin
}

func socketIn(dir string) string { return filepath.Join(dir, "buildkitd.sock") }

func (p *processNode) log() string  { return filepath.Join(p.dir, processLog) }
func (p *processNode) root() string { return filepath.Join(p.dir, "root") }

// processDir is where a process builder of a name will live. It is not in a
// home directory, which may be on a network; the path must leave room for the
// socket's name.
func (m *Manager) processDir(name, nonce string) (string, error) {
	own := "hullwright-" + strings.TrimPrefix(name, "hullwright-") + "-" + nonce[:8]
	for _, variable := range []string{"RUNNER_TEMP", "TMPDIR"} {
		base := m.host.Environ[variable]
		if base == "" {
			continue
		}
		dir := filepath.Join(base, own)
		if filepath.IsAbs(base) && len(dir)+len("/buildkitd.sock") <= socketLimit {
			return dir, nil
		}
	}
	dir := filepath.Join("/tmp", own)
	if len(dir)+len("/buildkitd.sock") > socketLimit {
		return "", errdefs.BadInputf("name", 0, "builder name %q is too long for a socket's path", name)
	}
	return dir, nil
}

// parseProcessOpts gives the further variables of a process builder's
// environment. The driver has no other options; its network is the host's.
func parseProcessOpts(opts map[string]string) (env []string, err error) {
	var faults []error
	for key, value := range opts {
		name, ok := strings.CutPrefix(key, "env.")
		switch {
		case ok && name != "":
			env = append(env, name+"="+value)
		case key == "network" && value == "host":
		default:
			faults = append(faults, errdefs.BadInputf("driver-opts", 0, "option %q does not apply to driver %s", key, Process).
				WithHint("driver %s takes env.NAME and network=host only", Process))
		}
	}
	slices.Sort(env)
	return env, errors.Join(faults...)
}

// ownFlags are those that the driver sets itself.
var ownFlags = []string{"--addr", "--root", "--config", "--rootless"}

func checkProcessFlags(flags []string) error {
	for _, f := range flags {
		name, _, _ := strings.Cut(f, "=")
		if slices.Contains(ownFlags, name) {
			return errdefs.BadInputf("buildkitd-flags", 0, "%s is set by driver %s itself", name, Process)
		}
	}
	return nil
}

// command is the program and its arguments, or an error that names what is
// missing on this machine.
func (p *processNode) command() ([]string, error) {
	daemon, err := p.daemon()
	if err != nil {
		return nil, err
	}
	args := []string{
		daemon,
		"--config", filepath.Join(p.dir, configFile),
		"--addr", "unix://" + p.path,
		"--root", p.root(),
		"--oci-worker-net", "host",
		"--containerd-worker=false", // else it looks for a containerd whose images are not ours
	}
	if p.m.lookPath("buildkit-runc") == "" && p.m.lookPath("runc") == "" {
		return nil, errdefs.New(errdefs.Environment, "runc: not found in PATH").
			WithHint("install runc (apt-get install runc), or the whole of a BuildKit release, which brings buildkit-runc")
	}
	if os.Geteuid() == 0 {
		return append(args, p.flags...), nil
	}
	wrapper, err := p.rootless()
	if err != nil {
		return nil, err
	}
	args = append(args, "--rootless")
	return append(wrapper, append(args, p.flags...)...), nil
}

func (p *processNode) daemon() (string, error) {
	if p.buildkitd == "" {
		if path := p.m.lookPath("buildkitd"); path != "" {
			return path, nil
		}
		return "", errdefs.New(errdefs.Environment, "buildkitd: not found in PATH").
			WithHint("put the programs of a BuildKit release in PATH, name buildkitd with the input of that name, or start a Docker Engine")
	}
	path := p.buildkitd
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.m.host.Dir, path)
	}
	if !executable(path) {
		return "", errdefs.BadInputf("buildkitd", 0, "%s is no program that can be run", path)
	}
	return path, nil
}

// rootless is the command that makes a user namespace for buildkitd.
func (p *processNode) rootless() ([]string, error) {
	var missing []string
	for _, program := range []string{"rootlesskit", "newuidmap", "newgidmap"} {
		if p.m.lookPath(program) == "" {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return nil, errdefs.New(errdefs.Environment, "%s: not found in PATH; an ordinary user's buildkitd needs them", strings.Join(missing, ", ")).
			WithHint("install rootlesskit and uidmap (apt-get install rootlesskit uidmap), or run as root")
	}
	uid := strconv.Itoa(os.Getuid())
	if !hasSubIDs("/etc/subuid", uid, p.m.host.Environ["USER"]) {
		return nil, errdefs.New(errdefs.Environment, "/etc/subuid has no range for user %s; an ordinary user's buildkitd needs one", uid).
			WithHint("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER")
	}
	return []string{
		p.m.lookPath("rootlesskit"),
		"--state-dir", filepath.Join(p.dir, "rootlesskit"),
		"--net=host", "--copy-up=/etc", "--disable-host-loopback",
	}, nil
}

func hasSubIDs(path, uid, user string) bool {
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		owner, _, _ := strings.Cut(line, ":")
		if owner == uid || user != "" && owner == user {
			return true
		}
	}
	return false
}

// passed are the variables that a buildkitd needs of ours. The rest stays here:
// a job's environment is full of secrets, and RUN steps may see the daemon's.
var passed = []string{
	"HOME", "USER", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"RUNNER_TRACKING_ID", // GitHub's runner ends what is left of a job by it
}

func (p *processNode) environ() []string {
	env := []string{"PATH=" + strings.Join(p.m.path(), string(filepath.ListSeparator))}
	for _, name := range passed {
		if value, ok := p.m.host.Environ[name]; ok {
			env = append(env, name+"="+value)
		}
	}
	env = append(env, "XDG_RUNTIME_DIR="+filepath.Join(p.dir, "run"), nonceVariable+"="+p.nonce)
	return append(env, p.env...)
}

// prepare makes the private directory and what buildkitd reads in it.
func (p *processNode) prepare() error {
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return errdefs.New(errdefs.Environment, "make builder directory: %w", err)
	}
	// The mark comes first: without it teardown removes an empty directory only.
	raw, err := json.Marshal(p.mark)
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(p.dir, nonceFile), []byte(p.nonce), 0o600),
		os.WriteFile(filepath.Join(p.dir, runFile), raw, 0o600),
	)
	if err != nil {
		return err
	}
	conf, err := p.configuration()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(p.dir, configFile), conf, 0o600),
		os.Mkdir(filepath.Join(p.dir, "run"), 0o700),
	)
}

// configuration is the user's, with the paths that two daemons of one machine
// must not share.
func (p *processNode) configuration() ([]byte, error) {
	conf, err := parseConfig(p.config)
	if err != nil {
		return nil, err
	}
	setDefault(table(conf, "otel"), "socketPath", filepath.Join(p.dir, "otel.sock"))
	facts, err := githubContext(p.m.host.Environ)
	if err != nil {
		return nil, err
	}
	if facts != nil {
		file := filepath.Join(p.dir, provenanceFile)
		setDefault(conf, "provenanceEnvDir", filepath.Dir(file))
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, facts, 0o600); err != nil {
			return nil, err
		}
	}
	return toml.Marshal(conf)
}

func table(conf map[string]any, key string) map[string]any {
	if t, ok := conf[key].(map[string]any); ok {
		return t
	}
	t := map[string]any{}
	conf[key] = t
	return t
}

func setDefault(conf map[string]any, key string, value any) {
	if _, ok := conf[key]; !ok {
		conf[key] = value
	}
}

// up starts the daemon where nothing listens yet.
func (p *processNode) up(ctx context.Context, state *State) error {
	argv, err := p.command()
	if err != nil {
		return err
	}
	if err := state.record(entry{Kind: kindDirectory, ID: p.dir, Builder: p.mark.Builder}); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	if err := state.record(entry{Kind: kindProcess, ID: p.dir, Builder: p.mark.Builder}); err != nil {
		return err
	}
	p.m.stepf("starting %s", strings.Join(argv, " "))
	if err := startDaemon(argv, p.environ(), p.dir, p.log()); err != nil {
		return errdefs.New(errdefs.Environment, "start %s: %w", argv[0], err)
	}
	return nil
}

// path is where programs are looked for. Ordinary users' PATH often lacks the
// directories where runc and newuidmap are.
func (m *Manager) path() []string {
	dirs := filepath.SplitList(m.host.Environ["PATH"])
	for _, d := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// lookPath is a program's path; empty where there is none.
func (m *Manager) lookPath(program string) string {
	for _, dir := range m.path() {
		// A relative directory of PATH would run what a checkout holds.
		if path := filepath.Join(dir, program); filepath.IsAbs(dir) && executable(path) {
			return path
		}
	}
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// removeDir removes a process builder's directory that has the nonce.
func (m *Manager) removeDir(ctx context.Context, dir, nonce string) error {
	mark, err := os.ReadFile(filepath.Join(dir, nonceFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return errGone
		}
		return os.Remove(dir) // the mark was not written yet: only an empty one is ours
	}
	if err != nil {
		return err
	}
	if string(mark) != nonce {
		return errdefs.New(errdefs.Denied, "directory %s is not the one that was made", dir)
	}
	if err := m.removeRoot(ctx, dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
