package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed runc.sh
var runcScript []byte

// capSysResource is the capability's number in /proc/PID/status (linux/capability.h).
const capSysResource = 24

// engineConfig is the daemon.json of the engine that env starts.
type engineConfig struct {
	DataRoot string   `json:"data-root"`
	ExecRoot string   `json:"exec-root"`
	PIDFile  string   `json:"pidfile"`
	Hosts    []string `json:"hosts"`
	// What is pulled comes from the local registry.
	Mirrors []string `json:"registry-mirrors"`
	// No bridge and no packet filter: dockerd would leave its interface and its
	// rules behind, and nothing here needs another network than the host's.
	Bridge         string                       `json:"bridge"`
	IPTables       bool                         `json:"iptables"`
	IPForward      bool                         `json:"ip-forward"`
	Runtimes       map[string]map[string]string `json:"runtimes,omitempty"`
	DefaultRuntime string                       `json:"default-runtime,omitempty"`
}

func newEngineConfig(l layout, mirror string, withheld bool) engineConfig {
	c := engineConfig{
		DataRoot: l.engine("data"),
		ExecRoot: l.engine("run"),
		PIDFile:  l.engine("pid"),
		Hosts:    []string{l.socket()},
		Mirrors:  []string{"http://" + mirror},
		Bridge:   "none",
	}
	if withheld {
		c.Runtimes = map[string]map[string]string{"withheld": {"path": l.engine("runc.sh")}}
		c.DefaultRuntime = "withheld"
	}
	return c
}

// withholds is whether a capability is missing from the bounding set of a
// /proc/PID/status, so that no container can have it.
func withholds(status string, capability int) (bool, error) {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return set&(1<<capability) == 0, err
		}
	}
	return false, errors.New("no CapBnd in the process status")
}

func (w *world) engineConfigFile() ([]byte, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	withheld, err := withholds(string(status), capSysResource)
	if err != nil {
		return nil, err
	}
	registry, err := w.registryDaemon()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(newEngineConfig(w.layout, registry.Address, withheld), "", "  ")
}

// engineHost is the address of the engine in use; empty is none yet.
func (w *world) engineHost() string {
	raw, err := os.ReadFile(w.state("engine.host"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// ours is whether the engine in use was started by env.
func (w *world) ours() bool { return w.engineHost() == w.socket() }

// engineVersion asks the engine at an address for its version.
func (w *world) engineVersion(ctx context.Context, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := w.run(w.cmd(ctx, []string{"DOCKER_HOST=" + host}, "docker", "version", "--format", "{{.Server.Version}}"))
	return strings.TrimSpace(string(out)), err
}

// foundEngine is the address of an engine that answers and that is not env's own.
func (w *world) foundEngine(ctx context.Context) (host string, ok bool) {
	host = w.environ["DOCKER_HOST"]
	if host == "" {
		out, err := w.run(w.cmd(ctx, nil, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
		if err != nil {
			return "", false // no client, so nothing that could ask an engine
		}
		host = strings.TrimSpace(string(out))
	}
	if host == w.socket() {
		return "", false
	}
	_, err := w.engineVersion(ctx, host)
	return host, err == nil
}

func engineReady(ctx context.Context, w *world) (string, bool) {
	host := w.engineHost()
	if host == "" {
		return "no engine", false
	}
	if w.ours() {
		d, err := readDaemon(w.state("engine.json"))
		if err != nil {
			return err.Error(), false
		}
		config, err := w.engineConfigFile()
		if err != nil {
			return err.Error(), false
		}
		if d.alive() && d.Recipe != recipeOf(config, runcScript) {
			return "an engine with another configuration", false
		}
	}
	version, err := w.engineVersion(ctx, host)
	if err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("engine %s at %s", version, host), true
}

func engineMissing(ctx context.Context, w *world) []string {
	if _, ok := engineReady(ctx, w); ok || w.host.root {
		return nil
	}
	if _, ok := w.foundEngine(ctx); ok {
		return nil
	}
	return []string{"a Docker Engine that answers, since only root can start one; DOCKER_HOST is its address"}
}

func engineUp(ctx context.Context, w *world) error {
	if host, ok := w.foundEngine(ctx); ok {
		return writeFile(w.state("engine.host"), []byte(host+"\n"), 0o644)
	}
	if err := engineDown(ctx, w); err != nil {
		return err
	}
	config, err := w.engineConfigFile()
	if err != nil {
		return err
	}
	if err := writeFile(w.engine("runc.sh"), runcScript, 0o755); err != nil {
		return err
	}
	if err := writeFile(w.engine("daemon.json"), config, 0o644); err != nil {
		return err
	}
	if err := writeFile(w.state("engine.host"), []byte(w.socket()+"\n"), 0o644); err != nil {
		return err
	}
	c := w.cmd(context.WithoutCancel(ctx), nil, "dockerd", "--config-file", w.engine("daemon.json"))
	d := daemon{Address: w.socket(), Recipe: recipeOf(config, runcScript)}
	return w.start(ctx, "engine", c, d, 60*time.Second, func(ctx context.Context) error {
		_, err := w.engineVersion(ctx, w.socket())
		return err
	})
}

// engineDown stops env's own engine with its containers. It leaves another one alone.
func engineDown(ctx context.Context, w *world) error {
	if err := w.stop(ctx, "engine", 30*time.Second); err != nil {
		return err
	}
	if err := w.endContainerd(ctx); err != nil {
		return err
	}
	if err := unmountBelow(w.engine("")); err != nil {
		return err
	}
	// An engine that was killed leaves its files. The next one would take a
	// number in them, which a process not yet reaped may hold, for an owner.
	for _, name := range []string{w.engine("pid"), w.engine("docker.sock"), w.engine("run/containerd/containerd.pid"), w.state("engine.host")} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// endContainerd ends the containerd of an engine that was killed: dockerd ends
// it where it ends itself.
func (w *world) endContainerd(ctx context.Context) error {
	raw, err := os.ReadFile(w.engine("run/containerd/containerd.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return fmt.Errorf("read containerd.pid: %w", err)
	}
	// Ours only if its command line names our directory.
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !strings.Contains(string(cmdline), w.engine("run")) {
		return nil // another process has that number by now, or none
	}
	start, _, err := processStart(pid)
	if err != nil {
		return nil // gone meanwhile
	}
	return daemon{PID: pid, Start: start}.end(ctx, 10*time.Second)
}
