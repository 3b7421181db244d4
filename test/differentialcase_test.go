package test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// testCase is one file of differential/.
type testCase struct {
	name     string
	inputs   []given
	warm     []given             // inputs of a build by buildx before both; nil is none
	extra    map[string][]string // arguments of one program only
	environ  []string
	stdin    []byte
	files    []txtar.File
	checkout bool   // the working directory is a git checkout
	served   bool   // $SERVED/repo.git is there
	fails    bool   // the build is to fail, by both
	told     bool   // it is compared which layers were there before
	fresh    bool   // each builds all steps itself, so times are not compared
	stdout   string // text, json or tar: what standard output is compared as; empty is not at all
	differs  []difference
}

// given is a line of an input of build-push-action.
type given struct{ name, value string }

// difference is one that is known and told.
type difference struct {
	path   *regexp.Regexp // of facts
	reason string         // words of docs/compatibility.md
}

var directive = regexp.MustCompile(`^(differs|exit|steps|stdin|stdout|context): (.*)$`)

// readCase reads a case. Its comment says what it is about; lines of these
// forms direct it:
//
//	differs: REGEXP REASON   facts whose path matches may differ; REASON is in docs/compatibility.md
//	exit: fails              both programs have to fail; without it, to succeed
//	steps: told              it is compared which layers are those that "warm" pushed
//	steps: fresh             the same, and layers hold something random or times, which are not compared
//	stdin: tar               standard input is a tar of the files
//	stdout: text|json|tar    standard output is compared
//	context: checkout|served a git checkout, or one at $SERVED/repo.git
//
// A section "inputs" holds name=value lines as of a workflow's "with", a name
// again for a further line of a list. "warm" is the same for a build by buildx
// before, with whose cache both work. "hullwright" and "buildx" hold arguments,
// one a line, that only one of them gets; "env" holds variables of both;
// "stdin" is standard input. All other sections are files of the working
// directory. They should be no other case's: BuildKit takes a layer that it has
// in whichever compression another build wanted.
func readCase(t *testing.T, path string) testCase {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	check(t, err)
	c := testCase{name: strings.TrimSuffix(filepath.Base(path), ".txtar"), extra: map[string][]string{}}
	for _, f := range archive.Files {
		switch f.Name {
		case "inputs":
			c.inputs = givens(t, path, f.Data)
		case "warm":
			c.warm = givens(t, path, f.Data)
		case "hullwright", "buildx":
			c.extra[f.Name] = lines(f.Data)
		case "env":
			c.environ = lines(f.Data)
		case "stdin":
			c.stdin = f.Data
		default:
			c.files = append(c.files, f)
		}
	}
	for _, line := range strings.Split(string(archive.Comment), "\n") {
		if m := directive.FindStringSubmatch(line); m != nil && !c.direct(t, m[1], m[2]) {
			t.Fatalf("%s: unknown direction %q", path, line)
		}
	}
	return c
}

// direct obeys a line of the comment, and says whether it is known.
func (c *testCase) direct(t *testing.T, key, value string) bool {
	t.Helper()
	switch key + ": " + value {
	case "exit: fails":
		c.fails = true
	case "steps: told":
		c.told = true
	case "steps: fresh":
		c.told, c.fresh = true, true
	case "stdin: tar":
		c.stdin = tarOf(t, *c)
	case "stdout: text", "stdout: json", "stdout: tar":
		c.stdout = value
	case "context: checkout":
		c.checkout = true
	case "context: served":
		c.served = true
	default:
		pattern, reason, _ := strings.Cut(value, " ")
		expr, err := regexp.Compile("^(?:" + pattern + ")")
		if key != "differs" || reason == "" || err != nil {
			return false
		}
		c.differs = append(c.differs, difference{path: expr, reason: reason})
	}
	return true
}

func lines(data []byte) []string {
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func givens(t *testing.T, path string, data []byte) []given {
	t.Helper()
	all := []given{}
	for _, line := range lines(data) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q is no name=value", path, line)
		}
		all = append(all, given{name, value})
	}
	return all
}

// fileTime is the time of every file of the case's context. It is the case's own:
// buildx lets BuildKit take a file for that of another directory of the same
// name, if size and time agree.
func (c testCase) fileTime() time.Time {
	return time.Unix(1700000000+int64(crc32.ChecksumIEEE([]byte(c.name))%10_000_000), 0)
}

// write writes the case's files.
func (c testCase) write(t *testing.T, dir string) {
	t.Helper()
	for _, f := range c.files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, f.Data, 0o644))
		check(t, os.Chtimes(path, c.fileTime(), c.fileTime()))
	}
}

// has is whether an input is given, with any of some values where these are.
func has(inputs []given, name string, part string) bool {
	for _, in := range inputs {
		if in.name == name && strings.Contains(in.value, part) {
			return true
		}
	}
	return false
}

// hullwright gives the inputs as a runner does.
func (s *side) hullwright() invocation {
	values := map[string][]string{}
	for _, in := range s.inputs {
		values[in.name] = append(values[in.name], s.expand(in.value))
	}
	run := invocation{argv: []string{"hullwright", "build-push",
		"--outputs-file", s.file("outputs.json"), "--metadata-file", s.file("metadata.json")}}
	run.environ = append(run.environ, "INPUT_BUILDER="+differentialBuilder)
	for name, lines := range values {
		run.environ = append(run.environ, "INPUT_"+strings.ToUpper(name)+"="+strings.Join(lines, "\n"))
	}
	for _, arg := range s.c.extra["hullwright"] {
		run.argv = append(run.argv, s.expand(arg))
	}
	return run
}

// flags are buildx's flags of build-push-action's inputs that need nothing but
// another name.
var flags = map[string]string{
	"add-hosts": "--add-host", "allow": "--allow", "annotations": "--annotation", "attests": "--attest",
	"build-args": "--build-arg", "build-contexts": "--build-context", "cache-from": "--cache-from",
	"cache-to": "--cache-to", "call": "--call", "cgroup-parent": "--cgroup-parent", "file": "--file",
	"labels": "--label", "load": "--load", "network": "--network", "no-cache": "--no-cache",
	"no-cache-filters": "--no-cache-filter", "outputs": "--output", "platforms": "--platform", "pull": "--pull",
	"push": "--push", "shm-size": "--shm-size", "ssh": "--ssh", "tags": "--tag", "target": "--target",
	"ulimit": "--ulimit",
	// Flags of buildx that build-push-action has no input for.
	"resources": "--resource", "policy": "--policy",
}

// commas are the lists that commas separate, too.
var commas = map[string]bool{"add-hosts": true, "allow": true, "no-cache-filters": true, "platforms": true, "ssh": true, "tags": true}

// buildx gives the inputs as build-push-action does: each line of a list is a
// flag. The program is the plugin of docker by itself.
func (s *side) buildx() invocation {
	run := invocation{argv: []string{"buildx", "build", "--builder", differentialBuilder, "--metadata-file", s.file("metadata.json")}}
	// The action asks for no image id where files are exported.
	if !slices.ContainsFunc(s.inputs, exportsFiles) && !has(s.inputs, "call", "") {
		run.argv = append(run.argv, "--iidfile", s.file("iid"))
	}
	place := "."
	for i, in := range s.inputs {
		value := s.expand(in.value)
		switch in.name {
		case "context":
			place = value
		case "provenance", "sbom":
			run.argv = append(run.argv, "--attest", attestFlag(in.name, value))
		case "secrets":
			id, secret, _ := strings.Cut(value, "=")
			path := s.file(fmt.Sprintf("secret-%d", i))
			if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
				panic(err) // the folder is the test's own
			}
			run.argv = append(run.argv, "--secret", "id="+id+",src="+path)
		case "secret-envs":
			id, name, _ := strings.Cut(value, "=")
			run.argv = append(run.argv, "--secret", "id="+id+",env="+name)
		case "secret-files":
			id, path, _ := strings.Cut(value, "=")
			run.argv = append(run.argv, "--secret", "id="+id+",src="+path)
		default:
			flag, ok := flags[in.name]
			if !ok {
				panic("no flag of buildx is known for input " + in.name)
			}
			values := []string{value}
			if commas[in.name] {
				values = strings.Split(value, ",")
			}
			for _, v := range values {
				run.argv = append(run.argv, flag+"="+v)
			}
		}
	}
	for _, arg := range s.c.extra["buildx"] {
		run.argv = append(run.argv, s.expand(arg))
	}
	run.argv = append(run.argv, place)
	return run
}

// exportsFiles is whether an input is an output of type local or tar, which may
// be given as a bare path.
func exportsFiles(in given) bool {
	return in.name == "outputs" && (!strings.Contains(in.value, "=") ||
		strings.Contains(in.value, "type=local") || strings.Contains(in.value, "type=tar"))
}

// attestFlag is what build-push-action makes of its inputs provenance and sbom,
// away from a workflow.
func attestFlag(kind, value string) string {
	switch on, err := strconv.ParseBool(value); {
	case err != nil:
		return "type=" + kind + "," + value
	case on:
		return "type=" + kind
	default:
		return "type=" + kind + ",disabled=true"
	}
}

// file is the path of a file of the side that is not in its working directory.
func (s *side) file(name string) string { return filepath.Join(s.base, name) }

// tarOf is the case's files as a tar.
func tarOf(t *testing.T, c testCase) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range c.files {
		check(t, w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), ModTime: c.fileTime()}))
		_, err := w.Write(f.Data)
		check(t, err)
	}
	check(t, w.Close())
	return buf.Bytes()
}
