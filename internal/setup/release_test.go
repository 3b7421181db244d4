package setup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// archiveOf is a .tar.gz of entries in the order given.
func archiveOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, h := range entries {
		content := "#!/bin/sh\nexit 0\n"
		if h.Typeflag != tar.TypeReg {
			content = ""
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func program(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}
}

func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// releaseHost is a manager with a cache of its own, and what it prints.
func releaseHost(t *testing.T, server *httptest.Server) (*Manager, string, *strings.Builder) {
	t.Helper()
	cache := t.TempDir()
	var out strings.Builder
	host := Host{Environ: map[string]string{"XDG_CACHE_HOME": cache}, Stderr: &syncWriter{w: &out}, Dir: t.TempDir(), Now: time.Now}
	if server != nil {
		host.Transport = server.Client().Transport
	}
	return New(host), cache, &out
}

type syncWriter struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// filesIn are all files below a directory.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}))
	return files
}

func TestFetchRelease(t *testing.T) {
	archive := archiveOf(t, tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, program("bin/buildkitd"), program("bin/buildkit-runc"),
		tar.Header{Typeflag: tar.TypeReg, Name: "./README", Mode: 0o644})
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/latest":
			http.Redirect(w, r, "/release.tar.gz?signature=hidden", http.StatusFound)
		default:
			asked.Add(1)
			w.Write(archive)
		}
	}))
	defer server.Close()
	m, cache, out := releaseHost(t, server)
	r := Release{URL: server.URL + "/latest", SHA256: sumOf(archive)}
	var eg errgroup.Group
	for range 4 { // at once
		eg.Go(func() error {
			bin, err := m.fetchRelease(t.Context(), r)
			if err != nil {
				return err
			}
			if !executable(filepath.Join(bin, "buildkitd")) || !executable(filepath.Join(bin, "buildkit-runc")) {
				return fmt.Errorf("no programs in %s", bin)
			}
			return nil
		})
	}
	check(t, eg.Wait())
	if n := asked.Load(); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
	if files := filesIn(t, cache); len(files) != 3 {
		t.Errorf("files %v", files)
	}
	if info, err := os.Stat(filepath.Join(cache, "hullwright", "releases", r.SHA256, "README")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("README: %v %v", info, err)
	}
	if strings.Contains(out.String(), "hidden") || !strings.Contains(out.String(), "getting buildkitd from "+server.URL+"/latest") {
		t.Errorf("printed %s", out.String())
	}
}

// TestFetchReleaseRefused has what must not be run; nothing of it may be left.
func TestFetchReleaseRefused(t *testing.T) {
	good := archiveOf(t, program("bin/buildkitd"))
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(good) }))
	defer plain.Close()
	link := func(kind byte, name, to string) []byte {
		return archiveOf(t, program("bin/buildkitd"), tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777})
	}
	for name, tt := range map[string]struct {
		body []byte
		sum  string // empty is the body's
		do   func(w http.ResponseWriter, r *http.Request)
		want string
	}{
		"wrong checksum":   {body: good, sum: strings.Repeat("0", 64), want: "expected 0000"},
		"html":             {body: []byte("<!DOCTYPE html><html>Not here</html>"), sum: sumOf(good), want: "what came is text/html"},
		"html of that sum": {body: []byte("<!DOCTYPE html><html>Not here</html>"), want: "no gzip"},
		"half of it":       {body: good[:len(good)/2], sum: sumOf(good), want: "nothing of it was run"},
		"half of that sum": {body: good[:len(good)/2], want: "unexpected EOF"},
		"empty":            {body: nil, sum: sumOf(good), want: "nothing of it was run"},
		"to http":          {do: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }, sum: sumOf(good), want: "which is not https"},
		"to a file": {do: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}, sum: sumOf(good), want: "which is not https"},
		"round and round":     {do: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, sum: sumOf(good), want: "more than 10 redirects"},
		"not there":           {do: func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusNotFound) }, sum: sumOf(good), want: "404 Not Found"},
		"too long":            {do: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "1000000000") }, sum: sumOf(good), want: "more than the"},
		"out of it":           {body: archiveOf(t, program("bin/buildkitd"), program("../evil")), want: `entry "../evil": it leads out`},
		"out by a detour":     {body: archiveOf(t, program("bin/buildkitd"), program("bin/../../evil")), want: "it leads out"},
		"absolute":            {body: archiveOf(t, program("bin/buildkitd"), program("/tmp/evil")), want: "it leads out"},
		"symbolic link":       {body: link(tar.TypeSymlink, "bin/x", "/etc"), want: "neither a file nor a directory"},
		"hard link":           {body: link(tar.TypeLink, "bin/x", "/etc/passwd"), want: "neither a file nor a directory"},
		"device":              {body: link(tar.TypeChar, "bin/x", ""), want: "neither a file nor a directory"},
		"pipe":                {body: link(tar.TypeFifo, "bin/x", ""), want: "neither a file nor a directory"},
		"one file twice":      {body: archiveOf(t, program("bin/buildkitd"), program("bin/buildkitd")), want: "exists"},
		"no buildkitd":        {body: archiveOf(t, program("bin/other")), want: "it has no program bin/buildkitd"},
		"buildkitd no file":   {body: archiveOf(t, tar.Header{Typeflag: tar.TypeDir, Name: "bin/buildkitd", Mode: 0o755}), want: "it has no program"},
		"buildkitd no rights": {body: archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "bin/buildkitd", Mode: 0o644}), want: "it has no program"},
	} {
		t.Run(name, func(t *testing.T) {
			do := tt.do
			if do == nil {
				do = func(w http.ResponseWriter, _ *http.Request) { w.Write(tt.body) }
			}
			server := httptest.NewTLSServer(http.HandlerFunc(do))
			defer server.Close()
			sum := tt.sum
			if sum == "" {
				sum = sumOf(tt.body)
			}
			m, cache, _ := releaseHost(t, server)
			_, err := m.fetchRelease(t.Context(), Release{URL: server.URL + "/r.tar.gz?token=hidden", SHA256: sum})
			if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "token") {
				t.Errorf("the address is told whole: %v", err)
			}
			if files := filesIn(t, cache); len(files) > 0 {
				t.Errorf("left: %v", files)
			}
		})
	}
}

// TestFetchReleaseAgain has what goes wrong for a while.
func TestFetchReleaseAgain(t *testing.T) {
	archive := archiveOf(t, program("bin/buildkitd"))
	for name, fail := range map[string]func(w http.ResponseWriter){
		"503": func(w http.ResponseWriter) { http.Error(w, "later", http.StatusServiceUnavailable) },
		"429": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"cut off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
			w.Write(archive[:len(archive)/2])
			panic(http.ErrAbortHandler)
		},
		"stalled": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
			w.Write(archive[:10])
			w.(http.Flusher).Flush()
			time.Sleep(3 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) <= 2 {
					fail(w)
					return
				}
				w.Write(archive)
			}))
			defer server.Close()
			m, cache, out := releaseHost(t, server)
			file, err := os.Create(filepath.Join(cache, "archive"))
			check(t, err)
			defer file.Close()
			d := download{
				m: m, release: Release{URL: server.URL, SHA256: sumOf(archive)}, file: file, client: m.releaseClient(),
				policy: pullPolicy{tries: 3, base: time.Millisecond, after: 50 * time.Millisecond, stall: time.Second},
			}
			check(t, d.tries(t.Context()))
			check(t, d.verify())
			if n := strings.Count(out.String(), "getting buildkitd failed, try "); n != 2 {
				t.Errorf("told %d failures:\n%s", n, out.String())
			}
		})
	}
}

func TestFetchReleaseForever(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadGateway)
	}))
	defer server.Close()
	m, cache, _ := releaseHost(t, server)
	file, err := os.Create(filepath.Join(cache, "archive"))
	check(t, err)
	defer file.Close()
	d := download{m: m, release: Release{URL: server.URL}, file: file, client: m.releaseClient(), policy: pullPolicy{tries: 2, base: time.Millisecond, stall: time.Minute}}
	if err := d.tries(t.Context()); errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), `input "buildkitd-url"`) || !strings.Contains(err.Error(), "502 Bad Gateway") {
		t.Errorf("got %v", err)
	}
}

// TestFetchReleaseTrust has a server whose certificate nobody vouches for.
func TestFetchReleaseTrust(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer server.Close()
	server.Config.ErrorLog = nil
	m, cache, _ := releaseHost(t, nil)
	start := time.Now()
	_, err := m.fetchRelease(t.Context(), Release{URL: server.URL, SHA256: strings.Repeat("0", 64)})
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "x509") || time.Since(start) > 2*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
	if files := filesIn(t, cache); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}

// TestFetchReleaseKilled has what a download left that was killed, and a cache
// that others may write to.
func TestFetchReleaseKilled(t *testing.T) {
	archive := archiveOf(t, program("bin/buildkitd"))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(archive) }))
	defer server.Close()
	m, cache, _ := releaseHost(t, server)
	left := filepath.Join(cache, "hullwright", "releases", ".new-123")
	check(t, os.MkdirAll(left, 0o700))
	check(t, os.WriteFile(filepath.Join(left, "archive"), []byte("half"), 0o600))
	r := Release{URL: server.URL, SHA256: sumOf(archive)}
	_, err := m.fetchRelease(t.Context(), r)
	check(t, err)
	missing(t, left)

	ours := filepath.Join(cache, "hullwright")
	for _, dir := range []string{ours, filepath.Join(ours, "releases"), filepath.Join(ours, "releases", r.SHA256)} {
		check(t, os.Chmod(dir, 0o777))
		if _, err := m.fetchRelease(t.Context(), r); errdefs.KindOf(err) != errdefs.Denied {
			t.Errorf("%s: programs that others may write were taken: %v", dir, err)
		}
		check(t, os.Chmod(dir, 0o700))
	}
	_, err = m.fetchRelease(t.Context(), r)
	check(t, err)
}

func TestReleaseOptions(t *testing.T) {
	sum := strings.Repeat("Ab", 32)
	for name, tt := range map[string]struct {
		o    ProcessOptions
		want string // in the error; empty is none
	}{
		"both":           {ProcessOptions{BuildkitdURL: "https://h/b.tar.gz", BuildkitdSHA256: sum}, ""},
		"loopback":       {ProcessOptions{BuildkitdURL: "http://127.0.0.1:8000/b.tar.gz", BuildkitdSHA256: sum}, ""},
		"loopback too":   {ProcessOptions{BuildkitdURL: "http://[::1]/b.tar.gz", BuildkitdSHA256: sum}, ""},
		"no checksum":    {ProcessOptions{BuildkitdURL: "https://h/b.tar.gz"}, `input "buildkitd-sha256": missing`},
		"no address":     {ProcessOptions{BuildkitdSHA256: sum}, `input "buildkitd-sha256": buildkitd-url is missing`},
		"short":          {ProcessOptions{BuildkitdURL: "https://h/b.tar.gz", BuildkitdSHA256: "abcd"}, "expected 64 hexadecimal digits"},
		"other digits":   {ProcessOptions{BuildkitdURL: "https://h/b.tar.gz", BuildkitdSHA256: strings.Repeat("x", 64)}, "expected 64 hexadecimal digits"},
		"http":           {ProcessOptions{BuildkitdURL: "http://h/b.tar.gz", BuildkitdSHA256: sum}, "http://h/b.tar.gz is not https"},
		"like loopback":  {ProcessOptions{BuildkitdURL: "http://127.0.0.1.evil/b", BuildkitdSHA256: sum}, "is not https"},
		"a file":         {ProcessOptions{BuildkitdURL: "file:///b.tar.gz", BuildkitdSHA256: sum}, "this is no address"},
		"a password":     {ProcessOptions{BuildkitdURL: "https://u:hidden@h/b", BuildkitdSHA256: sum}, "https://h/b has a user name"},
		"and a path":     {ProcessOptions{BuildkitdURL: "https://h/b", BuildkitdSHA256: sum, Buildkitd: "/b"}, "buildkitd is given too"},
		"with a control": {ProcessOptions{BuildkitdURL: "https://h/\x00", BuildkitdSHA256: sum}, "this is no address"},
	} {
		spec := Spec{Driver: Process}
		err := tt.o.complete(&spec, "/dir")
		switch {
		case tt.want == "" && (err != nil || spec.Release.SHA256 != strings.ToLower(sum)):
			t.Errorf("%s: %v, %+v", name, err, spec.Release)
		case tt.want != "" && (errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden")):
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, driver := range []string{DockerContainer, Remote, Docker} {
		spec := Spec{Driver: driver}
		err := ProcessOptions{BuildkitdURL: "https://h/b", BuildkitdSHA256: sum, Buildkitd: "x", RootDir: "y"}.complete(&spec, "/dir")
		if n := len(errdefs.List(err)); n != 4 || errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("driver %s: %d faults: %v", driver, n, err)
		}
	}
}

// FuzzUnpackRelease has archives of strangers: nothing may be written elsewhere.
func FuzzUnpackRelease(f *testing.F) {
	f.Add(archiveOf(f, program("bin/buildkitd")))
	f.Add(archiveOf(f, program("bin/buildkitd"), program("../evil")))
	f.Add(archiveOf(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: ".."}, program("bin/evil")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		err := unpackRelease(bytes.NewReader(raw), filepath.Join(dir, "tree"))
		left, readErr := os.ReadDir(dir)
		check(t, readErr)
		if len(left) > 1 || len(left) == 1 && left[0].Name() != "tree" {
			t.Errorf("written beside it: %v", left)
		}
		if err == nil && !executable(filepath.Join(dir, "tree", "bin", "buildkitd")) {
			t.Error("no buildkitd, and no error")
		}
	})
}
