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

// No line of a summary is more than text, and its blocks end where they began.
func TestSummaryIsInert(t *testing.T) {
	for _, attack := range attacks {
		md := hostile(t, attack).Markdown()
		fence, folds := "", 0
		for _, line := range strings.Split(md, "\n") {
			switch {
			case fence != "" && line != fence: // a block has any text
			case fence == "" && strings.HasPrefix(line, "```"):
				fence = strings.TrimRight(line, "yaml")
			case fence != "":
				fence = ""
			case strings.HasPrefix(line, "<details>"):
				folds++
			case line == "</details>":
				folds--
			case strings.ContainsAny(strings.NewReplacer(
				"<code>", "", "</code>", "", "</a>", "").Replace(line), "`[]<\x1b\u202e") && !strings.Contains(line, "<a href=\"https&#58;//"):
				t.Errorf("%q is more than text: %s", attack, line)
			}
		}
		if fence != "" {
			t.Errorf("%q leaves a block open", attack)
		}
		if folds != 0 {
			t.Errorf("%q leaves a fold open", attack)
		}
	}
}

// GitHub's runner drops a summary that is too large whole.
func TestSummaryIsBounded(t *testing.T) {
	b := hostile(t, strings.Repeat("<~>\n", 30_000))
	for range 5 {
		b.Summary.Steps = append(b.Summary.Steps, b.Summary.Steps...)
		b.Tags = append(b.Tags, b.Tags...)
		b.Summary.Warnings = append(b.Summary.Warnings, b.Summary.Warnings...)
		b.Failures = append(b.Failures[:1:1], b.Failures...)
	}
	md := b.Markdown()
	if len(md) > 1<<20 {
		t.Errorf("%d bytes", len(md))
	}
	if !strings.Contains(md, "are not shown here") && !strings.Contains(md, "left out here") {
		t.Error("nothing says that something is left out")
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 999 * time.Millisecond: "999ms", time.Second: "1.0s", 59940 * time.Millisecond: "59.9s",
		59960 * time.Millisecond: "1m00s", 91234 * time.Millisecond: "1m31s", time.Hour: "1h00m", 90*time.Minute + 40*time.Second: "1h31m",
	} {
		if got := took(d); got != want {
			t.Errorf("took(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for length, want := range map[time.Duration]string{
		time.Millisecond: "0s", 900 * time.Millisecond: "0s 200ms 400ms 600ms 800ms", 88 * time.Second: "0s 20s 40s 1m 1m20s",
		3 * time.Hour: "0s 1h 2h", 100 * 24 * time.Hour: "0s 480h 960h 1440h 1920h",
	} {
		var got []string
		for _, tick := range (axis{length: length}).ticks() {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", length, got, want)
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
