package progress

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// news is what a solve of a Dockerfile on one node tells.
func news(cached bool, err string) chan *client.SolveStatus {
	base, run := vertex("[1/2] FROM alpine:3", true, ""), vertex("[linux/arm64 2/2] RUN make", cached, "")
	run.Inputs = []digest.Digest{base.Digest}
	run.ProgressGroup = &pb.ProgressGroup{Id: "group", Name: "[2/2] RUN make"}
	status := make(chan *client.SolveStatus, 1)
	status <- &client.SolveStatus{
		Vertexes: []*client.Vertex{base, run, vertex("exporting cache to registry", false, err)},
		Statuses: []*client.VertexStatus{{ID: "copying", Vertex: run.Digest}},
		Logs:     []*client.VertexLog{{Vertex: run.Digest, Data: []byte("made\n")}},
		Warnings: []*client.VertexWarning{{
			Vertex: run.Digest, Short: []byte("JSONArgsRecommended (line 3)"),
			Range: []*pb.Range{{Start: &pb.Position{Line: 3}}},
		}},
	}
	close(status)
	return status
}

func TestJoin(t *testing.T) {
	joined := make(chan *client.SolveStatus)
	go Join([]Stream{{Node: "amd", Status: news(true, "")}, {Node: "arm", Status: news(false, "403 Forbidden")}}, joined)
	var all []*client.SolveStatus
	for s := range joined {
		all = append(all, s)
	}
	names := map[digest.Digest]string{}
	for _, s := range all {
		for _, v := range s.Vertexes {
			if other, ok := names[v.Digest]; ok {
				t.Errorf("%q and %q have one digest", other, v.Name)
			}
			names[v.Digest] = v.Name
		}
	}
	for _, s := range all {
		run := s.Vertexes[1]
		node, _, _ := strings.Cut(strings.TrimPrefix(run.Name, "["), " ")
		if want := "[" + node + " linux/arm64 2/2] RUN make"; run.Name != want {
			t.Errorf("name %q, want %q", run.Name, want)
		}
		if want := "[" + node + " 2/2] RUN make"; run.ProgressGroup.Name != want || run.ProgressGroup.Id != node+" group" {
			t.Errorf("group %v, want %q", run.ProgressGroup, want)
		}
		for _, d := range []digest.Digest{s.Statuses[0].Vertex, s.Logs[0].Vertex} {
			if d != run.Digest {
				t.Errorf("%s: a log or status went to %q", run.Name, names[d])
			}
		}
		if run.Inputs[0] != s.Vertexes[0].Digest {
			t.Errorf("%s: input %q", run.Name, names[run.Inputs[0]])
		}
	}
	if warnings := len(all[0].Warnings) + len(all[1].Warnings); warnings != 1 {
		t.Errorf("one warning was told %d times", warnings)
	}
}

func TestJoinIsShown(t *testing.T) {
	joined := make(chan *client.SolveStatus)
	go Join([]Stream{{Node: "amd", Status: news(true, "")}, {Node: "arm", Status: news(false, "403 Forbidden")}}, joined)
	var out bytes.Buffer
	got, err := Show(t.Context(), &out, Plain, joined)
	if err != nil {
		t.Fatal(err)
	}
	if cached, total := got.Cached(); cached != 1 || total != 2 {
		t.Errorf("%d of %d cached, want 1 of 2", cached, total)
	}
	if got, want := got.CacheExportError(), "[arm] exporting cache to registry: 403 Forbidden"; got != want {
		t.Errorf("cache export: %q, want %q", got, want)
	}
	for _, want := range []string{"[amd 2/2] RUN make", "[arm 2/2] RUN make", "[arm 1/2] FROM alpine:3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not shown:\n%s", want, out.String())
		}
	}
}

// One solve is shown as it is.
func TestJoinOne(t *testing.T) {
	joined := make(chan *client.SolveStatus)
	go Join([]Stream{{Status: news(true, "")}}, joined)
	var names []string
	for s := range joined {
		for _, v := range s.Vertexes {
			names = append(names, v.Name)
			if v.Digest != digest.FromString(v.Name) {
				t.Errorf("%s has another digest", v.Name)
			}
		}
	}
	if want := []string{"[1/2] FROM alpine:3", "[linux/arm64 2/2] RUN make", "exporting cache to registry"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// A node's name is not taken for a stage's.
func TestInstructionOfNode(t *testing.T) {
	for name, want := range map[string]Instruction{
		"[arm linux/arm64 2/3] RUN make":            {Platform: "linux/arm64", Index: 2, Total: 3, Text: "RUN make"},
		"[arm linux/arm64 build  2/12] COPY . .":    {Platform: "linux/arm64", Stage: "build", Index: 2, Total: 12, Text: "COPY . ."},
		"[amd linux/amd64->arm64 build 2/3] RUN go": {Platform: "linux/arm64", Stage: "build", Index: 2, Total: 3, Text: "RUN go"},
		"[linux/arm/v7 2/3] RUN make":               {Platform: "linux/arm/v7", Index: 2, Total: 3, Text: "RUN make"},
		"[build 2/3] RUN make":                      {Stage: "build", Index: 2, Total: 3, Text: "RUN make"},
	} {
		if got, ok := (Step{Name: name}).Instruction(); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
