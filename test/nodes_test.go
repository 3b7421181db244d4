package test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// daemon is a buildkitd of a script's own.
type daemon struct {
	cmd  *exec.Cmd
	args []string
	log  *os.File
	done chan error
}

var daemons = map[*testscript.TestScript]map[string]*daemon{}

// buildkitd starts a daemon; $NAME is its socket. It has processes and mounts
// of its own, which end with it however it ends, as in a container.
//
//	buildkitd NAME [FLAG...]
func buildkitd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: buildkitd NAME [FLAG...]")
	}
	name := args[0]
	root := filepath.Join(ts.Getenv("WORK"), "."+strings.ToLower(name))
	ts.Check(os.MkdirAll(root, 0o700))
	log, err := os.OpenFile(filepath.Join(root, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	socket := filepath.Join(root, "sock")
	d := &daemon{log: log, args: append([]string{
		"--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "buildkitd", "--addr", "unix://" + socket,
		"--root", filepath.Join(root, "state"), "--oci-worker-net", "host", "--config", os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"),
	}, args[1:]...)}
	if daemons[ts] == nil {
		daemons[ts] = map[string]*daemon{}
	}
	daemons[ts][name] = d
	ts.Check(d.start())
	ts.Defer(func() {
		d.kill()
		d.log.Close()
	})
	ts.Setenv(name, socket)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for exec.CommandContext(ctx, "buildctl", "--addr", "unix://"+socket, "debug", "workers").Run() != nil {
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name()) // it is for the message alone
			ts.Fatalf("buildkitd does not answer:\n%s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *daemon) start() error {
	d.cmd = exec.Command("unshare", d.args...)
	// Not the file itself: so the end is awaited of all that has it open.
	d.cmd.Stdout = struct{ io.Writer }{d.log}
	d.cmd.Stderr = d.cmd.Stdout
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.done = make(chan error, 1)
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(d.cmd, d.done)
	return nil
}

// kill ends the daemon with SIGKILL, and all that it runs. unshare passes the
// signal on by the death of the parent.
func (d *daemon) kill() {
	d.cmd.Process.Kill() // where it ended by itself there is nothing to end
	d.done <- <-d.done   // whoever asks next is told too
}

// kill9 ends a daemon with SIGKILL; with "again" it is started anew at once.
//
//	kill9 NAME [again]
func kill9(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: kill9 NAME [again]")
	}
	d := daemons[ts][args[0]]
	if d == nil {
		ts.Fatalf("no daemon %s was started", args[0])
	}
	d.kill()
	if len(args) > 1 {
		ts.Check(d.start())
	}
}

// ends waits for a command that start began, and checks its exit code and that
// it ends in time; its output is in the file NAME.out.
//
//	ends NAME CODE[|CODE] WITHIN
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ends NAME CODE WITHIN")
	}
	within, err := time.ParseDuration(args[2])
	ts.Check(err)
	c := running[ts][args[0]]
	if c == nil {
		ts.Fatalf("no command %s was started", args[0])
	}
	begun := time.Now()
	select {
	case <-c.done:
	case <-time.After(within):
		c.cmd.Process.Kill()
		<-c.done
		ts.Fatalf("%s did not end within %s:\n%s", args[0], within, c.out)
	}
	ts.Logf("%s ended after %s", args[0], time.Since(begun).Round(time.Millisecond))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(c.out.String()), 0o644))
	if got := itoa(c.cmd.ProcessState.ExitCode()); !slices.Contains(strings.Split(args[1], "|"), got) {
		ts.Fatalf("%s exited with %s, want %s:\n%s", args[0], got, args[1], c.out)
	}
}

// slowly starts a proxy to the registry that keeps every manifest waiting
// before it is written; $NAME is its address.
//
//	slowly NAME DURATION
func slowly(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: slowly NAME DURATION")
	}
	wait, err := time.ParseDuration(args[1])
	ts.Check(err)
	manifest := regexp.MustCompile(`/manifests/`)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: os.Getenv("HULLWRIGHT_TEST_REGISTRY")})
		p.Out.Host = p.In.Host // so that locations lead back through here
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && manifest.MatchString(r.URL.Path) {
			select {
			case <-time.After(wait):
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}
