package report

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

var update = flag.Bool("update", false, "write the golden files")

const indexDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// recorded is what BuildKit said of a build of two platforms, one status a line.
func recorded(t *testing.T, name string) progress.Summary {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	status := make(chan *client.SolveStatus)
	go func() {
		defer close(status)
		for dec := json.NewDecoder(f); ; {
			var s client.SolveStatus
			if err := dec.Decode(&s); err != nil {
				if err != io.EOF {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			status <- &s
		}
	}()
	s, err := progress.Show(context.Background(), io.Discard, progress.Quiet, status)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// release is a build that went well, with all that a report can show.
func release(t *testing.T) Build {
	return Build{
		Name: "registry.example/team/server:1.4.2", Version: "v1.2.3",
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Duration: 91234 * time.Millisecond,
		Builder: "main", Driver: "docker-container",
		Nodes:  []Node{{Name: "main0", BuildKit: "v0.33.1", Platforms: []string{"linux/amd64", "linux/arm64"}}},
		Digest: indexDigest,
		Pushed: []builder.Pushed{
			{Repository: "registry.example/team/server", Digest: indexDigest, Platforms: []registry.Platform{
				{Platform: "linux/amd64", Digest: strings.ReplaceAll(indexDigest, "1", "2"), Size: 3_400_000},
				{Platform: "linux/arm64", Digest: strings.ReplaceAll(indexDigest, "1", "3"), Size: 3_300_000},
				{Platform: "unknown/unknown", Digest: strings.ReplaceAll(indexDigest, "1", "4"), Size: 1200, Attestation: true},
				{Platform: "unknown/unknown", Digest: strings.ReplaceAll(indexDigest, "1", "5"), Size: 1200, Attestation: true},
			}},
			{Repository: "mirror.example/server", Digest: indexDigest},
		},
		Attests: []string{"provenance"},
		Tags: []registry.Written{
			{Tag: "registry.example/team/server:1.4.2", After: indexDigest, Status: "written"},
			{Tag: "registry.example/team/server:1.4", Before: indexDigest, After: indexDigest, Status: "unchanged"},
			{Tag: "registry.example/team/server:latest", Before: strings.ReplaceAll(indexDigest, "1", "0"), After: indexDigest, Status: "written"},
			{Tag: "mirror.example/server:latest", Before: strings.ReplaceAll(indexDigest, "1", "0"), After: strings.ReplaceAll(indexDigest, "1", "0"), Status: "kept", Reason: "it has version 2.0.0"},
		},
		Summary: recorded(t, "release"),
		Inputs: []input.Value{
			{Name: "platforms", Entries: []string{"linux/amd64", "linux/arm64"}, List: true},
			{Name: "labels", Entries: []string{"note=first\nsecond: \"x\""}, List: true},
			{Name: "push", Entries: []string{"true"}},
			{Name: "secrets", Entries: []string{"npm"}, List: true},
		},
		Source: Source{
			Repository: "https://git.example/team/server", Commit: "0123456789abcdef0123456789abcdef01234567", Ref: "refs/tags/v1.4.2",
			CommitURL: "https://git.example/team/server/commit/0123456789abcdef0123456789abcdef01234567",
			Job:       "https://git.example/team/server/actions/runs/7/attempts/1",
		},
	}
}

// failed is a build whose test step failed.
func failed(t *testing.T) Build {
	b := release(t)
	b.Digest, b.Pushed, b.Tags = "", nil, nil
	b.Platforms = []string{"linux/amd64", "linux/arm64"}
	b.Summary = recorded(t, "failed")
	b.Failures = []Failure{{
		Message: "process \"/bin/sh -c go test ./...\" did not complete successfully: exit code: 1\n" +
			"Dockerfile:14\n--------------------\n  12 |     FROM deps AS test\n  13 |     COPY . .\n  14 | >>> RUN go vet ./... && go test ./...\n  15 |\n--------------------\n" +
			"the step's last lines:\n  --- FAIL: TestHello (0.00s)\n      main_test.go:7: <b>hello</b>\n  FAIL\n  FAIL\texample.com/server\t0.003s",
		Hints: []string{"read what the step printed"},
	}}
	return b
}

// fresh is a build with a cache that is not there yet, and no push.
func fresh(t *testing.T) Build {
	return Build{
		Name: "server", Builder: "hullwright-1", Driver: "process", NewBuilder: true, Platforms: []string{"linux/amd64"},
		Outputs: []Output{{Type: "oci", Dest: "image.tar"}}, Summary: recorded(t, "first"), Duration: 115 * time.Second,
	}
}

func TestRender(t *testing.T) {
	cases := map[string]Build{
		"release": release(t), "failed": failed(t), "first": fresh(t),
		"cache-only": {Builder: "main", Driver: "process", Duration: time.Second},
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			var text, page bytes.Buffer
			if err := b.Text(&text); err != nil {
				t.Fatal(err)
			}
			if err := b.HTML(&page); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".txt"), text.Bytes())
			golden(t, filepath.Join("testdata", name+".md"), []byte(b.Markdown()))
			golden(t, filepath.Join("testdata", name+".html"), page.Bytes())
		})
	}
}

// What a stranger's Dockerfile or branch says is text and nothing else.
func TestMarkdownIsInert(t *testing.T) {
	for _, hostile := range []string{
		"</details><script>alert(1)</script>", "| a | b |", "`x`", "[x](javascript:alert(1))", "a\nb", "\u202egnp", "<!-- x", "::error::x",
	} {
		got := escape(hostile)
		if strings.ContainsAny(got, "<>|`[]()\n\u202e") {
			t.Errorf("escape(%q) = %q", hostile, got)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
