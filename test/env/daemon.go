package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// daemon is a process that env started and that outlives it. Its state file
// holds it from one run to the next.
type daemon struct {
	PID int `json:"pid"`
	// Start is when the process started, in clock ticks since boot. With the
	// PID it names one process for good, so that no other one is ever stopped.
	Start string `json:"start"`
	// Address is where it answers.
	Address string `json:"address"`
	// Recipe is what it was started with; another recipe is another daemon.
	Recipe string `json:"recipe"`
}

// readDaemon gives the daemon of a state file; the zero daemon where there is none.
func readDaemon(path string) (daemon, error) {
	var d daemon
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("read %s: %w", path, err)
	}
	return d, nil
}

func (d daemon) write(path string) error {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(raw, '\n'), 0o644)
}

// alive is whether the process that env started is still there.
func (d daemon) alive() bool {
	if d.PID <= 0 {
		return false
	}
	start, state, err := processStart(d.PID)
	return err == nil && start == d.Start && state != "Z"
}

// processStart reads when a process started, and its state, from /proc.
func processStart(pid int) (start, state string, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	return parseStat(string(raw))
}

// parseStat reads the third and the 22nd field of /proc/PID/stat. The second is
// the program's name in parentheses, which may itself hold spaces and parentheses.
func parseStat(stat string) (start, state string, err error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 20 {
		return "", "", fmt.Errorf("unexpected process status %q", stat)
	}
	return fields[19], fields[0], nil
}

// start starts a daemon in a session of its own, writing to a log, and waits
// until probe is content. A daemon that ends or does not answer in time is an
// error with its log's end.
func (w *world) start(ctx context.Context, name string, c *exec.Cmd, d daemon, deadline time.Duration, probe func(context.Context) error) error {
	log, err := os.Create(w.log(name))
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	// It outlives the checkout that it was started from, and its programs (git
	// for one) end where their working directory is gone.
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	d.PID = c.Process.Pid
	if d.Start, _, err = processStart(d.PID); err == nil {
		err = d.write(w.state(name + ".json"))
	}
	if err != nil {
		return errors.Join(err, c.Process.Kill(), c.Wait())
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()

	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case exit := <-ended:
			return w.startFailed(name, fmt.Errorf("ended: %v", exit))
		case <-ctx.Done():
			return errors.Join(w.startFailed(name, fmt.Errorf("no answer in %s: %w", deadline, err)), w.stop(context.WithoutCancel(ctx), name, 5*time.Second))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (w *world) startFailed(name string, err error) error {
	log, _ := os.ReadFile(w.log(name)) // an unreadable log adds nothing to err
	return errdefs.New(errdefs.Environment, "start %s: %w%s", name, err, tail(log, 20)).
		WithHint("the whole log is %s", w.log(name))
}

// stop ends the daemon of a name with SIGTERM and, after grace, with SIGKILL.
// A daemon that is gone is no error.
func (w *world) stop(ctx context.Context, name string, grace time.Duration) error {
	path := w.state(name + ".json")
	d, err := readDaemon(path)
	if err != nil {
		return err
	}
	if err := d.end(ctx, grace); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d daemon) end(ctx context.Context, grace time.Duration) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for deadline := time.Now().Add(grace); d.alive(); {
			if err := syscall.Kill(d.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			sig = 0 // once is enough; signal 0 only asks
			if time.Now().After(deadline) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if d.alive() {
		return fmt.Errorf("process %d does not end", d.PID)
	}
	return nil
}
