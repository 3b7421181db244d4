package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"text/template"
	"time"
)

// firstPort is the port that the registry takes where it is free.
const firstPort = 5000

var registryYAML = template.Must(template.New("config.yml").Parse(`# written by env
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: {{printf "%q" .Storage}}}
  delete: {enabled: true}
http:
  addr: {{.Address}}
`))

// buildkitdTOML sends what is asked of Docker Hub to the local registry
// first. BuildKit speaks https to a mirror unless its own table says http.
var buildkitdTOML = template.Must(template.New("buildkitd.toml").Parse(`# written by env
[registry."docker.io"]
  mirrors = ["{{.Address}}"]

[registry."{{.Address}}"]
  http = true
`))

// registryFile fills a template with the registry's facts.
func registryFile(t *template.Template, storage, address string) []byte {
	var b bytes.Buffer
	// A template of fixed text and two strings, written to memory, can't fail.
	if err := t.Execute(&b, struct{ Storage, Address string }{storage, address}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// registryDaemon is the registry that env started, alive or not.
func (w *world) registryDaemon() (daemon, error) { return readDaemon(w.state("registry.json")) }

func registryReady(ctx context.Context, w *world) (string, bool) {
	d, err := w.registryDaemon()
	if err != nil {
		return err.Error(), false
	}
	if !d.alive() {
		return "no registry", false
	}
	if err := probeRegistry(ctx, d.Address); err != nil {
		return err.Error(), false
	}
	config, err := os.ReadFile(w.buildkitdConfig())
	if err != nil || !bytes.Equal(config, registryFile(buildkitdTOML, "", d.Address)) {
		return w.buildkitdConfig() + " is of another registry", false
	}
	return d.Address, true
}

func registryUp(ctx context.Context, w *world) error {
	if err := w.stop(ctx, "registry", 5*time.Second); err != nil { // one that hangs
		return err
	}
	// The address outlives the process: builders and the engine know it.
	last, err := os.ReadFile(w.state("registry.address"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	address, err := freeAddress(strings.TrimSpace(string(last)), firstPort)
	if err != nil {
		return err
	}
	if err := writeFile(w.state("registry.address"), []byte(address+"\n"), 0o644); err != nil {
		return err
	}
	if err := writeFile(w.registry("config.yml"), registryFile(registryYAML, w.registry("data"), address), 0o644); err != nil {
		return err
	}
	if err := writeFile(w.buildkitdConfig(), registryFile(buildkitdTOML, "", address), 0o644); err != nil {
		return err
	}
	// Without a deadline or cancellation: it lives longer than env. It would
	// send traces to a collector unless told not to.
	c := w.cmd(context.WithoutCancel(ctx), []string{"OTEL_TRACES_EXPORTER=none"}, w.bin("registry"), "serve", w.registry("config.yml"))
	return w.start(ctx, "registry", c, daemon{Address: address}, 15*time.Second, func(ctx context.Context) error {
		return probeRegistry(ctx, address)
	})
}

func registryDown(ctx context.Context, w *world) error { return w.stop(ctx, "registry", 5*time.Second) }

// freeAddress is an address that nothing listens on: the last one, the usual
// one, or any.
func freeAddress(last string, usual int) (string, error) {
	var errs []error
	for _, address := range []string{last, fmt.Sprintf("127.0.0.1:%d", usual), "127.0.0.1:0"} {
		if address == "" {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return l.Addr().String(), l.Close()
	}
	return "", errors.Join(errs...)
}

// probeRegistry asks a registry whether it is one.
func probeRegistry(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v2/", nil)
	if err != nil {
		return err
	}
	// A transport of its own: no proxy stands before the loopback.
	t := &http.Transport{DisableKeepAlives: true}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("registry %s: %s", address, resp.Status)
	}
	return nil
}
