// Package shim tests the scripts with which GitHub's runners start hullwright,
// by running them with node.
package shim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echo is a program that tells how it was started. It is longer than what a
// network hands over in one piece.
var echo = "#!/bin/sh\necho \"ran $*, images=$(printenv INPUT_IMAGES)\"\nexit ${CODE:-0}\n" + strings.Repeat("# more\n", 1<<16)

// place is a tree with the scripts and nothing else, and a runner's folders.
type place struct {
	t     *testing.T
	dir   string
	cache string
	env   []string
}

// newPlace copies the scripts beside a checksums.json for version (none where
// it is empty) of a program with the given text.
func newPlace(t *testing.T, version, program string) *place {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs node: ", err)
	}
	dir := t.TempDir()
	p := &place{t: t, dir: dir, cache: filepath.Join(dir, "cache")}
	p.env = []string{"PATH=" + os.Getenv("PATH"), "RUNNER_TOOL_CACHE=" + p.cache, "GITHUB_STATE=" + filepath.Join(dir, "state")}
	scripts, err := filepath.Glob("*.js")
	if err != nil || len(scripts) != 8 {
		t.Fatalf("scripts %v, error %v, want action.js and seven that call it", scripts, err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p.write("shim/"+name, string(text), 0o644)
	}
	sum := sha256.Sum256([]byte(program))
	pins := map[string]any{"version": version, "sha256": map[string]string{}}
	if version != "" {
		pins["sha256"] = map[string]string{asset("hullwright"): hex.EncodeToString(sum[:]), asset("metadata"): hex.EncodeToString(sum[:])}
	}
	raw, err := json.Marshal(pins)
	if err != nil {
		t.Fatal(err)
	}
	p.write("shim/checksums.json", string(raw), 0o644)
	return p
}

func asset(name string) string { return name + "-" + runtime.GOOS + "-" + runtime.GOARCH }

// cached is where a downloaded program of version 1.2.3 is kept.
func (p *place) cached(name string) string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return filepath.Join("cache", "hullwright", "1.2.3", arch, name)
}

func (p *place) write(name, text string, mode os.FileMode) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// run runs a script with more environment, and gives all that it printed and
// its exit code.
func (p *place) run(script string, env ...string) (string, int) {
	p.t.Helper()
	cmd := p.command(script, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (p *place) command(script string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), "node", filepath.Join("shim", script))
	cmd.Dir = p.dir
	cmd.Env = append(append([]string{}, p.env...), env...)
	return cmd
}

// check runs a script and compares its exit code and parts of what it printed.
func (p *place) check(script string, code int, want []string, env ...string) {
	p.t.Helper()
	out, got := p.run(script, env...)
	if got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			p.t.Errorf("it did not print %q", w)
		}
	}
	if code != 0 && code < 5 && strings.Contains(out, "ran ") {
		p.t.Error("the program was run")
	}
	if p.t.Failed() {
		p.t.Logf("it printed:\n%s", out)
	}
}

func TestOwnProgram(t *testing.T) {
	p := newPlace(t, "", "")
	p.write("own/tool", echo, 0o755)
	p.write("own/metadata", echo, 0o755)
	p.write("own/plain", "text", 0o644)
	ran := []string{"ran setup, images=a b"}
	p.check("setup.js", 0, ran, "INPUT_BINARY= own/tool\n", "INPUT_IMAGES=a b", "HULLWRIGHT_BINARY=/no/such/file")
	p.check("setup.js", 0, ran, "HULLWRIGHT_BINARY="+filepath.Join(p.dir, "own/tool"), "INPUT_IMAGES=a b", "INPUT_BINARY=")
	p.check("build-push.js", 41, []string{"ran build-push,"}, "INPUT_BINARY=own/tool", "CODE=41")
	p.check("metadata.js", 0, []string{"ran metadata,"}, "INPUT_BINARY=own/tool")
	p.check("metadata.js", 0, []string{"ran , images"}, "INPUT_BINARY=own/metadata")
	p.check("setup.js", 2, []string{`error: input "binary": no file own/none`, "hint:", "::error title=hullwright::"}, "INPUT_BINARY=own/none")
	p.check("setup.js", 2, []string{`error: HULLWRIGHT_BINARY: no file none`}, "HULLWRIGHT_BINARY=none")
	p.check("setup.js", 3, []string{"error: start ", "EACCES"}, "INPUT_BINARY=own/plain")
	p.check("setup.js", 3, []string{"pins no release", `hint: use a released version of the action; or build one with "go build`})
}

func TestState(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	tool := p.write("own/tool", echo, 0o755)
	p.check("setup.js", 0, nil, "INPUT_BINARY=own/tool")
	raw, err := os.ReadFile(filepath.Join(p.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "hullwright-binary<<") || lines[1] != tool || "hullwright-binary<<"+lines[2] != lines[0] {
		t.Errorf("state %q, want %s as hullwright-binary", raw, tool)
	}
}

func TestPost(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	tool := p.write("own/tool", echo, 0o755)
	binary := "STATE_hullwright-binary=" + tool
	pin := "STATE_hullwright-pin=" + asset("hullwright")
	state := "STATE_hullwright-state=/run/x y.json"

	if out, code := p.run("post.js", binary); out != "" || code != 0 {
		t.Errorf("without state it printed %q and exited with %d", out, code)
	}
	p.check("post.js", 0, []string{"ran teardown --state /run/x y.json, images=\n"}, binary, state, "INPUT_IMAGES=main's")
	p.check("post.js", 0, []string{"ran teardown --state /run/x y.json,"}, binary, state, pin)
	p.check("post.js", 9, []string{"ran teardown"}, binary, state, "CODE=9")
	// A login is undone by its own state: a setup's says nothing of it.
	if out, code := p.run("logout.js", binary, state); out != "" || code != 0 {
		t.Errorf("logout.js of another's state: code %d, output %q", code, out)
	}
	p.check("logout.js", 0, []string{"ran logout --state /run/l.json, images=\n"}, binary, "STATE_hullwright-login=/run/l.json", "INPUT_IMAGES=main's")
	p.write("own/tool", echo+"# changed\n", 0o755)
	p.check("post.js", 3, []string{"is no longer hullwright 1.2.3", "/run/x y.json"}, binary, state, pin)
}

func TestDownload(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	var mu sync.Mutex
	var seen []string
	requests := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.URL.Path)
		if len(seen) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, echo)
	}))
	t.Cleanup(server.Close)
	template := "INPUT_DOWNLOAD-TEMPLATE=" + server.URL + "/v{version}/{file}"

	p.check("setup.js", 0, []string{"ran setup"}, template)
	want := "/v1.2.3/" + asset("hullwright")
	if got := strings.Join(requests(), " "); got != want+" "+want {
		t.Errorf("requests %s, want two of %s: one was answered 503", got, want)
	}
	state, err := os.ReadFile(filepath.Join(p.dir, "state"))
	if err != nil || !strings.Contains(string(state), "\n"+asset("hullwright")+"\n") {
		t.Errorf("state %q, error %v, want the pin in it", state, err)
	}

	// kept: no request; changed: not run, but fetched again
	p.check("build-push.js", 0, []string{"ran build-push"}, template)
	if got := requests(); len(got) != 2 {
		t.Errorf("requests %v, want no more than before", got)
	}
	p.write(p.cached("hullwright"), "#!/bin/sh\necho evil\n", 0o755)
	p.check("setup.js", 0, []string{"ran setup"}, template)
	if got := requests(); len(got) != 3 {
		t.Errorf("requests %v, want another for the changed program", got)
	}

	p.check("metadata.js", 0, []string{"ran , images="}, template)
	if got := requests()[len(requests())-1]; got != "/v1.2.3/"+asset("metadata") {
		t.Errorf("metadata asked for %s", got)
	}
}

// TestDownloadDeadline has a server hang: all tries together have one limit, which
// here is shortened.
func TestDownloadDeadline(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	short := p.write("short.js", "const real = AbortSignal.timeout;\nAbortSignal.timeout = (ms) => real.call(AbortSignal, ms / 1000);\n", 0o644)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	p.check("setup.js", 3, []string{"error: download " + server.URL, "TimeoutError"}, "INPUT_DOWNLOAD-TEMPLATE="+server.URL, "NODE_OPTIONS=--require="+short)
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests, want one: it had all the time", got)
	}
}

// TestDownloadSweeps leaves no parts of downloads that were killed, and touches
// nothing else.
func TestDownloadSweeps(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, echo) }))
	t.Cleanup(server.Close)
	const id = ".8f14e45f-ceea-467f-9575-2f4e3b1c0a7d"
	old := time.Now().Add(-2 * time.Hour)
	for name, stays := range map[string]bool{"hullwright" + id: false, "hullwright.new" + id: true, "hullwright.bak": true, "metadata" + id: true} {
		path := p.write(p.cached(name), "part", 0o600)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(path); (err == nil) != stays {
				t.Errorf("%s: %v, want that it stays: %v", name, err, stays)
			}
		}()
	}
	under := p.write(p.cached("hullwright"+strings.ReplaceAll(id, "8", "9")), "part", 0o600)
	p.check("setup.js", 0, []string{"ran setup"}, "INPUT_DOWNLOAD-TEMPLATE="+server.URL)
	if _, err := os.Stat(under); err != nil {
		t.Errorf("a download under way: %v", err)
	}
}

// TestCompanion tells the program that builds how to get what evaluates source
// policies, which comes beside it when it asks, and beside no other.
func TestCompanion(t *testing.T) {
	const says = "#!/bin/sh\necho \"ran $*\"\necho \"fetch=$HULLWRIGHT_POLICY_FETCH\"\n"
	p := newPlace(t, "1.2.3", says)
	sum := sha256.Sum256([]byte(says))
	pins, err := json.Marshal(map[string]any{"version": "1.2.3", "sha256": map[string]string{
		asset("hullwright"): hex.EncodeToString(sum[:]), asset("hullwright-policy"): hex.EncodeToString(sum[:]),
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.write("shim/checksums.json", string(pins), 0o644)
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, says)
	}))
	t.Cleanup(server.Close)
	template := "INPUT_DOWNLOAD-TEMPLATE=" + server.URL + "/{file}"
	beside := filepath.Join(p.dir, p.cached("hullwright-policy"))
	there := func() bool { _, err := os.Stat(beside); return err == nil }
	// told is the command that build-push was told.
	told := func() []string {
		t.Helper()
		out, code := p.run("build-push.js", template)
		_, text, _ := strings.Cut(out, "fetch=")
		if text = strings.TrimSpace(text); code != 0 || text == "" {
			return nil
		}
		var argv []string
		if err := json.Unmarshal([]byte(text), &argv); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return argv
	}
	fetch := func(argv []string) (string, error) {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = append(append([]string{}, p.env...), template)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	p.check("setup.js", 0, []string{"ran setup", "fetch=\n"}, template)
	argv := told()
	if there() || argv == nil {
		t.Fatalf("it is there already, or build-push is told nothing: %q", argv)
	}
	down.Store(true)
	if out, err := fetch(argv); err == nil || !strings.Contains(out, "the server answered 404") || there() {
		t.Errorf("%v: %s", err, out)
	}
	down.Store(false)
	if out, err := fetch(argv); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("%v: %s", err, out)
	}
	if info, err := os.Stat(beside); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("%v, %v, want a program at %s", info, err, beside)
	}
	if argv := told(); argv != nil {
		t.Errorf("told %q although it is there", argv)
	}
	p.write(p.cached("hullwright-policy"), "#!/bin/sh\necho evil\n", 0o755)
	if argv := told(); there() || argv == nil {
		t.Error("a changed program is left where it would be run")
	}

	vendored := "bin/" + runtime.GOOS + "-" + runtime.GOARCH + "/hullwright"
	p.write(vendored, says, 0o755)
	if err := os.RemoveAll(p.cache); err != nil {
		t.Fatal(err)
	}
	p.check("build-push.js", 0, []string{"ran build-push", "fetch=\n"})
	p.write(vendored+"-policy", says+"# changed\n", 0o755)
	p.check("build-push.js", 3, []string{vendored + "-policy is not hullwright 1.2.3"})
}

func TestDownloadFaults(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/to-http" {
			http.Redirect(w, r, "http://"+r.URL.Query().Get("host")+"/right", http.StatusFound)
			return
		}
		io.WriteString(w, echo)
	}))
	t.Cleanup(secure.Close)
	var plain *httptest.Server
	plain = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/right":
			io.WriteString(w, echo)
		case "/html":
			io.WriteString(w, "<html>please log in</html>")
		case "/truncated":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, echo)
		case "/short":
			io.WriteString(w, echo[:20])
		case "/to-http":
			http.Redirect(w, r, plain.URL+"/right", http.StatusFound)
		case "/to-https":
			http.Redirect(w, r, secure.URL+"/right", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, secure.URL+"/to-http?host="+r.Host, http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(plain.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		url  string
		code int
		want string
	}{
		"a page":                  {plain.URL + "/html", 3, "its SHA-256 is not the pinned one; it was not run, and is removed"},
		"half of it":              {plain.URL + "/short", 3, "its SHA-256 is not the pinned one"},
		"a connection that broke": {plain.URL + "/truncated", 3, "error: download "},
		"not there":               {plain.URL + "/none", 3, "the server answered 404"},
		"a redirect to http":      {plain.URL + "/to-http", 3, "is no https address"},
		"https that leads away":   {plain.URL + "/loop", 3, "is no https address"},
		"a redirect to https":     {plain.URL + "/to-https", 0, "ran setup"},
		"https":                   {secure.URL + "/right", 0, "ran setup"},
		"http elsewhere":          {"http://192.0.2.1/right", 2, "http://192.0.2.1/right is no https address"},
		"no address":              {"here", 2, "here is no https address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "1.2.3", echo)
			p.check("setup.js", tt.code, []string{tt.want}, "INPUT_DOWNLOAD_TEMPLATE="+tt.url, "NODE_EXTRA_CA_CERTS="+ca)
			left, err := filepath.Glob(filepath.Join(p.dir, filepath.Dir(p.cached("x")), "*"))
			if err != nil || tt.code != 0 && len(left) > 0 {
				t.Errorf("left behind %v, error %v", left, err)
			}
		})
	}
}

func TestVendored(t *testing.T) {
	p := newPlace(t, "1.2.3", echo)
	vendored := "bin/" + runtime.GOOS + "-" + runtime.GOARCH + "/hullwright"
	p.write(vendored, echo, 0o755)
	p.check("setup.js", 0, []string{"ran setup"}, "INPUT_DOWNLOAD-TEMPLATE=http://127.0.0.1:1/x")
	p.write(vendored, echo+"# changed\n", 0o755)
	p.check("setup.js", 3, []string{vendored + " is not hullwright 1.2.3"})
}

// TestSignals cancels as a runner does, with a signal to node alone: the
// program must see it, be given the time that it takes, and say how it ended.
func TestSignals(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "", "")
			p.write("tool", "#!/bin/sh\ntrap 'sleep 0.3; echo cleaned; exit 77' "+name+"\necho ready\nwhile :; do sleep 0.05; done\n", 0o755)
			out, code := p.signalled(signal)
			if code != 77 || out != "ready\ncleaned\n" {
				t.Errorf("it printed %q and exited with %d, want its clean-up and 77", out, code)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		p := newPlace(t, "", "")
		p.write("tool", "#!/bin/sh\nkill -9 $$\n", 0o755)
		p.check("setup.js", 137, nil, "INPUT_BINARY=tool")
	})
	t.Run("untrapped", func(t *testing.T) {
		p := newPlace(t, "", "")
		p.write("tool", "#!/bin/sh\necho ready\nexec sleep 10\n", 0o755)
		if _, code := p.signalled(syscall.SIGTERM); code != 143 {
			t.Errorf("exit code %d, want 143", code)
		}
	})
}

// signalled starts the program "tool", sends node a signal once it is ready,
// and gives what it printed and the exit code.
func (p *place) signalled(signal syscall.Signal) (string, int) {
	p.t.Helper()
	cmd := p.command("setup.js", "INPUT_BINARY=tool")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	var out bytes.Buffer
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if lines.Text() == "ready" {
			if err := cmd.Process.Signal(signal); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}
