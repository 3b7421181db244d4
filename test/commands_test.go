package test

import (
	"errors"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// repo makes the work directory a git repository with one commit on main.
//
//	repo
func repo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: repo")
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"config", "user.name", "Ada"},
		{"config", "user.email", "ada@example.com"},
		{"add", "--all"},
		{"commit", "--quiet", "--message=first", "--date=2026-01-02T03:04:05Z"},
	} {
		ts.Check(ts.Exec("git", args...))
	}
}

// exits runs a command that must end with a code.
//
//	exits CODE command...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// children are the commands that a script started with start, by name.
type children map[string]*child

type child struct {
	cmd  *exec.Cmd
	out  *strings.Builder
	done chan error
}

var running = map[*testscript.TestScript]children{}

// start runs one of our programs beside the script, and waits until its output
// matches.
//
//	start NAME PATTERN PROGRAM [ARG...]
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME PATTERN PROGRAM [ARG...]")
	}
	name, pattern, program := args[0], regexp.MustCompile(args[1]), args[2]
	if !filepath.IsAbs(program) {
		program = filepath.Join(programs, program)
	}
	out, in, err := os.Pipe()
	ts.Check(err)
	c := &child{cmd: exec.Command(program, args[3:]...), out: &strings.Builder{}, done: make(chan error, 1)}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = ts.Getenv("WORK"), in, in
	c.cmd.Env = environOf(ts)
	ts.Check(c.cmd.Start())
	in.Close()
	matched := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for seen := false; ; {
			n, err := out.Read(buf)
			c.out.Write(buf[:n])
			if !seen && pattern.MatchString(c.out.String()) {
				seen = true
				close(matched)
			}
			if err != nil {
				out.Close()
				c.done <- c.cmd.Wait()
				return
			}
		}
	}()
	if running[ts] == nil {
		running[ts] = children{}
	}
	running[ts][name] = c
	select {
	case <-matched:
	case err := <-c.done:
		ts.Fatalf("%s ended (%v) before its output matched %s:\n%s", name, err, args[1], c.out)
	case <-time.After(3 * time.Minute):
		c.cmd.Process.Kill()
		<-c.done
		ts.Fatalf("the output of %s did not match %s in time:\n%s", name, args[1], c.out)
	}
}

// signals are what interrupt can send.
var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// interrupt sends SIGINT, or another signal, to a command that start began and
// checks its exit code (-1 where the signal ended it) and that it ends in time;
// its output is in the file NAME.out.
//
//	interrupt NAME CODE WITHIN [INT|TERM|KILL]
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 3 {
		args = append(args, "INT")
	}
	if neg || len(args) != 4 || signals[args[3]] == 0 {
		ts.Fatalf("usage: interrupt NAME CODE WITHIN [INT|TERM|KILL]")
	}
	within, err := time.ParseDuration(args[2])
	ts.Check(err)
	c := running[ts][args[0]]
	if c == nil {
		ts.Fatalf("no command %s was started", args[0])
	}
	begun := time.Now()
	ts.Check(c.cmd.Process.Signal(signals[args[3]]))
	select {
	case <-c.done:
	case <-time.After(within):
		c.cmd.Process.Kill()
		<-c.done
		ts.Fatalf("%s did not end within %s:\n%s", args[0], within, c.out)
	}
	ts.Logf("%s ended after %s", args[0], time.Since(begun).Round(time.Millisecond))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(c.out.String()), 0o644))
	if got, want := c.cmd.ProcessState.ExitCode(), args[1]; want != itoa(got) {
		ts.Fatalf("%s exited with %d, want %s:\n%s", args[0], got, want, c.out)
	}
}

// gitserver serves the work directory as repo.git over http; $NAME is its
// address.
//
//	gitserver NAME
func gitserver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gitserver NAME")
	}
	root := filepath.Join(ts.Getenv("WORK"), ".served")
	ts.Check(ts.Exec("git", "clone", "--quiet", "--bare", ".", filepath.Join(root, "repo.git")))
	path, err := exec.Command("git", "--exec-path").Output()
	ts.Check(err)
	server := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	})
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}
