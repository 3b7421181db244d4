package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// block is a fenced block of a Markdown file.
type block struct {
	line     int // of its fence
	language string
	text     []string
	above    string // the last line of text before it
}

func blocks(t *testing.T, path string) []block {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	var found []block
	var open *block
	above := ""
	for i, line := range strings.Split(string(raw), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{line: i + 1, language: fence, above: above}
		case isFence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text = append(open.text, line)
		case strings.TrimSpace(line) != "":
			above = line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a fence that is not closed", path, open.line)
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// TestReadmeBlocks holds what README.md shows of a CI system against the file
// that it names above the block, which other tests run. Shell is run by
// TestReadmeShell. Nothing else may be shown.
func TestReadmeBlocks(t *testing.T) {
	shown := map[string]bool{}
	for _, b := range blocks(t, "../README.md") {
		switch b.language {
		case "sh":
		case "yaml", "groovy":
			links := link.FindAllStringSubmatch(b.above, -1)
			if len(links) == 0 {
				t.Errorf("README.md:%d: the line above links to no file that the block is of", b.line)
				continue
			}
			path := links[len(links)-1][1]
			raw, err := os.ReadFile(filepath.Join("..", path))
			check(t, err)
			if !excerpt(strings.Split(string(raw), "\n"), b.text) {
				t.Errorf("README.md:%d: the block is no excerpt of %s", b.line, path)
			}
			shown[path] = true
		default:
			t.Errorf("README.md:%d: a block of language %q, which no test covers", b.line, b.language)
		}
	}
	for _, path := range []string{".github/workflows/release.yml", "examples/gitlab-ci.yml", "examples/Jenkinsfile"} {
		if !shown[path] {
			t.Errorf("README.md shows nothing of %s", path)
		}
	}
}

// excerpt is whether part stands in whole, line after line, at any indentation.
func excerpt(whole, part []string) bool {
	for start := range whole {
		indent, ok := strings.CutSuffix(whole[start], part[0])
		if !ok || strings.TrimLeft(indent, " ") != "" || len(whole)-start < len(part) {
			continue
		}
		same := func(a, b string) bool { return a == b || b != "" && a == indent+b }
		if slices.EqualFunc(whole[start:start+len(part)], part, same) {
			return true
		}
	}
	return false
}

// TestReadmeLinks checks that README.md links to files that are there.
func TestReadmeLinks(t *testing.T) {
	raw, err := os.ReadFile("../README.md")
	check(t, err)
	links := link.FindAllStringSubmatch(string(raw), -1)
	if len(links) < 5 {
		t.Fatalf("found %d links", len(links))
	}
	for _, l := range links {
		if _, err := os.Stat(filepath.Join("..", l[1])); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
}

// TestReadmeShell runs README.md's shell blocks, one after the other, in a
// checkout with a small Dockerfile. registry.example is the local registry.
func TestReadmeShell(t *testing.T) {
	w := newWorkspace(t, "testdata/readme", "https://git.example/acme/app.git")
	ran := 0
	for _, b := range blocks(t, "../README.md") {
		if b.language != "sh" {
			continue
		}
		script := strings.ReplaceAll(strings.Join(b.text, "\n"), "registry.example", w.registry)
		got := w.run(t, command{
			argv:   []string{"sh", "-e", "-c", script},
			within: 6 * time.Minute,
		})
		if got.code != 0 {
			t.Fatalf("README.md:%d: exit code %d\n%s", b.line, got.code, got.out)
		}
		ran++
	}
	if ran != 4 {
		t.Errorf("ran %d blocks, want 4", ran)
	}
	both := []string{"linux/amd64", "linux/arm64"}
	for tag, platforms := range map[string][]string{"main": both, "rc": both, "1.4.2": {"linux/amd64"}} {
		ref := w.registry + "/app:" + tag
		if diff := unequal(w.platforms(t, ref), platforms); diff != "" {
			t.Errorf("platforms of %s: %s", ref, diff)
		}
	}
	gone(t, "work")
}

// TestJenkinsfile runs the Jenkinsfile's shell step as Jenkins does, by sh -xe
// in a detached checkout, with the environment of a multibranch build. Jenkins
// itself can't be had from a package registry.
func TestJenkinsfile(t *testing.T) {
	raw, err := os.ReadFile("../examples/Jenkinsfile")
	check(t, err)
	step := regexp.MustCompile(`(?s)sh '''\n(.*?)'''`).FindSubmatch(raw)
	if step == nil {
		t.Fatal("the Jenkinsfile has no sh step")
	}
	// Groovy joins lines that end with a backslash.
	script := strings.ReplaceAll(string(step[1]), "\\\n", "")
	archived := regexp.MustCompile(`archiveArtifacts '([^']+)'`).FindSubmatch(raw)
	if archived == nil {
		t.Fatal("the Jenkinsfile archives nothing")
	}

	w := newWorkspace(t, "", "https://git.example/acme/app.git")
	w.git(t, "update-ref", "refs/remotes/origin/main", w.sha)
	w.git(t, "checkout", "--quiet", "--detach")
	w.git(t, "branch", "--delete", "--force", "--quiet", "main")
	w.run(t, command{
		argv: []string{"sh", "-xe", "-c", script},
		environ: append(recordedEnv(t, "testdata/jenkins/branch.env"),
			"GIT_COMMIT="+w.sha, "WORKSPACE="+w.dir, "WORKSPACE_TMP="+w.tmp, "REGISTRY="+w.registry),
		within: 6 * time.Minute,
	}).ok(t)

	digest := w.holds(t, w.registry+"/app", []string{"build-7", "sha-" + w.sha[:7]}, []string{"linux/amd64", "linux/arm64"})
	if outputs := readOutputs(t, filepath.Join(w.dir, string(archived[1]))); outputs["digest"] != digest {
		t.Errorf("%s has the digest %q, want %s", archived[1], outputs["digest"], digest)
	}
}

// recordedEnv reads KEY=value lines; those that begin with # are left out.
func recordedEnv(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	var environ []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			environ = append(environ, line)
		}
	}
	return environ
}

// workflows are all workflow files of this tree, those of tests too.
func workflows(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../.github/workflows/*.yml", "testdata/act/workflows/*.yml"} {
		found, err := filepath.Glob(pattern)
		check(t, err)
		if len(found) == 0 {
			t.Fatalf("no file is %s", pattern)
		}
		files = append(files, found...)
	}
	return files
}

// TestActionlint lints the workflows.
func TestActionlint(t *testing.T) {
	w := newWorkspace(t, "", "https://git.example/acme/app.git")
	argv := []string{"actionlint", "-oneline", "-no-color"}
	for _, file := range workflows(t) {
		path, err := filepath.Abs(file)
		check(t, err)
		argv = append(argv, path)
	}
	w.run(t, command{argv: argv, within: time.Minute}).ok(t)

	bad := filepath.Join(w.dir, "bad.yml")
	check(t, os.WriteFile(bad, []byte("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing.here }}\n"), 0o644))
	if got := w.run(t, command{argv: []string{"actionlint", bad}, within: time.Minute}); got.code != 1 {
		t.Errorf("a bad workflow: exit code %d, want 1\n%s", got.code, got.out)
	}
}

// TestInputs checks that workflows give our actions no input that they do not
// have, and read no output: a runner takes both for blank, and warns at most.
func TestInputs(t *testing.T) {
	checked := 0
	for _, file := range workflows(t) {
		var workflow struct {
			Jobs map[string]struct {
				Steps []struct {
					ID, Uses string
					With     map[string]any
				}
			}
		}
		raw := readYAML(t, file, &workflow)
		for name, job := range workflow.Jobs {
			for _, step := range job.Steps {
				ours, ok := strings.CutPrefix(step.Uses, "hullwright/hullwright")
				if !ok {
					continue
				}
				folder, _, _ := strings.Cut(ours, "@")
				var action struct{ Inputs, Outputs map[string]any }
				readYAML(t, filepath.Join("..", folder, "action.yml"), &action)
				for input := range step.With {
					if _, ok := action.Inputs[input]; !ok {
						t.Errorf("%s: job %s gives %s the input %s, which it does not have", file, name, step.Uses, input)
					}
				}
				for _, m := range regexp.MustCompile(`steps\.`+step.ID+`\.outputs\.([\w-]+)`).FindAllSubmatch(raw, -1) {
					if _, ok := action.Outputs[string(m[1])]; step.ID != "" && !ok {
						t.Errorf("%s: job %s reads of %s the output %s, which it does not have", file, name, step.Uses, m[1])
					}
				}
				checked++
			}
		}
	}
	if checked == 0 {
		t.Error("found no step of ours")
	}
}

func readYAML(t *testing.T, path string, into any) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	if err := yaml.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return raw
}

var (
	usesLine = regexp.MustCompile(`^\s*(?:- )?uses:\s*['"]?([^\s'"#]+)`)
	pinned   = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	own      = regexp.MustCompile(`^(\./|hullwright/hullwright(/[a-z-]+)?@v1$)`)
)

// TestPinned checks that workflows and actions use nothing of others but by a
// commit's full hash.
func TestPinned(t *testing.T) {
	files := workflows(t)
	for _, pattern := range []string{"../action.yml", "../*/action.yml"} {
		found, err := filepath.Glob(pattern)
		check(t, err)
		files = append(files, found...)
	}
	checked := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		check(t, err)
		for i, line := range strings.Split(string(raw), "\n") {
			m := usesLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			checked++
			if !own.MatchString(m[1]) && !pinned.MatchString(m[1]) {
				t.Errorf("%s:%d: %s is not pinned by a commit's hash", file, i+1, m[1])
			}
		}
	}
	if checked == 0 {
		t.Error("found no uses: line")
	}
}
