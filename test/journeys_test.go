package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the scripts compare with")

// programs is the folder of the programs under test, built once for all tests
// of this package.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	programs = dir
	before, err := machine()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	left, err := before.leftNow()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if len(left) > 0 {
		fmt.Fprintf(os.Stderr, "--- FAIL: the tests left behind:\n  %s\n", strings.Join(left, "\n  "))
		return 1
	}
	return code
}

// needEnvironment ends a test where test/env is not up: by a skip on a
// developer's machine, by a failure in CI.
func needEnvironment(t *testing.T) {
	t.Helper()
	if os.Getenv("HULLWRIGHT_TEST_ENV") != "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("the environment is not there: run go run ./test/env exec -- go test ./test")
	}
	t.Skip("needs the environment: go run ./test/env up, then go run ./test/env exec -- go test ./test")
}

// TestJourneys runs every script in journeys/ against the real engine, BuildKit
// and registry. They run one after the other: emulators are the machine's, and
// a journey takes away those that it added.
func TestJourneys(t *testing.T) {
	needEnvironment(t)
	testscript.RunT(serial{t}, testscript.Params{
		Dir:                 "journeys",
		Setup:               journeyEnv,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Deadline:            time.Now().Add(18 * time.Minute),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"repo":           repo,
			"recorder":       startRecorder,
			"ordered":        ordered,
			"start":          start,
			"interrupt":      interrupt,
			"exits":          exits,
			"wait-write":     waitWrite,
			"auth-registry":  startAuthRegistry,
			"one-of":         oneOf,
			"gitserver":      gitserver,
			"actions-cache":  startActionsCache,
			"sbom":           sbom,
			"refuse":         refuse,
			"faulty":         faulty,
			"smalldisk":      smallDisk,
			"buildkitd":      buildkitd,
			"far-buildkitd":  farBuildkitd,
			"kill9":          kill9,
			"ends":           ends,
			"slowly":         slowly,
			"webserver":      webserver,
			"oddfiles":       oddfiles,
			"badname":        badname,
			"badtar":         badtar,
			"manyfiles":      manyFiles,
			"memory":         memory,
			"alive":          alive,
			"finds":          finds,
			"skewed":         skewed,
			"tls-registry":   tlsRegistry,
			"buildkitd-as":   buildkitdAs,
			"bad-emulator":   badEmulator,
			"nothing-left":   nothingLeft,
			"newuser":        newuser,
			"user-left":      userLeft,
			"no-namespaces":  noNamespaces,
			"release":        release,
			"kill-buildkitd": killBuildkitd,
			"box":            box,
			"authority":      authority,
			"far-engine":     farEngine,
			"internet":       startInternet,
		},
	})
}

// serial runs scripts one at a time: testscript would run them in parallel.
type serial struct{ *testing.T }

func (s serial) Parallel() {}

func (s serial) Verbose() bool { return testing.Verbose() }

func (s serial) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(serial{t}) })
}

// passed are the variables of the environment that scripts see.
var passed = []string{
	"DOCKER_HOST", "DOCKER_CONFIG", "HULLWRIGHT_TEST_ENV", "HULLWRIGHT_TEST_REGISTRY", "CI",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "HULLWRIGHT_ENV_DIR", "XDG_CACHE_HOME",
	"HULLWRIGHT_TEST_S3", "HULLWRIGHT_TEST_S3_KEY", "HULLWRIGHT_TEST_AZURE", "HULLWRIGHT_TEST_AZURE_KEY",
}

// journeyEnv gives a script its own store of builders, an account of its own at
// the registry and the programs under test.
func journeyEnv(env *testscript.Env) error {
	for _, key := range passed {
		env.Setenv(key, os.Getenv(key))
	}
	env.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("HULLWRIGHT_BINARY", filepath.Join(programs, "hullwright"))
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	env.Setenv("ROOT", root)
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	store := filepath.Join(env.WorkDir, "buildx")
	env.Setenv("BUILDX_CONFIG", store)
	env.Setenv("REGISTRY", fmt.Sprintf("%s/%s", os.Getenv("HULLWRIGHT_TEST_REGISTRY"), unique()))
	env.Setenv("REGISTRY_HOST", os.Getenv("HULLWRIGHT_TEST_REGISTRY"))
	env.Setenv("RUN", unique())
	if err := os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	env.Defer(func() { undo(env) })
	config, err := os.ReadFile(os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(store, "buildkitd.default.toml"), config, 0o644)
}

// undo tears down what a script that failed left: its state files name it.
func undo(env *testscript.Env) {
	files, _ := filepath.Glob(filepath.Join(env.WorkDir, "*.json")) // the pattern is well formed
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(raw), `"nonce"`) {
			continue
		}
		cmd := exec.Command(filepath.Join(programs, "hullwright"), "teardown", file)
		cmd.Env = env.Vars
		cmd.Dir = env.WorkDir
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "teardown of %s: %v\n%s", file, err, out)
		}
	}
}

var started = time.Now()

// unique is a name that no other run of the tests uses.
func unique() string {
	return fmt.Sprintf("t%x", time.Since(started).Nanoseconds()+started.UnixNano())
}
