package progress

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/hullwright/hullwright/internal/errdefs"
)

var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is a run from one second to another.
func at(from, to float64) Run {
	seconds := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	return Run{Started: seconds(from), Completed: seconds(to)}
}

// named is a step that builds on others, which are given by name.
func named(name string, inputs []string, runs ...Run) Step {
	s := Step{Digest: digest.FromString(name), Name: name, Runs: runs}
	for _, in := range inputs {
		s.Inputs = append(s.Inputs, digest.FromString(in))
	}
	return s
}

func names(steps []Step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, s.Name)
	}
	return list
}

func TestInstruction(t *testing.T) {
	for name, want := range map[string]Instruction{
		"[2/3] RUN make":                                     {"", "", 2, 3, "RUN make"},
		"[ 2/12] RUN make":                                   {"", "", 2, 12, "RUN make"},
		"[build 2/3] RUN make":                               {"", "build", 2, 3, "RUN make"},
		"[linux/arm/v7 build  2/12] COPY . .":                {"linux/arm/v7", "build", 2, 12, "COPY . ."},
		"[linux/amd64->arm64 build 2/2] RUN go build":        {"linux/arm64", "build", 2, 2, "RUN go build"},
		"[linux/amd64->arm/v7 build 2/2] RUN go build":       {"linux/arm/v7", "build", 2, 2, "RUN go build"},
		"[linux/arm64->amd64/v2 2/2] RUN go build":           {"linux/amd64/v2", "", 2, 2, "RUN go build"},
		"[linux/amd64->windows/amd64 1/2] RUN go build":      {"windows/amd64", "", 1, 2, "RUN go build"},
		"[node0 linux/arm64 build 2/3] RUN [ -e x ] || y":    {"linux/arm64", "build", 2, 3, "RUN [ -e x ] || y"},
		"[internal] load build context":                      {},
		"[linux/amd64 internal] load metadata for alpine 1/": {},
		"exporting to image":                                 {},
		"[2/3]":                                              {},
	} {
		got, ok := Step{Name: name}.Instruction()
		if got != want || ok != (want != Instruction{}) {
			t.Errorf("%q: %+v, %t, want %+v", name, got, ok, want)
		}
	}
}

func TestCountsEveryStepOfALongStage(t *testing.T) {
	var s Summary
	for _, name := range []string{"[ 1/10] FROM alpine", "[ 2/10] RUN a", "[build 10/10] FIND x", "[a 1/1] FROM b"} {
		s.Steps = append(s.Steps, Step{Name: name, Cached: name == "[ 2/10] RUN a"})
	}
	if cached, total := s.Cached(); cached != 1 || total != 2 {
		t.Errorf("%d of %d, want 1 of 2", cached, total)
	}
}

// The stream tells starts before ends, both again and again, and a step that
// waited runs more than once.
func TestRuns(t *testing.T) {
	id := digest.FromString("x")
	tell := func(r Run) *client.SolveStatus {
		v := &client.Vertex{Digest: id, Name: "x", Started: &r.Started}
		if !r.Completed.IsZero() {
			v.Completed = &r.Completed
		}
		return &client.SolveStatus{Vertexes: []*client.Vertex{v}}
	}
	open := func(r Run) Run { return Run{Started: r.Started} }
	rec := recorder{index: map[digest.Digest]int{}, tails: tails{}}
	for _, r := range []Run{open(at(0, 1)), at(0, 1), open(at(1, 2)), at(1, 2), open(at(0, 1)), at(5, 6), at(5.5, 5.7), open(at(8, 9))} {
		rec.add(tell(r))
	}
	rec.settle()
	step := rec.summary.Steps[0]
	if diff := cmp.Diff([]Run{at(0, 2), at(5, 6), open(at(8, 9))}, step.Runs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if step.Duration() != 3*time.Second || !step.Started().Equal(zero) || !step.Completed().IsZero() {
		t.Errorf("ran %s, from %s to %s", step.Duration(), step.Started(), step.Completed())
	}
}

// build is two platforms that share a stage; the search for the base image and
// the export build on nothing that BuildKit tells.
func build() Summary {
	return Summary{Steps: []Step{
		named("[internal] load metadata", nil, at(0, 1)),
		named("[base 1/2] FROM go", nil, at(1, 2)),
		named("[internal] load build context", nil, at(1, 1.5)),
		named("[base 2/2] COPY . .", []string{"[base 1/2] FROM go", "[internal] load build context"}, at(2, 3)),
		named("[linux/amd64 2/3] RUN a", []string{"[base 2/2] COPY . ."}, at(3, 5)),
		named("[linux/arm64 2/3] RUN b", []string{"[base 2/2] COPY . ."}, at(3, 9)),
		named("[linux/arm64 1/3] FROM alpine", nil, at(1, 1.2), at(9, 9)), // found late that it is there
		named("[linux/arm64 3/3] COPY x", []string{"[linux/arm64 1/3] FROM alpine", "[linux/arm64 2/3] RUN b"}, at(9, 9.5)),
		named("exporting to image", nil, at(9.5, 11)),
		named("[linux/arm64 9/9] RUN never", []string{"exporting to image"}),
	}}
}

func TestCriticalPath(t *testing.T) {
	want := []string{
		"[internal] load metadata", "[base 1/2] FROM go", "[base 2/2] COPY . .", "[linux/arm64 2/3] RUN b", "[linux/arm64 3/3] COPY x", "exporting to image",
	}
	if diff := cmp.Diff(want, names(build().CriticalPath())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (Summary{}).CriticalPath(); got != nil {
		t.Errorf("nothing has the path %v", got)
	}
	circle := Summary{Steps: []Step{named("a", []string{"b", "a"}, at(0, 1)), named("b", []string{"a"}, at(0, 2))}}
	if got := circle.CriticalPath(); len(got) != 2 {
		t.Errorf("a circle has the path %v", names(got))
	}
}

func TestMissed(t *testing.T) {
	s := build()
	var got []string
	for _, m := range s.Missed() {
		got = append(got, m.Name)
		if !m.Files || m.After != 3 {
			t.Errorf("%s: files %t, %d after it", m.Name, m.Files, m.After)
		}
	}
	if diff := cmp.Diff([]string{"[base 2/2] COPY . ."}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Steps[3].Cached = true
	got = nil
	for _, m := range s.Missed() {
		got = append(got, m.Name)
		if m.Files {
			t.Errorf("%s takes no files", m.Name)
		}
	}
	if diff := cmp.Diff([]string{"[linux/amd64 2/3] RUN a", "[linux/arm64 2/3] RUN b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCacheTransfers(t *testing.T) {
	s := Summary{Steps: []Step{
		{Name: "importing cache manifest from r.example/app:cache", Error: "not found"},
		{Name: "[node0] importing cache manifest from gha:1"},
		{Name: "exporting cache to client directory"},
		{Name: "[node0] exporting to GitHub Actions Cache", Error: "403"},
		{Name: "exporting to image"},
	}}
	if got := len(s.CacheImports()); got != 2 {
		t.Errorf("%d imports, want 2", got)
	}
	if got := len(s.CacheExports()); got != 2 {
		t.Errorf("%d exports, want 2", got)
	}
	if got, want := s.CacheExportError(), "[node0] exporting to GitHub Actions Cache: 403"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestParseMode(t *testing.T) {
	for _, c := range []struct {
		text     string
		terminal bool
		want     Mode
	}{
		{"", true, TTY}, {"", false, Plain}, {"auto", true, TTY}, {"auto", false, Plain}, {"plain", true, Plain},
		{"tty", true, TTY}, {"tty", false, ""}, {"quiet", true, Quiet}, {"rawjson", false, RawJSON}, {"TTY", true, ""},
	} {
		got, err := ParseMode(c.text, c.terminal)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%q, terminal %t: %q, %v, want %q", c.text, c.terminal, got, err, c.want)
		}
	}
}

// Nothing that a step is called or prints can command who shows the JSON, and a
// reader gets what BuildKit said.
func TestRawJSON(t *testing.T) {
	const name = "##[set-output name=x]y ::error::z \u202e\u009b é \U0001f680 \x1b[2J </script>"
	status := make(chan *client.SolveStatus, 1)
	status <- &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString("x"), Name: name}}}
	close(status)
	var out bytes.Buffer
	if _, err := Show(context.Background(), &out, RawJSON, status); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r > '~' || r < ' ' && r != '\n' || r == '#' }) {
		t.Errorf("not inert: %s", out.String())
	}
	var got client.SolveStatus
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Vertexes[0].Name != name {
		t.Errorf("%v, name %q", err, got.Vertexes[0].Name)
	}
}

func TestQuietShowsNothing(t *testing.T) {
	status := make(chan *client.SolveStatus, 1)
	status <- &client.SolveStatus{Vertexes: []*client.Vertex{vertex("[1/1] RUN x", false, "")}}
	close(status)
	var out bytes.Buffer
	s, err := Show(context.Background(), &out, Quiet, status)
	if err != nil || out.Len() > 0 || len(s.Steps) != 1 {
		t.Errorf("%v, %q, %v", err, out.String(), s.Steps)
	}
}
