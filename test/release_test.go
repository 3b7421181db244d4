package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"
)

// release serves a release of BuildKit over https, as GitHub does: from an
// address that leads to another. It has the environment's buildkitd, and a
// buildkit-runc that writes $WORK/ran before it becomes the machine's runc.
//
// $NAME_URL is its address and $NAME_SHA256 its checksum. Below $NAME_BASE are
// also half.tar.gz, page.tar.gz (a page of HTML), plain.tar.gz, which leads to
// http, and busy.tar.gz, which answers 503 at first. SSL_CERT_FILE is set.
//
//	release NAME
func release(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: release NAME")
	}
	archive, err := releaseArchive(filepath.Join(ts.Getenv("WORK"), "ran"))
	ts.Check(err)
	plain := httptest.NewServer(serves(archive))
	ts.Defer(plain.Close)
	mux := http.NewServeMux()
	mux.Handle("/buildkit.tar.gz", http.RedirectHandler("/stored?signature=hidden", http.StatusFound))
	mux.Handle("/stored", serves(archive))
	mux.Handle("/half.tar.gz", serves(archive[:len(archive)/2]))
	mux.Handle("/page.tar.gz", serves([]byte("<!DOCTYPE html><html>There is nothing here</html>")))
	mux.Handle("/plain.tar.gz", http.RedirectHandler(plain.URL, http.StatusFound))
	var asked atomic.Bool
	mux.HandleFunc("/busy.tar.gz", func(w http.ResponseWriter, r *http.Request) {
		if !asked.Swap(true) {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		serves(archive).ServeHTTP(w, r)
	})
	server := httptest.NewTLSServer(mux)
	ts.Defer(server.Close)
	cert := filepath.Join(ts.Getenv("WORK"), "."+args[0]+".pem")
	ts.Check(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	sum := sha256.Sum256(archive)
	ts.Setenv("SSL_CERT_FILE", cert)
	ts.Setenv(args[0]+"_BASE", server.URL)
	ts.Setenv(args[0]+"_URL", server.URL+"/buildkit.tar.gz")
	ts.Setenv(args[0]+"_SHA256", hex.EncodeToString(sum[:]))
}

func serves(content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
}

// releaseArchive is packed as BuildKit's releases are.
func releaseArchive(ran string) ([]byte, error) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath("buildkitd")
	if err != nil {
		return nil, err
	}
	buildkitd, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	zip, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zip)
	wrapper := fmt.Sprintf("#!/bin/sh\n: > %s\nexec %s \"$@\"\n", ran, runc)
	for _, file := range []struct {
		name    string
		content io.Reader
		size    int64
	}{
		{"bin/buildkitd", bytes.NewReader(buildkitd), int64(len(buildkitd))},
		{"bin/buildkit-runc", bytes.NewBufferString(wrapper), int64(len(wrapper))},
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: 0o755, Size: file.size}); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, file.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
