package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// account is the name by which the object stores know their only user. S3's
// bucket, too, has this name.
const account = "hullwright"

// service is an object store that stands for a cloud's: a process on the
// loopback with one account, whose key is made at first and kept.
type service struct {
	name   string // of the part, its state and its log
	port   int    // taken where it is free
	server string // how its Server header begins
	path   string // what clients append to the address
}

var (
	s3    = service{name: "s3", port: 7070, server: "VERSITYGW"}
	azure = service{name: "azure", port: 10000, server: "Azurite-Blob/", path: "/" + account}
)

// store is a service as tests use it; the zero store is one that is not up.
type store struct{ url, key string }

// store gives the service that env started, alive or not.
func (w *world) store(s service) (store, error) {
	d, err := readDaemon(w.state(s.name + ".json"))
	if err != nil || d.Address == "" {
		return store{}, err
	}
	key, err := os.ReadFile(w.state(s.name + ".key"))
	if err != nil {
		return store{}, err
	}
	return store{"http://" + d.Address + s.path, string(key)}, nil
}

// key is the account's key, made where there is none.
func (w *world) key(s service) (string, error) {
	path := w.state(s.name + ".key")
	raw, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return string(raw), err
	}
	// 40 hexadecimal digits are valid base64, too, which Azure's clients want.
	random := make([]byte, 20)
	rand.Read(random) // never fails
	key := hex.EncodeToString(random)
	return key, writeFile(path, []byte(key), 0o600)
}

func (w *world) serviceReady(ctx context.Context, s service) (string, bool) {
	d, err := readDaemon(w.state(s.name + ".json"))
	if err != nil {
		return err.Error(), false
	}
	if !d.alive() {
		return "not running", false
	}
	if err := s.probe(ctx, d.Address); err != nil {
		return err.Error(), false
	}
	return "http://" + d.Address + s.path, true
}

// startService starts a program that serves at the host and port that args makes
// its arguments from. The key goes by the environment: arguments are everybody's.
func (w *world) startService(ctx context.Context, s service, program string, set func(key string) []string, args func(host, port string) []string) error {
	if err := w.stop(ctx, s.name, 5*time.Second); err != nil { // one that hangs
		return err
	}
	address, err := freeAddress("", s.port)
	if err != nil {
		return err
	}
	key, err := w.key(s)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	c := w.cmd(context.WithoutCancel(ctx), set(key), program, args(host, port)...)
	return w.start(ctx, s.name, c, daemon{Address: address}, 30*time.Second, func(ctx context.Context) error {
		return s.probe(ctx, address)
	})
}

// probe asks whether the service answers. It refuses whoever has no key, so
// that only its name tells.
func (s service) probe(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	u := url.URL{Scheme: "http", Host: address, Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if server := resp.Header.Get("Server"); !strings.HasPrefix(server, s.server) {
		return fmt.Errorf("%s: %s: answered by %q", s.name, address, server)
	}
	return nil
}

func s3Ready(ctx context.Context, w *world) (string, bool) {
	if text, ok := w.built(serviceTools); !ok {
		return text, false
	}
	return w.serviceReady(ctx, s3)
}

// s3Up starts versitygw on a directory: a bucket is a folder of it. Metadata
// lies beside it, since not every file system keeps extended attributes.
func s3Up(ctx context.Context, w *world) error {
	if err := w.build(ctx, serviceTools); err != nil {
		return err
	}
	for _, dir := range []string{w.path("s3", "data", account), w.path("s3", "metadata")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	set := func(key string) []string {
		return []string{"ROOT_ACCESS_KEY=" + account, "ROOT_SECRET_KEY=" + key}
	}
	return w.startService(ctx, s3, w.bin("versitygw"), set, func(host, port string) []string {
		return []string{"--port", net.JoinHostPort(host, port), "--quiet",
			"posix", "--sidecar", w.path("s3", "metadata"), w.path("s3", "data")}
	})
}

func s3Down(ctx context.Context, w *world) error { return w.stop(ctx, s3.name, 5*time.Second) }

func azureReady(ctx context.Context, w *world) (string, bool) {
	if text, ok := w.npmInstalled(azurite); !ok {
		return text, false
	}
	return w.serviceReady(ctx, azure)
}

// azureUp starts azurite's blob service. It tells Microsoft nothing, and takes
// clients that are newer than itself.
func azureUp(ctx context.Context, w *world) error {
	if _, ok := w.npmInstalled(azurite); !ok {
		if err := w.npmInstall(ctx, azurite); err != nil {
			return err
		}
	}
	data := w.path("azure")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	set := func(key string) []string { return []string{"AZURITE_ACCOUNTS=" + account + ":" + key} }
	return w.startService(ctx, azure, filepath.Join(w.npmBin(azurite), azurite.program), set, func(host, port string) []string {
		return []string{"--blobHost", host, "--blobPort", port, "--location", data,
			"--silent", "--disableTelemetry", "--skipApiVersionCheck"}
	})
}

func azureDown(ctx context.Context, w *world) error { return w.stop(ctx, azure.name, 5*time.Second) }
