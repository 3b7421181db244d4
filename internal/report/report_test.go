package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

var update = flag.Bool("update", false, "write the golden files")

func release() Build {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	return Build{
		Builder: "main", Driver: "docker-container", Digest: digest,
		Pushed: []builder.Pushed{{Repository: "r.example/app", Digest: digest, Platforms: []registry.Platform{
			{Platform: "linux/amd64", Digest: "sha256:22", Size: 3_400_000},
			{Platform: "linux/arm64", Digest: "sha256:33", Size: 3_300_000},
			{Platform: "unknown/unknown", Digest: "sha256:44", Size: 1200, Attestation: true},
		}}},
		Tags: []registry.Written{
			{Tag: "r.example/app:1.4.2", After: digest, Status: "written"},
			{Tag: "r.example/app:latest", Before: "sha256:00", After: digest, Status: "written"},
		},
		Summary: progress.Summary{Steps: []progress.Step{
			{Name: "[internal] load build definition", Started: start, Completed: start.Add(time.Millisecond)},
			{Name: "[1/2] FROM alpine:3", Started: start, Completed: start, Cached: true},
			{Name: "[2/2] RUN make | tee `log` </details><script>", Started: start, Completed: start.Add(2 * time.Second)},
		}},
		Duration: 4321 * time.Millisecond,
	}
}

func TestRender(t *testing.T) {
	cases := map[string]Build{"release": release(), "cache-only": {Builder: "main", Driver: "process", Duration: time.Second}}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := b.Text(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".txt"), text.Bytes())
			golden(t, filepath.Join("testdata", name+".md"), []byte(b.Markdown()))
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
