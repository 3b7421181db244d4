package setup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/setup"
	"github.com/hullwright/hullwright/internal/cmd/teardown"
)

// world is a process's surroundings for a command.
type world struct {
	t       *testing.T
	dir     string
	environ map[string]string
	stderr  bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hw") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, environ: map[string]string{}}
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); !strings.HasPrefix(k, "GITHUB_") && !strings.HasPrefix(k, "CI") {
			w.environ[k] = v
		}
	}
	w.environ["TMPDIR"] = filepath.Join(dir, "tmp")
	w.environ["BUILDX_CONFIG"] = filepath.Join(dir, "buildx")
	for _, d := range []string{"tmp", "buildx"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	delete(w.environ, "RUNNER_TEMP")
	return w
}

// run runs a command and gives its exit code and outputs.
func (w *world) run(args ...string) (int, map[string]string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	w.stderr.Reset()
	file := filepath.Join(w.dir, "outputs.json")
	os.Remove(file)
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: new(bytes.Buffer), Stderr: &w.stderr,
		Environ: w.environ, Dir: w.dir, Now: time.Now,
	}
	args = append(args, "--outputs-file", file)
	code := cli.Run(ctx, env, "hullwright", []cli.Verb{setup.Verb(), teardown.Verb()}, args)
	w.t.Logf("%s: %d\n%s", strings.Join(args, " "), code, w.stderr.String())
	outputs := map[string]string{}
	if raw, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(raw, &outputs); err != nil {
			w.t.Fatal(err)
		}
	}
	return code, outputs
}

// nothingLeft fails where a file is left of a setup.
func (w *world) nothingLeft() {
	w.t.Helper()
	for _, pattern := range []string{"tmp/*", "buildx/instances/*", "buildx/current"} {
		if found, _ := filepath.Glob(filepath.Join(w.dir, pattern)); len(found) > 0 {
			w.t.Errorf("left behind: %s", found)
		}
	}
}

func TestBadInput(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"all at once": {
			args: []string{"--platforms", "linux/amd46,plan10/arm", "--driver-opts", "network"},
			want: []string{`input "platforms" line 1: unknown platform "linux/amd46"`, "did you mean linux/amd64?", `input "platforms" line 2`, `input "driver-opts" line 1: "network" is not key=value`},
		},
		"a name": {
			args: []string{"--driver", "process", "--name", "../x"},
			want: []string{`input "name": "../x" is no builder name`},
		},
		"a name that is code": {
			args: []string{"--driver", "process", "--name", "; docker rm -f $(docker ps -aq)"},
			want: []string{"is no builder name"},
		},
		"a buildkitd": {
			args: []string{"--driver", "process", "--buildkitd", "missing"},
			want: []string{`input "buildkitd": `, "missing is no program that can be run"},
		},
		"a configuration": {
			args: []string{"--driver", "process", "--buildkitd-config-inline", "[registry"},
			want: []string{`input "buildkitd-config-inline": no TOML`},
		},
		"an option of the driver": {
			args: []string{"--driver", "process", "--driver-opts", "memory=1g"},
			want: []string{`option "memory" does not apply to driver process`},
		},
		"an endpoint": {
			args: []string{"--endpoint", "nowhere"},
			want: []string{`input "endpoint": "nowhere" is neither an address nor a docker context`},
		},
		"keep-state": {
			args: []string{"--driver", "process", "--keep-state", "--buildkitd", "/bin/true"},
			want: []string{`input "keep-state": the builder has no name by which it would be found again`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if code, _ := w.run(append([]string{"setup"}, tt.args...)...); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range tt.want {
				if !strings.Contains(w.stderr.String(), want) {
					t.Errorf("stderr lacks %q", want)
				}
			}
			w.nothingLeft()
		})
	}
}

func TestNoEngine(t *testing.T) {
	w := newWorld(t)
	w.environ["DOCKER_HOST"] = "unix://" + filepath.Join(w.dir, "none.sock")
	if code, _ := w.run("setup", "--driver", "docker-container"); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if !strings.Contains(w.stderr.String(), "use the process driver, which needs none") {
		t.Error("stderr lacks the next move")
	}
	w.nothingLeft()
}

func TestBrokenBuildkitd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's buildkitd needs rootlesskit and ranges of ids")
	}
	w := newWorld(t)
	program := filepath.Join(w.dir, "buildkitd")
	script := "#!/bin/sh\necho could not find the frobnicator >&2\nexit 7\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "runc"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w.environ["PATH"] = w.dir
	if code, _ := w.run("setup", "--driver", "process", "--use"); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if !strings.Contains(w.stderr.String(), "could not find the frobnicator") {
		t.Error("stderr lacks the daemon's own words")
	}
	w.nothingLeft()
}

func TestTeardownBadInput(t *testing.T) {
	w := newWorld(t)
	garbled := filepath.Join(w.dir, "garbled.json")
	if err := os.WriteFile(garbled, []byte(`{"version":1,"nonce":"0","made":[{"kind":"directory","id":"/"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing given": {nil, 2, `input "state": missing`},
		"garbled":       {[]string{garbled}, 2, "is no state file that this version wrote"},
		"gone":          {[]string{filepath.Join(w.dir, "none")}, 0, "so all is undone"},
		"no builder":    {[]string{"--name", "nobody"}, 2, "no such builder"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if code, _ := w.run(append([]string{"teardown"}, tt.args...)...); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(w.stderr.String(), tt.want) {
				t.Errorf("stderr lacks %q", tt.want)
			}
		})
	}
}

func TestRealSetupAndTeardown(t *testing.T) {
	if os.Getenv("HULLWRIGHT_TEST_ENV") != "1" {
		if os.Getenv("CI") == "true" {
			t.Fatal("the real environment is missing: go run ./test/env up, then go run ./test/env exec -- go test ./...")
		}
		t.Skip("needs the real environment: go run ./test/env exec -- go test ./internal/cmd/setup")
	}
	for _, driver := range []string{"docker-container", "process"} {
		t.Run(driver, func(t *testing.T) {
			w := newWorld(t)
			options := []string{"--driver-opts", "network=host"}
			name := "v" + filepath.Base(w.dir)
			args := append([]string{"setup", "--driver", driver, "--name", name, "--platforms", "linux/amd64,linux/arm64"}, options...)
			code, outputs := w.run(args...)
			if code != 0 {
				t.Fatal("setup failed")
			}
			if outputs["driver"] != driver || outputs["name"] != strings.ToLower(name) || outputs["status"] != "running" ||
				!strings.Contains(outputs["platforms"], "linux/arm64") || !json.Valid([]byte(outputs["nodes"])) {
				t.Errorf("outputs %v", outputs)
			}
			if _, err := os.Stat(outputs["state"]); err != nil {
				t.Error(err)
			}
			if code, _ := w.run("teardown", "--name", name); code != 0 {
				t.Error("teardown failed")
			}
			w.nothingLeft()
			if code, _ := w.run("teardown", outputs["state"]); code != 0 {
				t.Error("a second teardown failed")
			}
		})
	}
}

// TestStateSaved has GitHub's runner, whose clean-up step must know the state
// file before anything is made.
func TestStateSaved(t *testing.T) {
	for cleanup, want := range map[string]bool{"true": true, "false": false} {
		t.Run(cleanup, func(t *testing.T) {
			w := newWorld(t)
			state := filepath.Join(w.dir, "github-state")
			for _, f := range []string{"github-state", "github-output", "github-env"} {
				if err := os.WriteFile(filepath.Join(w.dir, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.environ["GITHUB_ACTIONS"] = "true"
			w.environ["GITHUB_STATE"] = state
			w.environ["GITHUB_OUTPUT"] = filepath.Join(w.dir, "github-output")
			w.environ["GITHUB_ENV"] = filepath.Join(w.dir, "github-env")
			w.environ["DOCKER_HOST"] = "unix://" + filepath.Join(w.dir, "none.sock")
			w.environ["INPUT_CLEANUP"] = cleanup
			if code, _ := w.run("setup", "--driver", "docker-container"); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			raw, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(raw), "hullwright-state") && strings.Contains(string(raw), "state.json"); got != want {
				t.Errorf("saved %q", raw)
			}
			w.nothingLeft()
		})
	}
}
