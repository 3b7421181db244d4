package progress

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

func lint(vertex string, line int32) client.VertexWarning {
	return client.VertexWarning{
		Vertex: digest.FromString(vertex),
		Level:  1,
		Short:  []byte("StageNameCasing: Stage name 'Base' should be lowercase (line 3)"),
		Detail: [][]byte{[]byte("Stage names should be lowercase"), []byte("everywhere")},
		URL:    "https://docs.example/rule/",
		SourceInfo: &pb.SourceInfo{
			Filename: "Dockerfile", Data: []byte("FROM x AS Base\n"), Language: "Dockerfile",
			Definition: &pb.Definition{Def: [][]byte{{1}}},
		},
		Range: []*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: line + 1}}},
	}
}

func TestDistinctWarnings(t *testing.T) {
	plain := client.VertexWarning{Short: []byte("the cache was not read")}
	s := Summary{Warnings: []client.VertexWarning{lint("a", 3), plain, lint("b", 3), lint("a", 7)}}
	got := s.DistinctWarnings()
	if len(got) != 3 || got[0].Range[0].Start.Line != 3 || string(got[1].Short) != string(plain.Short) || got[2].Range[0].Start.Line != 7 {
		t.Errorf("warnings %+v", got)
	}
	if got[0].SourceInfo.Definition != nil || s.Warnings[0].SourceInfo.Definition == nil {
		t.Error("a warning's LLB is told, or taken from the one who gave it")
	}
}

func TestFindings(t *testing.T) {
	odd := lint("b", 5)
	odd.Short, odd.Detail = []byte("no rule\nhere"), nil
	s := Summary{Warnings: []client.VertexWarning{{Short: []byte("no place")}, lint("a", 3), odd}}
	want := []Finding{{
		Rule: "StageNameCasing", Message: "Stage name 'Base' should be lowercase", Detail: "Stage names should be lowercase everywhere",
		URL: "https://docs.example/rule/", File: "Dockerfile", Source: []byte("FROM x AS Base\n"), Line: 3, EndLine: 4,
	}, {
		Message: "no rule here", URL: "https://docs.example/rule/", File: "Dockerfile", Source: []byte("FROM x AS Base\n"), Line: 5, EndLine: 6,
	}}
	if diff := cmp.Diff(want, s.Findings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := want[0].Text(); got != "StageNameCasing: Stage name 'Base' should be lowercase" {
		t.Errorf("text %q", got)
	}
}
