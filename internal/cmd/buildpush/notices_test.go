package buildpush

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/setup"
)

const dockerfile = "FROM x AS Base\n"

// finding is a run in which the check found something, in a checkout that holds
// app/Dockerfile.
func finding(t *testing.T, provider string, c builder.BuildContext) (*job, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"Dockerfile": dockerfile, "Changed": "FROM y\n"} {
		if err := os.WriteFile(filepath.Join(dir, "app", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c.DockerfileDir != "" {
		c.DockerfileDir = filepath.Join(dir, c.DockerfileDir)
	}
	var log bytes.Buffer
	p, err := ci.Detect(ci.Host{Environ: map[string]string{}, Stdout: &log, Stderr: &log, Dir: dir}, provider)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{env: &cli.Env{CI: p, Dir: dir, Stdout: &log, Stderr: &log}}
	j.event = ci.Event{ServerURL: "https://github.com", Repository: ci.Repository{Slug: "acme/app"}, SHA: strings.Repeat("a", 40)}
	j.options.ChecksNotices = true
	j.request.Context = c
	j.result.Summary = progress.Summary{Warnings: []client.VertexWarning{{
		Short:  []byte("StageNameCasing: Stage name 'Base' should be lowercase (line 1)"),
		Detail: [][]byte{[]byte("Stage names should be lowercase")}, URL: "https://docs.example/",
		SourceInfo: &pb.SourceInfo{Filename: "Dockerfile", Data: []byte(dockerfile)},
		Range:      []*pb.Range{{Start: &pb.Position{Line: 1}, End: &pb.Position{Line: 1}}},
	}}}
	return j, &log
}

func TestFindingsAreMarked(t *testing.T) {
	const (
		told   = "::warning title=Stage names should be lowercase,file=app/Dockerfile,line=1::StageNameCasing: Stage name 'Base' should be lowercase%0AMore info: https://docs.example/\n"
		placed = "::warning title=Stage names should be lowercase::Dockerfile:1: StageNameCasing: Stage name 'Base' should be lowercase%0AMore info: https://docs.example/\n"
		sha    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	)
	for name, c := range map[string]struct {
		provider string
		context  builder.BuildContext
		want     string
	}{
		"in the checkout":     {"github", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Dockerfile"}, told},
		"changed since":       {"github", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Changed"}, placed},
		"gone":                {"github", builder.BuildContext{DockerfileDir: "app", Dockerfile: "None"}, placed},
		"outside":             {"github", builder.BuildContext{DockerfileDir: "../..", Dockerfile: "Dockerfile"}, placed},
		"the event's commit":  {"github", builder.BuildContext{URL: "https://github.com/acme/app.git#" + sha + ":app", Dockerfile: "Dockerfile"}, told},
		"by its query":        {"github", builder.BuildContext{URL: "https://github.com/acme/app.git?ref=main&checksum=" + sha + "&subdir=app", Dockerfile: "Dockerfile"}, told},
		"another commit":      {"github", builder.BuildContext{URL: "https://github.com/acme/app.git#main:app", Dockerfile: "Dockerfile"}, placed},
		"another repository":  {"github", builder.BuildContext{URL: "https://github.com/evil/app.git#" + sha + ":app", Dockerfile: "Dockerfile"}, placed},
		"from standard input": {"github", builder.BuildContext{Stdin: true, Dockerfile: "Dockerfile"}, placed},
		"on a laptop":         {"git", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Dockerfile"}, "app/Dockerfile:1: StageNameCasing: Stage name 'Base' should be lowercase\n"},
		"of a place unknown":  {"gitlab", builder.BuildContext{Stdin: true}, "Dockerfile:1: StageNameCasing: Stage name 'Base' should be lowercase\n"},
		"on Azure":            {"azure", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Dockerfile"}, "##vso[task.logissue type=warning;sourcepath=app/Dockerfile;linenumber=1]Stage names should be lowercase: StageNameCasing: Stage name 'Base' should be lowercase%0AMore info: https://docs.example/\n"},
	} {
		j, log := finding(t, c.provider, c.context)
		if err := j.tellFindings(); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	j, log := finding(t, "github", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Dockerfile"})
	j.options.ChecksNotices = false
	if err := j.tellFindings(); err != nil || log.Len() > 0 {
		t.Errorf("switched off: %q, %v", log, err)
	}
}

func TestLintReport(t *testing.T) {
	for file, want := range map[string]string{"a.sarif": `"uri": "app/Dockerfile"`, "b.JSON": `"path": "app/Dockerfile"`} {
		j, _ := finding(t, "gitlab", builder.BuildContext{DockerfileDir: "app", Dockerfile: "Dockerfile"})
		j.options.LintReport = file
		if err := j.tellFindings(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(j.env.Dir, file))
		if err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %s, %v", file, raw, err)
		}
	}
	j := &job{options: Options{Report: Report{LintReport: "report.txt", MetadataProvenance: "most"}}}
	err := j.parseReport(t.Context())
	if err == nil || !strings.Contains(err.Error(), `input "lint-report": unknown kind of report "report.txt"`) ||
		!strings.Contains(err.Error(), `input "metadata-provenance": unknown value "most"`) {
		t.Errorf("error %v", err)
	}
}

// A release does not fail for what its metadata shows.
func TestNoProvenance(t *testing.T) {
	j, log := finding(t, "git", builder.BuildContext{})
	j.builder = &setup.Builder{Name: "b"}
	j.result.Parts = []builder.Part{{Node: "gone", Ref: "r"}}
	j.provenance = builder.MinProvenance
	var left skip // since nothing is pushed here
	if err := j.release(t.Context()); !errors.As(err, &left) {
		t.Fatal(err)
	}
	if want := "warning: the metadata is without provenance: builder b has no node gone\n"; log.String() != want {
		t.Errorf("got %q, want %q", log, want)
	}
}

// A plan may show what a stranger wrote, in the middle of a line.
func TestPlanIsInert(t *testing.T) {
	p := plan(t, repository(t), "--build-args", "TITLE=##[set-output name=digest]x ###")
	if got := p.Solves[0].FrontendAttrs["build-arg:TITLE"]; got != "##[set-output name=digest]x ###" {
		t.Errorf("the argument is %q", got)
	}
	if got := string(inertJSON([]byte(`"##[x" "###"`))); strings.Contains(got, "##") {
		t.Errorf("%s", got)
	}
}
