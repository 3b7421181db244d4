package setup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	kept      string // root directory that outlives the builder; empty is in dir
	buildkitd string // path; empty is found in PATH
	bin       string // programs of a release, which come before those in PATH; empty is none
	flags     []string
	env       []string // further variables, NAME=value
	config    []byte
	mark      origin
}

// completeProcess describes a process builder as buildx's remote driver knows
// it, which refuses flags, files and options; the rest is ours to remember
// until the daemon is started.
func (m *Manager) completeProcess(ctx context.Context, g *group, node *groupNode, spec Spec, endpoint string) error {
	m.skipTLS(NodeSpec{TLS: spec.TLS}, Process)
	spec, err := m.configure(ctx, spec, Process, endpoint)
	if err != nil {
		return err
	}
	if spec.Flags, err = daemonFlags(spec.Flags, Process, spec.DriverOpts, spec.Config); err != nil {
		return err
	}
	env, err := parseProcessOpts(spec.DriverOpts)
	if err != nil {
		return err
	}
	if err := checkProcessFlags(spec.Flags); err != nil {
		return err
	}
	dir, err := m.processDir(g.Name, g.Made.Nonce)
	if err != nil {
		return err
	}
	kept, err := m.keptRoot(spec)
	if err != nil {
		return err
	}
	p := &processNode{
		socketNode: socketNode{path: socketIn(dir), nonce: g.Made.Nonce},
		m:          m, dir: dir, kept: kept,
		buildkitd: spec.Buildkitd, bin: spec.bin, flags: spec.Flags, env: env, config: spec.Config,
		mark: g.mark(m.storeDir()),
	}
	if err := errors.Join(p.faults(ctx)...); err != nil {
		return err
	}
	node.Endpoint = "unix://" + p.path
	g.start = p
	return nil
}

func socketIn(dir string) string { return filepath.Join(dir, "buildkitd.sock") }

func (p *processNode) log() string { return filepath.Join(p.dir, processLog) }

func (p *processNode) root() string {
	if p.kept != "" {
		return p.kept
	}
	return filepath.Join(p.dir, rootName)
}

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

// ownFlags are those that the driver sets itself, and what is instead of them.
var ownFlags = map[string]string{
	"--addr": "", "--root": "root-dir names another directory",
	"--config": "buildkitd-config names a configuration", "--rootless": "",
}

func checkProcessFlags(flags []string) error {
	for _, f := range flags {
		name, _, _ := strings.Cut(f, "=")
		if instead, own := ownFlags[name]; own {
			return errdefs.BadInputf("buildkitd-flags", 0, "%s is set by driver %s itself", name, Process).WithHint("%s", instead)
		}
	}
	return nil
}

// command is the program and its arguments, or errors that name all that is
// missing on this machine.
func (p *processNode) command() ([]string, error) {
	daemon, err := p.daemon()
	faults := []error{err}
	if p.lookPath("buildkit-runc") == "" && p.lookPath("runc") == "" {
		faults = append(faults, errdefs.New(errdefs.Environment, "runc: not found in PATH").
			WithHint("install runc (apt-get install runc), or the whole of a BuildKit release, which brings buildkit-runc"))
	}
	args := []string{
		daemon,
		"--config", filepath.Join(p.dir, configFile),
		"--addr", "unix://" + p.path,
		"--root", p.root(),
		"--oci-worker-net", "host",
		"--containerd-worker=false", // else it looks for a containerd whose images are not ours
	}
	if !mayMount() {
		wrapper, err := p.rootless()
		faults = append(faults, err)
		args = append(wrapper, args...)
	}
	if !mayMount() || namespaced() {
		args = append(args, "--rootless")
	}
	return append(args, p.flags...), errors.Join(faults...)
}

func (p *processNode) daemon() (string, error) {
	if p.buildkitd == "" {
		if path := p.lookPath("buildkitd"); path != "" {
			return path, nil
		}
		return "", errdefs.New(errdefs.Environment, "buildkitd: not found in PATH").
			WithHint("put the programs of a BuildKit release in PATH, name one with buildkitd-url and buildkitd-sha256, or start a Docker Engine")
	}
	if !executable(p.buildkitd) {
		return "", errdefs.BadInputf("buildkitd", 0, "%s is no program that can be run", p.buildkitd)
	}
	return p.buildkitd, nil
}

// programs is where the daemon's programs are looked for. Those that a release
// brings are the ones that it was made with; those beside a buildkitd that was
// named come last, since nobody named them.
func (p *processNode) programs() []string {
	dirs := p.m.path()
	if p.bin != "" {
		dirs = append([]string{p.bin}, dirs...)
	}
	if p.buildkitd != "" && !slices.Contains(dirs, filepath.Dir(p.buildkitd)) {
		dirs = append(dirs, filepath.Dir(p.buildkitd))
	}
	return dirs
}

func (p *processNode) lookPath(program string) string { return lookIn(p.programs(), program) }

// passed are the variables that a buildkitd needs of ours. The rest stays here:
// a job's environment is full of secrets, and RUN steps may see the daemon's.
var passed = []string{
	"HOME", "USER", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"RUNNER_TRACKING_ID", // GitHub's runner ends what is left of a job by it
}

func (p *processNode) environ() []string {
	env := []string{"PATH=" + strings.Join(p.programs(), string(filepath.ListSeparator))}
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
	if err := p.takeRoot(); err != nil {
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
	unlock, err := p.lockRoot(ctx)
	if err != nil {
		return err
	}
	defer unlock()
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
func (m *Manager) lookPath(program string) string { return lookIn(m.path(), program) }

func lookIn(dirs []string, program string) string {
	for _, dir := range dirs {
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
	err := checkMark(dir, nonce)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return errGone
		}
		return os.Remove(dir) // the mark was not written yet: only an empty one is ours
	}
	if err != nil {
		return err
	}
	if err := m.removeRoot(ctx, dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
