package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// bootLimit is how long a daemon may take until it answers.
const bootLimit = 15 * time.Second

// start starts a daemon that close ends, and waits until url answers with 200.
// An error has the end of its log.
func (l *lab) start(ctx context.Context, url string, args ...string) error {
	log, err := os.Create(filepath.Join(l.dir, args[0]+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p := exec.Command(args[0], args[1:]...) // ended by close, in its turn
	p.Env = append(l.env[:len(l.env):len(l.env)], "OTEL_TRACES_EXPORTER=none")
	p.Stdout, p.Stderr = log, log
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	if err := p.Start(); err != nil {
		return errdefs.New(errdefs.Environment, "start %s: %w", args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	l.later(func() error { return stop(p, ended) })

	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		err := get(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case exit := <-ended:
			ended <- exit // for stop
			return errdefs.New(errdefs.Environment, "%s ended: %v%s", args[0], exit, tail(log.Name()))
		case <-ctx.Done():
			return errdefs.New(errdefs.Environment, "%s does not answer: %w%s", args[0], errors.Join(ctx.Err(), err), tail(log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends a daemon with SIGTERM and, after a time, with SIGKILL.
func stop(p *exec.Cmd, ended <-chan error) error {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Kill} {
		if err := p.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", p.Args[0], err)
		}
		select {
		case <-ended: // how it ended is no matter
			return nil
		case <-time.After(5 * time.Second):
		}
	}
	return fmt.Errorf("process %d, %s, does not end", p.Process.Pid, p.Args[0])
}

// direct speaks to the loopback, where no proxy stands between.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}

// freeAddress is an address of the loopback that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const registryConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
http:
  addr: %s
`

// startRegistry starts a registry with nothing in it and gives its address.
func (l *lab) startRegistry(ctx context.Context, name string) (string, error) {
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	config := fmt.Sprintf(registryConfig, filepath.Join(l.dir, name), address)
	if err := l.write(name+".yml", config); err != nil {
		return "", err
	}
	return address, l.start(ctx, "http://"+address+"/v2/", "registry", "serve", filepath.Join(l.dir, name+".yml"))
}
