package test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// ordinary is a user of this machine that a script made, with no login session.
type ordinary struct {
	name, home string
	uid        int
	dir        string   // what it may read and write beside its home
	before     []string // files in its home
}

var ordinaries = map[*testscript.TestScript]*ordinary{}

// newuser makes an ordinary user, with a directory that it can read: bin/ with
// the programs, buildx/ with the default configuration, context/ with the
// script's Dockerfiles, tmp/ and run/. The program as runs a command as that user,
// with HOME unset and only the variables that it needs; as-home has HOME, and
// as-engine may use the engine.
// $USER_DIR, $USER_HOME and $USER_ID are the user's. Both go with the script.
//
//	newuser
func newuser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: newuser")
	}
	if os.Geteuid() != 0 {
		ts.Fatalf("only root can make a user")
	}
	u := &ordinary{name: "hw" + unique()}
	u.home = filepath.Join("/home", u.name)
	ts.Check(asRoot("useradd", "--create-home", "--home-dir", u.home, u.name))
	ts.Defer(func() { u.remove(ts) })
	ts.Check(u.identify())
	u.dir = publicDir(ts)
	for _, name := range []string{"tmp", "run", "buildx"} {
		ts.Check(os.MkdirAll(filepath.Join(u.dir, name), 0o700))
	}
	ts.Check(asRoot("cp", os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"), filepath.Join(u.dir, "buildx", "buildkitd.default.toml")))
	ts.Check(asRoot("chown", "-R", u.name+":", filepath.Join(u.dir, "tmp"), filepath.Join(u.dir, "run"), filepath.Join(u.dir, "buildx")))
	ts.Check(u.wrapper(ts, "as", ""))
	ts.Check(u.wrapper(ts, "as-home", "HOME="+u.home))
	ts.Check(u.engineWrapper())
	u.before = below(u.home)
	ordinaries[ts] = u
	ts.Setenv("USER_DIR", u.dir)
	ts.Setenv("USER_HOME", u.home)
	ts.Setenv("USER_ID", itoa(u.uid))
	ts.Setenv("USER_NAME", u.name)
}

// wrapper writes a program that becomes a command of the user's.
func (u *ordinary) wrapper(ts *testscript.TestScript, name, variable string) error {
	text := fmt.Sprintf(`#!/bin/sh
cd %[1]s/tmp
exec setpriv --reuid=%[2]d --regid=%[2]d --clear-groups env -i PATH=%[1]s/bin:/usr/bin:/bin \
  TMPDIR=%[1]s/tmp XDG_RUNTIME_DIR=%[1]s/run BUILDX_CONFIG=%[1]s/buildx CI=%[3]s SSL_CERT_FILE=$SSL_CERT_FILE %[4]s "$@"
`, u.dir, u.uid, ts.Getenv("CI"), variable)
	return os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o755)
}

// engineWrapper writes a program that becomes a command of the user's, in the group
// that may use the engine. The socket is where only root can look, so it is mounted
// where the user can, for the command alone.
func (u *ordinary) engineWrapper() error {
	text := fmt.Sprintf(`#!/bin/sh
exec unshare --mount sh -e -c '
	touch %[1]s/sock
	mount --bind ${DOCKER_HOST#unix://} %[1]s/sock
	cd %[1]s/tmp
	exec setpriv --reuid=%[2]d --regid=$(stat -c %%g %[1]s/sock) --clear-groups \
		env -i PATH=%[1]s/bin:/usr/bin:/bin TMPDIR=%[1]s/tmp RUNNER_TOOL_CACHE=%[1]s/tmp/tools BUILDX_CONFIG=%[1]s/buildx \
		CI=$CI DOCKER_HOST=unix://%[1]s/sock HULLWRIGHT_ORPHANS=false "$@"' sh "$@"
`, u.dir, u.uid)
	return os.WriteFile(filepath.Join(u.dir, "as-engine"), []byte(text), 0o755)
}

func (u *ordinary) identify() error {
	out, err := exec.Command("id", "-u", u.name).Output()
	if err != nil {
		return err
	}
	u.uid, err = strconv.Atoi(strings.TrimSpace(string(out)))
	return err
}

func (u *ordinary) remove(ts *testscript.TestScript) {
	for _, p := range u.processes() {
		syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended by itself
	}
	for tries := 0; len(u.processes()) > 0 && tries < 100; tries++ {
		time.Sleep(20 * time.Millisecond)
	}
	if err := asRoot("userdel", "--force", "--remove", u.name); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	delete(ordinaries, ts)
}

// process is one that runs, with its number and command line for people.
type process struct {
	pid  int
	text string
}

// processes are those of the user, and of the users that it has by /etc/subuid.
func (u *ordinary) processes() []process {
	low, high := u.subIDs()
	var found []process
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || strings.Contains(string(status), "\nState:\tZ") {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(status), "\nUid:\t")
		id, _, _ := strings.Cut(after, "\t")
		uid, err := strconv.Atoi(id)
		if err != nil || uid != u.uid && (uid < low || uid >= high) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		raw, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it is for the message alone
		found = append(found, process{pid, filepath.Base(dir) + " " + strings.ReplaceAll(string(raw), "\x00", " ")})
	}
	return found
}

// subIDs are the user's further users.
func (u *ordinary) subIDs() (low, high int) {
	raw, _ := os.ReadFile("/etc/subuid") // a user without one has none
	for line := range strings.Lines(string(raw)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 3 && fields[0] == u.name {
			low, _ = strconv.Atoi(fields[1])
			count, _ := strconv.Atoi(fields[2])
			return low, low + count
		}
	}
	return 0, 0
}

// userLeft checks that nothing of the script's user is left: processes, mounts,
// files in its home, its temporary directory, its runtime directory and its store
// of builders; negated, that something is.
//
//	user-left nothing
func userLeft(ts *testscript.TestScript, neg bool, args []string) {
	u := ordinaries[ts]
	if len(args) != 1 || args[0] != "nothing" || u == nil {
		ts.Fatalf("usage: user-left nothing, after newuser")
	}
	var left []string
	for _, p := range u.processes() {
		left = append(left, "process "+p.text)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	ts.Check(err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, u.dir) || strings.Contains(line, u.home) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	for _, file := range below(u.home) {
		if !slices.Contains(u.before, file) {
			left = append(left, "file "+file)
		}
	}
	for _, dir := range []string{"tmp", "run", "buildx/instances", "buildx/activity", "buildx/certs"} {
		left = append(left, below(filepath.Join(u.dir, dir))...)
	}
	if neg != (len(left) > 0) {
		ts.Fatalf("left: %d\n  %s", len(left), strings.Join(left, "\n  "))
	}
}

// below are all files and directories below a directory.
func below(dir string) []string {
	var list []string
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { // what is gone is not below
		if err == nil && path != dir {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// publicDir is a directory that every user can read, with the programs under
// test, buildkitd and the script's Dockerfiles.
func publicDir(ts *testscript.TestScript) string {
	dir, err := os.MkdirTemp("/tmp", "hwuser") // a socket's path must be short
	ts.Check(err)
	ts.Defer(func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	ts.Check(os.Chmod(dir, 0o755))
	for _, name := range []string{"bin", "context"} {
		ts.Check(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	all, err := filepath.Glob(filepath.Join(programs, "*"))
	ts.Check(err)
	for _, program := range []string{"buildkitd", "buildctl"} {
		path, err := exec.LookPath(program)
		ts.Check(err)
		all = append(all, path)
	}
	for _, path := range all {
		ts.Check(linkOrCopy(path, filepath.Join(dir, "bin", filepath.Base(path))))
	}
	files, err := filepath.Glob(filepath.Join(ts.Getenv("WORK"), "Dockerfile*"))
	ts.Check(err)
	for _, path := range files {
		ts.Check(linkOrCopy(path, filepath.Join(dir, "context", filepath.Base(path))))
	}
	return dir
}

// linkOrCopy puts a file at another path, where everybody may read it.
func linkOrCopy(from, to string) error {
	if info, err := os.Stat(from); err == nil && info.Mode().Perm()&0o004 != 0 && os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// asRoot runs one command; its error has what it wrote.
func asRoot(program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// noNamespaces runs a command where no user namespaces can be made: in one of
// root's own, whose limit is zero. It checks the exit code; the output is in the
// file NAME.out.
//
//	no-namespaces NAME CODE PROGRAM [ARG...]
func noNamespaces(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: no-namespaces NAME CODE PROGRAM [ARG...]")
	}
	cmd := exec.Command("sh", append([]string{"-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"`, "sh"}, args[2:]...)...)
	cmd.Dir, cmd.Env = ts.Getenv("WORK"), environOf(ts)
	everybody := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: everybody, GidMappings: everybody, GidMappingsEnableSetgroups: true,
	}
	out, _ := cmd.CombinedOutput() // the code tells
	ts.Logf("%s", out)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), out, 0o644))
	if got := itoa(cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s", got, args[1])
	}
}

// killBuildkitd ends the daemons with SIGKILL that have a word in their command
// line.
//
//	kill-buildkitd WORD
func killBuildkitd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] == "" {
		ts.Fatalf("usage: kill-buildkitd WORD")
	}
	count := 0
	dirs, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		program, _, _ := strings.Cut(string(raw), "\x00")
		if err != nil || filepath.Base(program) != "buildkitd" || !strings.Contains(string(raw), args[0]) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		ts.Check(err)
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
		count++
	}
	if count == 0 {
		ts.Fatalf("no buildkitd has %s in its command line", args[0])
	}
}
