package builder

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func tarOf(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStandardInput(t *testing.T) {
	archive := tarOf(t, "Dockerfile", "FROM scratch")
	withFile := map[string]string{"filename": "other"}
	cases := []struct {
		title string
		stdin io.Reader
		kind  string
		attrs map[string]string
		tar   bool
		fault string
	}{
		{title: "tar", stdin: bytes.NewReader(archive), kind: stdinContext, tar: true},
		{title: "gzip", stdin: bytes.NewReader(gzipped(t, archive)), kind: stdinContext, tar: true},
		{title: "bzip2", stdin: strings.NewReader("BZh91AY"), kind: stdinContext, tar: true},
		{title: "xz", stdin: strings.NewReader("\xfd7zXZ\x00rest"), kind: stdinContext, tar: true},
		{title: "tar with a file in it", stdin: bytes.NewReader(archive), kind: stdinContext, attrs: withFile, tar: true},
		{title: "slow tar", stdin: iotest.OneByteReader(bytes.NewReader(archive)), kind: stdinContext, tar: true},
		{title: "Dockerfile", stdin: strings.NewReader("FROM scratch"), kind: stdinContext},
		{title: "Dockerfile beside a context", stdin: strings.NewReader("FROM scratch"), kind: stdinDockerfile},
		{title: "empty context", stdin: strings.NewReader(""), kind: stdinContext, fault: "standard input is empty"},
		{title: "nothing", kind: stdinContext, fault: "standard input is empty"},
		{title: "empty Dockerfile", stdin: strings.NewReader(""), kind: stdinDockerfile, fault: "the Dockerfile is empty"},
		{title: "two Dockerfiles", stdin: strings.NewReader("FROM scratch"), kind: stdinContext, attrs: withFile, fault: `input "file"`},
		{title: "endless Dockerfile", stdin: io.MultiReader(strings.NewReader("FROM x"), endless{}), kind: stdinDockerfile, fault: "more than"},
		{title: "broken", stdin: iotest.ErrReader(errors.New("cable")), kind: stdinContext, fault: "cable"},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			if c.attrs == nil {
				c.attrs = map[string]string{"filename": "Dockerfile"}
			}
			in, err := openInputs(t.Context(), Plan{Solves: []Solve{{Stdin: c.kind, FrontendAttrs: c.attrs}}}, Session{Stdin: c.stdin})
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("%v, want an error with %q", err, c.fault)
				}
				nothingIn(t, tmp)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (in.tar != "") != c.tar || (in.file != "") == c.tar {
				t.Errorf("tar %q, Dockerfile in %q", in.tar, in.file)
			}
			if (in.context != "") != (c.kind == stdinContext && !c.tar) {
				t.Errorf("empty context %q", in.context)
			}
			if err := in.close(); err != nil {
				t.Fatal(err)
			}
			nothingIn(t, tmp)
		})
	}
}

// endless is a stream of spaces.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// nothingIn checks that nothing is left in a folder.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFetchDockerfile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/Dockerfile":
			io.WriteString(w, "FROM scratch")
		case "/large":
			w.Write(make([]byte, maxDockerfile+1))
		case "/moved":
			http.Redirect(w, r, "/Dockerfile", http.StatusFound)
		case "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	cases := []struct {
		address string
		kind    errdefs.Kind
		fault   string
	}{
		{address: server.URL + "/Dockerfile"},
		{address: server.URL + "/moved"},
		{address: server.URL + "/large", kind: errdefs.BadInput, fault: "more than"},
		{address: server.URL + "/none", kind: errdefs.Environment, fault: "404"},
		{address: server.URL + "/circle", kind: errdefs.Environment, fault: "redirects"},
		{address: "http://127.0.0.1:1/Dockerfile", kind: errdefs.Environment, fault: "refused"},
		{address: "http://user:hunter2@127.0.0.1:1/Dockerfile", kind: errdefs.Environment, fault: "refused"},
		{address: "http://hunter2@[::bad/", kind: errdefs.BadInput, fault: "no address"},
	}
	for _, c := range cases {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		in, err := openInputs(t.Context(), Plan{Solves: []Solve{{DockerfileURL: c.address}}}, Session{})
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != c.kind || !strings.Contains(err.Error(), `input "file"`) {
				t.Errorf("%s: %v, want %v of input file with %q", c.address, err, c.kind, c.fault)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v shows a password", err)
			}
			nothingIn(t, tmp)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got, err := os.ReadFile(filepath.Join(in.file, "Dockerfile")); err != nil || string(got) != "FROM scratch" {
			t.Errorf("%s: %q, %v", c.address, got, err)
		}
		if err := in.close(); err != nil {
			t.Error(err)
		}
	}
}

// The environment's proxy is asked, since a CI system's runner may reach no
// other host.
func TestFetchDockerfileByProxy(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		io.WriteString(w, "FROM scratch")
	}))
	defer proxy.Close()
	plan := Plan{Solves: []Solve{{DockerfileURL: "http://files.example/Dockerfile"}}}
	in, err := openInputs(t.Context(), plan, Session{Environ: map[string]string{"http_proxy": proxy.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if asked != "http://files.example/Dockerfile" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}
