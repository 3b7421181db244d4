package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestCheckSubIDs(t *testing.T) {
	const ranges = "me:100000:65536\n1234:200000:65536\n"
	for name, tt := range map[string]struct {
		subuid, subgid, nsswitch string
		owners                   []string
		want                     string // in the error; empty is none
	}{
		"by name":        {subuid: ranges, subgid: ranges, owners: []string{"1000", "me"}},
		"by number":      {subuid: ranges, subgid: ranges, owners: []string{"1234"}},
		"nobody":         {subuid: ranges, subgid: ranges, owners: []string{"1000", "you"}, want: "/etc/subuid, /etc/subgid: no range for user you"},
		"part of a name": {subuid: ranges, subgid: ranges, owners: []string{"1", "m"}, want: "/etc/subuid, /etc/subgid"},
		"no groups":      {subuid: ranges, owners: []string{"1234"}, want: "/etc/subgid: no range for user 1234"},
		"elsewhere":      {nsswitch: "passwd: files\nsubid: sss\n", owners: []string{"1"}},
	} {
		etc := t.TempDir()
		for file, text := range map[string]string{"subuid": tt.subuid, "subgid": tt.subgid, "nsswitch.conf": tt.nsswitch} {
			if text != "" {
				check(t, os.WriteFile(filepath.Join(etc, file), []byte(text), 0o600))
			}
		}
		err := checkSubIDs(etc, tt.owners)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestExplain(t *testing.T) {
	refusal := errors.New("clone: operation not permitted")
	for name, tt := range map[string]struct {
		c          circumstances
		want, hint string
	}{
		"none at all":  {circumstances{sysctl: map[string]string{maxNamespaces: "0"}}, "user.max_user_namespaces is 0 (clone: operation not permitted)", "sysctl -w user.max_user_namespaces=28633"},
		"root's only":  {circumstances{sysctl: map[string]string{maxNamespaces: "9", cloneAllowed: "0"}}, "kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		"powerless":    {circumstances{sysctl: map[string]string{cloneAllowed: "1", apparmorChains: "1"}}, "AppArmor takes their rights away", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		"a container":  {circumstances{filtered: true, container: true}, "this container's seccomp filter", "--security-opt seccomp=unconfined"},
		"in Ubuntu":    {circumstances{sysctl: map[string]string{apparmorChains: "1"}, filtered: true, container: true}, "this container's seccomp filter", "--security-opt seccomp=unconfined"},
		"open, Ubuntu": {circumstances{sysctl: map[string]string{apparmorChains: "1"}, container: true}, "AppArmor takes their rights away", "sysctl -w"},
		"a sandbox":    {circumstances{filtered: true}, "a seccomp filter is in force", "RestrictNamespaces"},
		"unfiltered":   {circumstances{container: true}, "this container may not", "--security-opt"},
		"who knows":    {circumstances{}, "the kernel refuses them (clone: operation not permitted)", "run as root"},
		"all settings": {circumstances{sysctl: map[string]string{maxNamespaces: "100", cloneAllowed: "1", apparmorChains: "0"}}, "the kernel refuses them", "run as root"},
	} {
		err := tt.c.explain(refusal)
		if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want) || !strings.Contains(strings.Join(errdefs.Hints(err), "\n"), tt.hint) {
			t.Errorf("%s: got %v, hints %q", name, err, errdefs.Hints(err))
		}
	}
}

func TestExplainKit(t *testing.T) {
	end := errors.New("exit status 1")
	for name, tt := range map[string]struct {
		c              circumstances
		out, want, not string
	}{
		"no child":      {circumstances{sysctl: map[string]string{apparmorChains: "1"}}, "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: permission denied\n", "user namespaces: AppArmor takes their rights away", ""},
		"no map":        {circumstances{}, "time=x level=warning msg=y\n[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 12 [0 1000 1] failed: newuidmap: write to uid_map failed: Operation not permitted\n: exit status 1\n", "newuidmap, newgidmap: rootlesskit: failed to setup UID/GID map", "user namespaces"},
		"no privileges": {circumstances{chained: true}, "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 12 failed", "no program may gain privileges", ""},
		"a setuid bit":  {circumstances{bounded: true}, "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 12 failed", "with a setuid bit they need CAP_SYS_ADMIN", ""},
		"no users":      {circumstances{bounded: true, idless: true}, "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 12 failed", "they need the capabilities SETUID and SETGID", ""},
		"something":     {circumstances{}, "[rootlesskit:child ] error: executing [[ip link]]: no such file\n", "rootlesskit: executing [[ip link]]: no such file", "newuidmap"},
		"nothing":       {circumstances{}, "", "rootlesskit: exit status 1", ""},
	} {
		err := tt.c.explainKit([]byte(tt.out), end)
		if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want) || tt.not != "" && strings.Contains(err.Error(), tt.not) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(errdefs.Hints(err)) != 1 {
			t.Errorf("%s: hints %q", name, errdefs.Hints(err))
		}
	}
}

func TestExplainLog(t *testing.T) {
	for log, want := range map[string]string{
		"buildkitd: could not lock /x/buildkitd.lock, another instance running?":                                                      "another buildkitd uses this root directory",
		"level=warning msg=\"skipping oci worker, as runc does not exist\"\nbuildkitd: no worker found, rebuild the buildkit daemon?": "install runc",
		"[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: operation not permitted":                    "this user may not make namespaces",
		"level=info msg=\"running server on /x/buildkitd.sock\"":                                                                      "",
		"": "",
	} {
		if got := explainLog(log); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %q", log, got)
		}
	}
}
