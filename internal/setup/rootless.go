package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// ProcessFaults says all that keeps this user from having a builder of driver
// process here, as far as it can be known before a daemon is started: programs
// that are missing, and what the kernel refuses when it is tried for real. As an
// ordinary user that is a user namespace, as root mounts. Each is an
// errdefs.Environment with the next move for a hint; none is that it will work.
// It leaves nothing behind, and takes a fraction of a second.
func (m *Manager) ProcessFaults(ctx context.Context) []error {
	return (&processNode{m: m}).faults(ctx)
}

// faults tries what the daemon will need only where its programs are there.
func (p *processNode) faults(ctx context.Context) []error {
	if _, err := p.command(); err != nil {
		return errdefs.List(err)
	}
	return errdefs.List(p.try(ctx))
}

// kit are rootlesskit's options: a namespace whose network is the machine's.
// https://github.com/moby/buildkit/blob/v0.33.1/docs/rootless.md
var kit = []string{"--net=host", "--copy-up=/etc", "--disable-host-loopback"}

// rootless is the command that makes a user namespace for buildkitd.
func (p *processNode) rootless() ([]string, error) {
	var missing []string
	for _, program := range []string{"rootlesskit", "newuidmap", "newgidmap"} {
		if p.lookPath(program) == "" {
			missing = append(missing, program)
		}
	}
	var faults []error
	if len(missing) > 0 {
		faults = append(faults, errdefs.New(errdefs.Environment, "%s: not found in PATH; a buildkitd in a user namespace needs them", strings.Join(missing, ", ")).
			WithHint("install rootlesskit and uidmap (apt-get install rootlesskit uidmap), or %s", orElse()))
	}
	faults = append(faults, checkSubIDs("/etc", owners(p.m.host.Environ)))
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return append([]string{p.lookPath("rootlesskit"), "--state-dir", filepath.Join(p.dir, "rootlesskit")}, kit...), nil
}

// orElse is the way around user namespaces.
func orElse() string {
	if os.Geteuid() == 0 {
		return "run the container privileged"
	}
	return "run as root"
}

// owners are the words that stand for this user in /etc/subuid: number and name.
func owners(environ map[string]string) []string {
	list := []string{user()}
	if u, err := osuser.LookupId(user()); err == nil {
		return append(list, u.Username)
	}
	if name := environ["USER"]; name != "" {
		list = append(list, name) // of a user that /etc/passwd does not know
	}
	return list
}

// checkSubIDs tells where a user has no range of further users and groups.
// Where another source than the files is configured, newuidmap alone knows.
// https://man7.org/linux/man-pages/man5/subuid.5.html
func checkSubIDs(etc string, owners []string) error {
	if raw, err := os.ReadFile(filepath.Join(etc, "nsswitch.conf")); err == nil && subidSource.Match(raw) {
		return nil
	}
	var lacking []string
	for _, file := range []string{"subuid", "subgid"} {
		if !hasSubIDs(filepath.Join(etc, file), owners) {
			lacking = append(lacking, "/etc/"+file)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	who := owners[len(owners)-1]
	return errdefs.New(errdefs.Environment, "%s: no range for user %s; a buildkitd in a user namespace needs one", strings.Join(lacking, ", "), who).
		WithHint("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", who)
}

var subidSource = regexp.MustCompile(`(?m)^\s*subid:`)

func hasSubIDs(path string, owners []string) bool {
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		owner, _, _ := strings.Cut(line, ":")
		for _, o := range owners {
			if owner == o {
				return true
			}
		}
	}
	return false
}

// circumstances are what the kernel's refusal is explained by.
type circumstances struct {
	sysctl    map[string]string // the settings in question that this kernel has
	filtered  bool              // by a seccomp filter
	chained   bool              // no program may gain privileges (no_new_privs)
	container bool              // by the look of it
	bounded   bool              // not even setuid programs get CAP_SYS_ADMIN
	idless    bool              // nor CAP_SETUID and CAP_SETGID
}

// The settings that decide about user namespaces.
const (
	maxNamespaces  = "user.max_user_namespaces"
	cloneAllowed   = "kernel.unprivileged_userns_clone" // Debian's and Arch's kernels
	apparmorChains = "kernel.apparmor_restrict_unprivileged_userns"
)

// explain says why a user namespace could not be made, or can do nothing, and
// what helps. refusal is what was tried, and what the kernel said.
func (c circumstances) explain(refusal error) error {
	bad := func(format string, args ...any) *errdefs.Error {
		return errdefs.New(errdefs.Environment, "user namespaces: %s (%w)", fmt.Sprintf(format, args...), refusal)
	}
	switch {
	case c.sysctl[maxNamespaces] == "0":
		return bad("%s is 0", maxNamespaces).
			WithHint("as root: sysctl -w %s=28633; or run as root, or use driver %s", maxNamespaces, DockerContainer)
	case c.sysctl[cloneAllowed] == "0":
		return bad("%s is 0", cloneAllowed).
			WithHint("as root: sysctl -w %s=1; or run as root, or use driver %s", cloneAllowed, DockerContainer)
	case c.filtered && c.container:
		return bad("this container's seccomp filter or AppArmor profile forbids them").
			WithHint("docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined")
	case c.sysctl[apparmorChains] == "1":
		return bad("AppArmor takes their rights away, since %s is 1", apparmorChains).
			WithHint("as root: sysctl -w %s=0, or load an AppArmor profile for rootlesskit that has the rule userns", apparmorChains)
	case c.filtered:
		return bad("a seccomp filter is in force, which may forbid them").
			WithHint("run it outside of the sandbox, or allow clone, unshare and mount there; of a systemd service RestrictNamespaces and SystemCallFilter")
	case c.container:
		return bad("this container may not make them").
			WithHint("docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined")
	}
	return bad("the kernel refuses them").WithHint("run as root, or use driver %s", DockerContainer)
}

// errMaskedProc is a namespace in which no step would have a /proc.
func errMaskedProc(refusal string) error {
	return errdefs.New(errdefs.Environment, "/proc: a step's own can't be mounted, since parts of this container's are masked (%s)", refusal).
		WithHint("docker run --security-opt systempaths=unconfined; or buildkitd-flags: --oci-worker-no-process-sandbox, with which steps see and may end the container's other processes")
}

// explainKit makes of what rootlesskit wrote what keeps a daemon from working.
func (c circumstances) explainKit(out []byte, end error) error {
	text := string(out)
	said := end.Error()
	if found := kitError.FindStringSubmatch(text); found != nil {
		said = found[1]
	}
	refusal := fmt.Errorf("rootlesskit: %s", said)
	switch {
	case mapFailed.MatchString(text):
		return c.explainMap(refusal)
	case refused.MatchString(text):
		return c.explain(refusal)
	}
	return errdefs.New(errdefs.Environment, "%w", refusal).WithHint("run as root, or use driver %s", DockerContainer)
}

var (
	kitError  = regexp.MustCompile(`(?m)^\[rootlesskit:\w+\s*\] error: (.*)$`)
	mapFailed = regexp.MustCompile(`new[ug]idmap.*failed|uid/gid map|UID/GID map`)
	refused   = regexp.MustCompile(`operation not permitted|permission denied|no space left on device`)
)

// explainMap says why newuidmap could not give a namespace its users.
func (c circumstances) explainMap(refusal error) error {
	bad := errdefs.New(errdefs.Environment, "newuidmap, newgidmap: %w", refusal)
	switch {
	case c.chained:
		bad.Err = fmt.Errorf("newuidmap, newgidmap: no program may gain privileges here (no_new_privs): %w", refusal)
		return bad.WithHint("allow it: docker run without --security-opt no-new-privileges, allowPrivilegeEscalation of a pod, NoNewPrivileges of a systemd service")
	case c.idless:
		bad.Err = fmt.Errorf("newuidmap, newgidmap: they need the capabilities SETUID and SETGID, which this container withholds: %w", refusal)
		return bad.WithHint("docker run --cap-add SETUID --cap-add SETGID")
	case c.bounded:
		// The kernel lets the owner of a namespace map its users, or who has
		// CAP_SYS_ADMIN; with the setuid bit newuidmap is neither.
		// https://man7.org/linux/man-pages/man7/user_namespaces.7.html
		bad.Err = fmt.Errorf("newuidmap, newgidmap: with a setuid bit they need CAP_SYS_ADMIN, which this container withholds: %w", refusal)
		return bad.WithHint("in the image, instead of the setuid bits: chmod u-s /usr/bin/new?idmap, setcap cap_setuid=ep /usr/bin/newuidmap, setcap cap_setgid=ep /usr/bin/newgidmap")
	}
	return bad.WithHint("look at the ranges in /etc/subuid and /etc/subgid, and install uidmap again")
}

// diagnosis is what a line of a daemon's log means for a person.
type diagnosis struct {
	pattern *regexp.Regexp
	hint    string
}

// diagnoses are looked through from the first.
var diagnoses = []diagnosis{
	{regexp.MustCompile(`could not lock \S*buildkitd\.lock`), "another buildkitd uses this root directory: end that one, or take another with name or root-dir"},
	{regexp.MustCompile(`new[ug]idmap\S* .*failed`), "newuidmap and newgidmap need their setuid bit or capability (apt-get install --reinstall uidmap) and a range in /etc/subuid and /etc/subgid"},
	{regexp.MustCompile(`skipping oci worker, as runc does not exist|no worker found`), "install runc (apt-get install runc), or the whole of a BuildKit release, which brings buildkit-runc"},
	{regexp.MustCompile(`exec format error`), "this buildkitd is for another architecture"},
	{regexp.MustCompile(`no space left on device`), "free some space, or name a directory on another disk with root-dir"},
	{regexp.MustCompile(`read-only file system`), "name a directory that can be written with TMPDIR or root-dir"},
	{regexp.MustCompile(`(failed to start the child|share mount point|failed to mount|unshare).*(operation not permitted|permission denied)`), "this user may not make namespaces or mounts here: hullwright doctor looks for the reason"},
}

// explainLog is the next move after a daemon that died with this log; empty where
// there is none that we know.
func explainLog(log string) string {
	for _, d := range diagnoses {
		if d.pattern.MatchString(log) {
			return d.hint
		}
	}
	return ""
}

// lastError is the last line that a program wrote, for an error's text.
func lastError(out []byte, err error) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if last := string(bytes.TrimSpace(lines[len(lines)-1])); last != "" {
		return last
	}
	return err.Error()
}
