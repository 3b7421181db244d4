package test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/opencontainers/go-digest"
)

// facts are what came of a build, by path: "$REPO:x/linux/amd64/config/User".
type facts map[string]string

// found is what came of a side's build, and what the program said.
type found struct {
	facts facts
	said  string
	roles map[string]string // of digests, as hex, that depend on the time of the build
	fresh bool              // so do those of images
}

// build runs a program and finds all that came of it.
func (s *side) build(t *testing.T, run invocation) found {
	t.Helper()
	f := found{facts: facts{}, roles: map[string]string{}, fresh: s.c.fresh}
	spoken := s.run(t, run)
	f.said = spoken.stderr + spoken.stdout
	f.facts["exit"] = "0"
	if spoken.code != 0 {
		f.facts["exit"] = "fails"
	}
	f.stdout(t, s.c.stdout, spoken.stdout)
	f.directory(t, s.work, s.given(t))
	for _, file := range s.c.files {
		if _, err := os.Stat(filepath.Join(s.work, file.Name)); err != nil {
			f.facts["files/"+file.Name] = "gone"
		}
	}
	f.repository(t, s.repo, "$REPO")
	f.repository(t, s.repo+"-mirror", "$MIRROR")
	s.engine(t, &f)
	s.metadata(t, &f)
	s.outputs(t, &f)
	f.normalize(s)
	return f
}

// given are the files that were in the working directory before.
func (s *side) given(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{".git": true}
	for _, file := range s.c.files {
		for name := file.Name; name != "."; name = path.Dir(name) {
			there[name] = true
		}
	}
	return there
}

func (f *found) stdout(t *testing.T, kind, text string) {
	switch kind {
	case "text":
		f.facts["stdout"] = text
	case "json":
		f.json(t, "stdout", []byte(text))
	case "tar":
		if !isTar([]byte(text)) {
			f.facts["stdout"] = text
			return
		}
		f.tar(t, "stdout", []byte(text))
	}
}

// json adds each leaf of a JSON value.
func (f *found) json(t *testing.T, at string, raw []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		f.facts[at] = string(raw)
		return
	}
	f.leaves(at, value)
}

func (f *found) leaves(at string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			f.leaves(at+"/"+key, v)
		}
		if len(value) == 0 {
			f.facts[at] = "{}"
		}
	case []any:
		for i, v := range value {
			f.leaves(fmt.Sprintf("%s/%d", at, i), v)
		}
		if len(value) == 0 {
			f.facts[at] = "[]"
		}
	case string:
		f.facts[at] = value
	default:
		raw, _ := json.Marshal(value) // it was read from JSON
		f.facts[at] = string(raw)
	}
}

// directory adds the files below a directory that were not there before. A
// directory that is an OCI layout is one image.
func (f *found) directory(t *testing.T, root string, given map[string]bool) {
	t.Helper()
	check(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if given[rel] {
			if rel == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := "files/" + rel
		switch {
		case d.IsDir():
			f.facts[at] = info.Mode().String()
			if index, err := os.ReadFile(filepath.Join(file, "index.json")); err == nil {
				f.layout(t, at, index, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(file, name)) })
				return fs.SkipDir
			}
			return nil
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			f.facts[at] = "-> " + target
			return err
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f.file(t, at, fmt.Sprint(info.Mode()), info.ModTime(), raw)
		return nil
	}))
}

// file adds a file by what it holds: a tar is opened, and so is an attestation,
// whose times are not compared.
func (f *found) file(t *testing.T, at, mode string, modified time.Time, raw []byte) {
	t.Helper()
	switch {
	case isTar(raw):
		f.facts[at] = mode
		f.tar(t, at, raw)
	case strings.HasSuffix(at, ".json") && bytes.Contains(raw, []byte("predicateType")):
		f.facts[at] = mode
		f.statement(t, at, raw)
	default:
		f.facts[at] = fmt.Sprintf("%s %d bytes %s of %s", mode, len(raw), digest.FromBytes(raw), modified.UTC().Format(time.RFC3339Nano))
	}
}

func isTar(raw []byte) bool {
	reader, err := compression.DecompressStream(bytes.NewReader(raw))
	if err != nil {
		return false
	}
	defer reader.Close()
	_, err = tar.NewReader(reader).Next()
	return err == nil
}

// tar adds the files of a tar, or the image that it is.
func (f *found) tar(t *testing.T, at string, raw []byte) {
	t.Helper()
	files := map[string][]byte{}
	type entry struct {
		header *tar.Header
		raw    []byte
	}
	var entries []entry
	for header, raw := range untar(t, raw) {
		files[path.Clean(header.Name)] = raw
		entries = append(entries, entry{header, raw})
	}
	if index, ok := files["index.json"]; ok {
		f.layout(t, at, index, func(name string) ([]byte, error) {
			raw, ok := files[name]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return raw, nil
		})
		if docker, ok := files["manifest.json"]; ok {
			f.json(t, at+"/manifest.json", docker)
		}
		return
	}
	for _, e := range entries {
		h := e.header
		mode := fmt.Sprintf("%s %d:%d %s", h.FileInfo().Mode(), h.Uid, h.Gid, h.Linkname)
		if h.Typeflag != tar.TypeReg {
			f.facts[at+"/"+path.Clean(h.Name)] = mode
			continue
		}
		f.file(t, at+"/"+path.Clean(h.Name), mode, h.ModTime, e.raw)
	}
}

// untar gives the entries of a tar, however compressed.
func untar(t *testing.T, raw []byte) func(yield func(*tar.Header, []byte) bool) {
	return func(yield func(*tar.Header, []byte) bool) {
		reader, err := compression.DecompressStream(bytes.NewReader(raw))
		check(t, err)
		defer reader.Close()
		for r := tar.NewReader(reader); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			check(t, err)
			content, err := io.ReadAll(r)
			check(t, err)
			if !yield(header, content) {
				return
			}
		}
	}
}

// engine adds what the engine loaded, and removes it.
func (s *side) engine(t *testing.T, f *found) {
	t.Helper()
	if !has(s.inputs, "load", "true") && !has(s.inputs, "outputs", "type=docker") {
		return
	}
	for _, ref := range names(s.inputs) {
		tag := s.expand(ref)
		cmd := exec.CommandContext(t.Context(), "docker", "image", "inspect", tag)
		raw, err := cmd.Output()
		if err != nil {
			continue // the fact is missing
		}
		var images []map[string]any
		check(t, json.Unmarshal(raw, &images))
		for _, key := range []string{"Id", "Config", "Architecture", "Os", "RootFS", "Created"} {
			f.leaves("engine/"+ref+"/"+key, images[0][key])
		}
		if out, err := exec.Command("docker", "image", "rm", "--force", tag).CombinedOutput(); err != nil {
			t.Errorf("remove %s: %v\n%s", tag, err, out)
		}
	}
}

var outputName = regexp.MustCompile(`\bname=([^",]+)`)

// names are the tags and the names of outputs.
func names(inputs []given) []string {
	var names []string
	for _, in := range inputs {
		switch in.name {
		case "tags":
			names = append(names, in.value)
		case "outputs":
			if m := outputName.FindStringSubmatch(in.value); m != nil {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// metadata adds the metadata file, and what BuildKit was asked for by its own
// record of the build.
func (s *side) metadata(t *testing.T, f *found) {
	t.Helper()
	raw, err := os.ReadFile(s.file("metadata.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	check(t, err)
	f.json(t, "metadata", raw)
	var metadata struct {
		Ref    string `json:"buildx.build.ref"`
		Digest string `json:"containerimage.digest"`
	}
	check(t, json.Unmarshal(raw, &metadata))
	if metadata.Digest != "" && (has(s.inputs, "outputs", "push-by-digest=true") || has(s.inputs, "outputs", "type=registry")) {
		f.byDigest(t, s.repo, "$REPO", metadata.Digest)
	}
	if metadata.Ref == "" {
		return
	}
	f.facts["metadata/buildx.build.ref"] = path.Dir(metadata.Ref) + "/<build>"
	s.record(t, f, path.Base(metadata.Ref))
}

// record adds what BuildKit wrote down of a build: the request's attributes are
// all that its frontend knows.
func (s *side) record(t *testing.T, f *found, ref string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events, err := s.lab.history.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	check(t, err)
	event, err := events.Recv()
	if errors.Is(err, io.EOF) {
		f.facts["request"] = "not recorded"
		return
	}
	check(t, err)
	r := event.Record
	f.facts["request/frontend"] = r.Frontend
	for key, value := range r.FrontendAttrs {
		if key == "cache-imports" {
			f.json(t, "request/"+key, []byte(value))
			continue
		}
		if strings.HasPrefix(key, "attest:") {
			value = attestation(key, value)
		}
		f.facts["request/"+key] = value
	}
	f.facts["warnings"] = fmt.Sprint(r.NumWarnings)
}

// attestation gives the attributes of an attestation in one order and without
// its type, which BuildKit knows by the key, and with BuildKit's default mode.
func attestation(kind, value string) string {
	fields := slices.DeleteFunc(strings.Split(value, ","), func(field string) bool { return strings.HasPrefix(field, "type=") })
	if kind == "attest:provenance" && !slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(field, "mode=") }) {
		fields = append(fields, "mode=max")
	}
	slices.Sort(fields)
	return strings.Join(fields, ",")
}

// outputs adds the outputs of build-push-action.
func (s *side) outputs(t *testing.T, f *found) {
	t.Helper()
	if raw, err := os.ReadFile(s.file("outputs.json")); err == nil {
		var outputs map[string]string
		check(t, json.Unmarshal(raw, &outputs))
		for _, name := range []string{"imageid", "digest"} {
			if outputs[name] != "" {
				f.facts["outputs/"+name] = outputs[name]
			}
		}
		return
	}
	// The action makes them of these two files.
	if raw, err := os.ReadFile(s.file("iid")); err == nil {
		if len(raw) > 0 { // an output that is empty is none
			f.facts["outputs/imageid"] = string(raw)
		}
	}
	if digest, ok := f.facts["metadata/containerimage.digest"]; ok {
		f.facts["outputs/digest"] = digest
	}
}

// Names of this machine and of one build.
var (
	uploadID = regexp.MustCompile(`http://buildkit-session/[0-9a-z]+`)
	storeID  = regexp.MustCompile(`oci-layout://[0-9a-z]+`)
)

// exported are facts that are the time of an export, where SOURCE_DATE_EPOCH is
// not.
var exported = regexp.MustCompile(`/annotations/org\.opencontainers\.image\.created$`)

// epoch is whether times are given from outside.
func (s *side) epoch() bool {
	return slices.ContainsFunc(s.c.environ, func(line string) bool { return strings.HasPrefix(line, "SOURCE_DATE_EPOCH=") })
}

// sharedKey is under what BuildKit finds what a directory sent before.
var sharedKey = regexp.MustCompile(`/sharedkey:`)

// layerDigest is the fact that says which layer it is.
var layerDigest = regexp.MustCompile(`^(.*/layers/\d+)/digest$`)

// times are the facts that depend on when a step ran.
var times = regexp.MustCompile(`/(created|mediaType-size|size|digest|diff_ids/\d+|history/\d+/created|Id|Created|RootFS/Layers/\d+)$|/layers/\d+/files/`)

// subrequest are the parts of a frontend's answer that are, or are a digest of,
// something with the session's id.
var subrequest = regexp.MustCompile(`/sources/\d+/(definition|locations)/|buildx\.build\.warnings/\d+/vertex$`)

// normalize takes from the facts what names the side, its directory or the time
// of the build.
func (f *found) normalize(s *side) {
	replace := strings.NewReplacer(s.repo, "$REPO", s.base, "$BASE", s.lab.server.URL, "$SERVER")
	roles := make([]string, 0, 2*len(f.roles))
	for hex, role := range f.roles {
		roles = append(roles, hex, "<"+role+">")
	}
	volatile := strings.NewReplacer(roles...)
	paths := union(f.facts, nil)
	for _, at := range paths {
		if m := layerDigest.FindStringSubmatch(at); m != nil && s.c.told {
			f.facts[m[1]+"/was there before"] = fmt.Sprint(s.before[f.facts[at]])
		}
		value := volatile.Replace(replace.Replace(f.facts[at]))
		value = uploadID.ReplaceAllString(value, "http://buildkit-session/<id>")
		to := replace.Replace(at)
		delete(f.facts, at)
		value = storeID.ReplaceAllString(value, "oci-layout://<id>")
		switch {
		case strings.HasPrefix(to, "metadata/buildx.build.provenance") && volatileStatement.MatchString(to):
			continue
		case subrequest.MatchString(to), s.c.fresh && times.MatchString(to), !s.epoch() && exported.MatchString(to):
			continue
		case sharedKey.MatchString(to):
			// Behind the directory's name is what the programs choose themselves.
			value, _, _ = strings.Cut(value, ":")
		}
		f.facts[to] = value
	}
}

// volatileStatement are the fields of provenance that are of one build alone:
// digests of steps are those of requests that hold a session's id, and usage is
// the machine's.
var volatileStatement = regexp.MustCompile(`(?i)/(invocationId|buildInvocationID|startedOn|buildStartedOn|finishedOn|buildFinishedOn)$|/digestMapping/|/creationInfo/created$|/sysUsage/|metadata/layers/`)

// statement adds an in-toto statement.
func (f *found) statement(t *testing.T, at string, raw []byte) {
	t.Helper()
	var value any
	check(t, json.Unmarshal(raw, &value))
	inner := found{facts: facts{}}
	inner.leaves(at, value)
	for key, v := range inner.facts {
		if !volatileStatement.MatchString(key) {
			f.facts[key] = v
		}
	}
}
