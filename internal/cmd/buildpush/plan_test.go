package buildpush

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/cli"
)

// repository is a git repository with a Dockerfile, whose one commit is v1.4.2
// and v2.0.0, and checked out as the former.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "Dockerfile"},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message=first"},
		{"tag", "v2.0.0"},
		{"tag", "v1.4.2"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// plan is what build-push --plan prints for a push of the tag v1.4.2.
func plan(t *testing.T, dir string, args ...string) builder.Plan {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{
		Stdout: &stdout, Stderr: &stderr, Dir: dir, Now: time.Now,
		Environ: map[string]string{
			"PATH": os.Getenv("PATH"), "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1.4.2",
			"GITHUB_SHA": "860c1904a1ce19322e91ac35af1ab07466440c37", "GITHUB_REPOSITORY": "acme/app", "GITHUB_SERVER_URL": "https://github.com",
		},
	}
	args = append([]string{"build-push", "--plan", "--images", "registry.example/app", "--tags", "type=semver,pattern={{version}}"}, args...)
	if code := cli.Run(context.Background(), env, "hullwright", []cli.Verb{Verb()}, append(args, ".")); code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	var p builder.Plan
	if err := json.Unmarshal(stdout.Bytes(), &p); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	return p
}

// The whole job has metadata's switches: latest does not move back.
func TestPlanDerives(t *testing.T) {
	dir := repository(t)
	version := builder.ReleaseStep{Rank: 0, Tags: []string{"registry.example/app:1.4.2"}}
	latest := builder.ReleaseStep{Rank: 3, Tags: []string{"registry.example/app:latest"}}
	got := plan(t, dir)
	if diff := cmp.Diff([]builder.ReleaseStep{version, latest}, got.Release); diff != "" {
		t.Error(diff)
	}
	if v := got.Solves[0].FrontendAttrs["label:org.opencontainers.image.version"]; v != "1.4.2" {
		t.Errorf("the version's label is %q", v)
	}
	if diff := cmp.Diff([]builder.ReleaseStep{version}, plan(t, dir, "--guard-latest", "git").Release); diff != "" {
		t.Error(diff)
	}
}

// planOf is what --plan prints.
func planOf(t *testing.T, dir string, environ map[string]string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Stdout: &stdout, Stderr: &stderr, Dir: dir, Now: time.Now, Environ: map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir}}
	maps.Copy(env.Environ, environ)
	if code := cli.Run(context.Background(), env, "hullwright", []cli.Verb{Verb()}, append([]string{"build-push", "--plan"}, args...)); code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	return stdout.String()
}

// TestPlanCases walks testdata/plan: a command line, an environment and files,
// and what --plan prints for them, or which faults are told.
func TestPlanCases(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runPlanCase(t, archive)
			if *update {
				if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(got))); diff != "" {
				t.Errorf("(-want +got), -update rewrites:\n%s", diff)
			}
		})
	}
}

var update = flag.Bool("update", false, "rewrite golden files")

// runPlanCase gives the case with what was printed now.
func runPlanCase(t *testing.T, archive *txtar.Archive) *txtar.Archive {
	dir := filepath.Join(t.TempDir(), "src")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	got := &txtar.Archive{Comment: archive.Comment}
	environ := map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir}
	var args []string
	for _, f := range archive.Files {
		switch f.Name {
		case "stdout", "stderr":
			continue
		case "args":
			args = strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
		case "env":
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				environ[name] = strings.ReplaceAll(value, `\n`, "\n")
			}
		default:
			path := filepath.Join(dir, f.Name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.Data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		got.Files = append(got.Files, f)
	}
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Stdout: &stdout, Stderr: &stderr, Environ: environ, Dir: dir, Now: time.Now}
	cli.Run(context.Background(), env, "hullwright", []cli.Verb{Verb()}, append([]string{"build-push", "--plan"}, args...))
	for name, out := range map[string]*bytes.Buffer{"stdout": &stdout, "stderr": &stderr} {
		if out.Len() > 0 {
			data := bytes.ReplaceAll(out.Bytes(), []byte(dir), []byte("/src"))
			got.Files = append(got.Files, txtar.File{Name: name, Data: pathHash.ReplaceAll(data, []byte("HASH"))})
		}
	}
	slices.SortStableFunc(got.Files, func(a, b txtar.File) int { return cmpOutput(a.Name) - cmpOutput(b.Name) })
	return got
}

// pathHash is the id of an OCI layout's store, or the end of a shared key: both follow
// from a path.
var pathHash = regexp.MustCompile(`\b([0-9a-f]{24}|[0-9a-f]{16})\b`)

// cmpOutput puts what was printed after what was given.
func cmpOutput(name string) int {
	return slices.Index([]string{"stdout", "stderr"}, name)
}
