package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// toxiproxy is a server of slow links.
type toxiproxy struct {
	url string
}

// toxic is what is wrong with a link, as toxiproxy names it.
type toxic struct {
	Type string `json:"type"`
	// Stream is always upstream: what a program sends waits, so a request and
	// its answer together take the link's latency once.
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

func (l *lab) upLinks(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	l.links = &toxiproxy{url: "http://" + address}
	return l.start(ctx, l.links.url+"/version", "toxiproxy-server", "-host", host, "-port", port)
}

// open makes a link to an address and gives the address of its near end. It
// lasts as long as the server.
func (t *toxiproxy) open(ctx context.Context, name, upstream string, with toxic) (string, error) {
	with.Stream = "upstream"
	var proxy struct {
		Name     string `json:"name"`
		Listen   string `json:"listen"`
		Upstream string `json:"upstream"`
		Enabled  bool   `json:"enabled"`
	}
	proxy.Name, proxy.Listen, proxy.Upstream, proxy.Enabled = name, "127.0.0.1:0", upstream, true
	if err := t.post(ctx, "/proxies", &proxy); err != nil {
		return "", err
	}
	return proxy.Listen, t.post(ctx, "/proxies/"+name+"/toxics", &with)
}

// post sends a value and reads it back as the server has it.
func (t *toxiproxy) post(ctx context.Context, path string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return errdefs.New(errdefs.Environment, "toxiproxy: %w", err)
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		return errdefs.New(errdefs.Environment, "toxiproxy: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return errdefs.New(errdefs.Environment, "toxiproxy: POST %s: %s: %s", path, resp.Status, bytes.TrimSpace(raw))
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return fmt.Errorf("toxiproxy: POST %s: %w", path, err)
	}
	return nil
}
