package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// testLab is a lab without a builder.
func testLab(t *testing.T) *lab {
	t.Helper()
	return &lab{n: 1, out: io.Discard, bin: "/bin", dir: t.TempDir(), env: os.Environ(), builder: "b"}
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		stderr  string
	}{
		{"unknown row", []string{"-only", "size,sise"}, nil, errdefs.ExitBadInput, `unknown row "sise"`},
		{"no runs", []string{"-n", "0"}, nil, errdefs.ExitBadInput, "0 runs have no median"},
		{"unknown flag", []string{"-fast"}, nil, errdefs.ExitBadInput, "-fast"},
		{"argument", []string{"size"}, nil, errdefs.ExitBadInput, `unexpected argument "size"`},
		{"outside", nil, nil, errdefs.ExitEnvironment, "hint: make bench"},
		{"nothing built", []string{"-bin", "testdata"}, []string{"HULLWRIGHT_TEST_ENV=1"}, errdefs.ExitEnvironment, "hint: make build"},
		{"help", []string{"-h"}, nil, errdefs.ExitDone, "-strict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tt.args, tt.environ, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, &stderr)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stderr %q, want %q in it", &stderr, tt.stderr)
			}
		})
	}
}

func TestStrict(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"hullwright", "metadata"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
		// A hole costs no disk.
		if err := os.Truncate(filepath.Join(bin, name), 13e6); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"-bin", bin, "-only", "size"}, errdefs.ExitDone},
		{[]string{"-bin", bin, "-only", "size", "-strict"}, errdefs.ExitBuild},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(tt.args, []string{"HULLWRIGHT_TEST_ENV=1"}, &stdout, &stderr); code != tt.code {
			t.Errorf("%v: exit code %d, want %d; %s", tt.args, code, tt.code, &stderr)
		}
		if !strings.Contains(stdout.String(), "size of metadata    13.0 MB  -     -      <= 12.0 MB  over") {
			t.Errorf("%v: no line for metadata, which is over:\n%s", tt.args, &stdout)
		}
	}
}

func TestAlternate(t *testing.T) {
	var order []string
	fake := func(name string) contender {
		return contender{name, func(context.Context) (sample, error) {
			order = append(order, name)
			return sample{wall: time.Duration(len(order))}, nil
		}}
	}
	samples, err := alternate(t.Context(), testLab(t), 2, fake("a"), fake("b"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "a", "b", "a", "b"}, order); diff != "" {
		t.Errorf("order: %s", diff)
	}
	want := [][]sample{{{wall: 3}, {wall: 5}}, {{wall: 4}, {wall: 6}}}
	if diff := cmp.Diff(want, samples, cmp.AllowUnexported(sample{})); diff != "" {
		t.Errorf("samples without the warm-up: %s", diff)
	}
}

func TestAlternateStopsAtFailure(t *testing.T) {
	broken := errors.New("broken")
	_, err := alternate(t.Context(), testLab(t), 2, contender{"a", func(context.Context) (sample, error) { return sample{}, broken }})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "a: ") {
		t.Errorf("error %v, want a's", err)
	}
}

func TestSample(t *testing.T) {
	l := testLab(t)
	s, err := l.run(t.Context(), command{args: []string{"sleep", "0.05"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.wall < 50*time.Millisecond || s.wall > 5*time.Second {
		t.Errorf("sleep 0.05 took %s", s.wall)
	}
	if s.peak < 1<<18 || s.peak > 1<<30 {
		t.Errorf("sleep had %d bytes", s.peak)
	}
}

func TestSampleFails(t *testing.T) {
	_, err := testLab(t).run(t.Context(), command{args: []string{"ls", "/no/such/place"}})
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("error %v, want one of the environment with what ls printed", err)
	}
}

func TestSampleEndsInTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := testLab(t).run(ctx, command{args: []string{"sleep", "60"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestCloseGoesOn(t *testing.T) {
	l := testLab(t)
	var order []int
	for i := range 3 {
		l.later(func() error {
			order = append(order, i)
			return errors.New("no")
		})
	}
	if err := l.close(); err == nil {
		t.Error("no error of three that failed")
	}
	if diff := cmp.Diff([]int{2, 1, 0}, order); diff != "" {
		t.Errorf("order: %s", diff)
	}
	if err := l.close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// A daemon that ends by itself is reported at once with its log, and one that
// runs is gone after close.
func TestDaemon(t *testing.T) {
	l := testLab(t)
	err := l.start(t.Context(), "http://127.0.0.1:1/", "ls", "/no/such/place")
	if err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("error %v, want one with the log", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.start(ctx, "http://127.0.0.1:1/", "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	start := time.Now()
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("sleep took %s to end: SIGTERM should do", d)
	}
}

// The three programs are asked for the same.
func TestCommands(t *testing.T) {
	l := testLab(t)
	b := build{context: "/src", platforms: "linux/amd64", references: []string{"r/a:1", "r/a:2"}, args: []string{"A=1", "B=2"}}
	want := map[string]string{
		"hullwright": "/bin/hullwright|build-push|--builder|b|--push=true|--platforms|linux/amd64|--provenance=mode=min,inline-only=true|--tags|r/a:1\nr/a:2|--build-args|A=1\nB=2|/src",
		"buildx":     "buildx|build|--builder|b|--push|--platform|linux/amd64|--attest|type=provenance,mode=min,inline-only=true|--tag|r/a:1|--tag|r/a:2|--build-arg|A=1|--build-arg|B=2|/src",
		"buildctl": "buildctl|--addr|docker-container://buildx_buildkit_b0|build|--frontend|dockerfile.v0|--local|context=/src|--local|dockerfile=/src|" +
			"--opt|platform=linux/amd64|--opt|attest:provenance=mode=min,inline-only=true|--output|type=image,\"name=r/a:1,r/a:2\",push=true|--opt|build-arg:A=1|--opt|build-arg:B=2",
	}
	for name, c := range map[string]command{"hullwright": l.hullwright(b), "buildx": l.buildx(b), "buildctl": l.buildctl(b)} {
		if diff := cmp.Diff(want[name], strings.Join(c.args, "|")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTwentyTags(t *testing.T) {
	tags := twentyTags("r/a")
	slices.Sort(tags)
	if n := len(slices.Compact(tags)); n != 20 {
		t.Errorf("%d different tags, want 20: %v", n, tags)
	}
}

func TestMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(path, []byte("MemFree:  1 kB\nMemTotal:       16777216 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := memoryOf(path), "16.0 GiB"; got != want {
		t.Errorf("memory %q, want %q", got, want)
	}
	if got, want := memoryOf("/no/such/file"), "? GiB"; got != want {
		t.Errorf("memory %q, want %q", got, want)
	}
	if got, want := word(path), "MemFree:"; got != want {
		t.Errorf("word %q, want %q", got, want)
	}
}

// TestLinks holds that a link is as slow as it says, by a real toxiproxy where
// the tests' environment has one.
func TestLinks(t *testing.T) {
	if os.Getenv("HULLWRIGHT_TEST_ENV") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no test environment in CI: go run ./test/env exec -- go test ./test/bench")
		}
		t.Skip("no test environment: go run ./test/env exec -- go test ./test/bench")
	}
	if _, err := exec.LookPath("toxiproxy-server"); err != nil {
		t.Fatal(err)
	}
	l := testLab(t)
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	registry, err := l.startRegistry(t.Context(), "registry")
	if err := errors.Join(err, l.upLinks(t.Context())); err != nil {
		t.Fatal(err)
	}
	far, err := l.links.open(t.Context(), "far", registry, toxic{Type: "latency", Attributes: map[string]int{"latency": 100}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := get(t.Context(), "http://"+far+"/v2/"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 100*time.Millisecond || d > 3*time.Second {
		t.Errorf("a request through a link of 100 ms took %s", d)
	}
	if _, err := l.links.open(t.Context(), "far", registry, toxic{Type: "latency"}); err == nil {
		t.Error("two links of one name")
	}
}
