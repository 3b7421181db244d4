package buildpush

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/report"
)

// tellFindings marks what build checks found, and writes their report.
func (j *job) tellFindings() error {
	findings := j.result.Summary.Findings()
	asked, err := j.request.Call.Findings(j.result)
	if err != nil {
		return err
	}
	findings = append(findings, asked...)
	for i, f := range findings {
		place := j.place(f)
		if j.options.ChecksNotices {
			j.mark(f, place)
		}
		if place != "" {
			findings[i].File = place
		}
	}
	if j.options.LintReport == "" {
		return nil
	}
	render, err := lintReport(j.options.LintReport)
	if err != nil {
		return err
	}
	content, err := render(findings)
	if err != nil {
		return err
	}
	return j.writeFile("lint-report", j.options.LintReport, content)
}

// lintReport is how a report is written, by the name of its file.
func lintReport(file string) (func([]progress.Finding) ([]byte, error), error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".sarif":
		return report.SARIF, nil
	case ".json":
		return report.CodeQuality, nil
	}
	return nil, errdefs.BadInputf("lint-report", 0, "unknown kind of report %q", file).
		WithHint("name it .sarif for SARIF, .json for GitLab's Code Quality")
}

// mark shows a finding: at its place in the code where the CI system can and the
// place is known.
func (j *job) mark(f progress.Finding, place string) {
	noticer, ok := j.env.CI.(ci.Noticer)
	switch {
	case ok:
	case j.request.Call.Method != "":
		return // the answer says it
	default:
		file := f.File
		if place != "" {
			file = place
		}
		fmt.Fprintln(j.env.Stderr, ci.Inert(j.env.CI, fmt.Sprintf("%s:%d: %s", file, f.Line, f.Text())))
		return
	}
	n := ci.Notice{Level: ci.Warning, Title: ci.Clean(f.Detail), Message: ci.Clean(f.Text())}
	if f.URL != "" {
		n.Message += "\nMore info: " + ci.Clean(f.URL)
	}
	if place != "" {
		n.File, n.Line = ci.Clean(place), f.Line
	} else {
		n.Message = fmt.Sprintf("%s:%d: %s", ci.Clean(f.File), f.Line, n.Message)
	}
	noticer.Notice(n)
}

// place is the file of a finding, relative to the checkout. It is empty where
// that is not known to hold what was built: a mark beside other code misleads.
func (j *job) place(f progress.Finding) string {
	c := j.request.Context
	if c.DockerfileDir != "" {
		return j.checkedOut(filepath.Join(c.DockerfileDir, c.Dockerfile), f.Source)
	}
	if c.URL == "" || c.DockerfileStdin || c.DockerfileURL != "" {
		return ""
	}
	git, isGit, err := dfgitutil.ParseGitRef(c.URL)
	sha := j.event.SHA
	if err != nil || !isGit || sha == "" || git.Ref != sha && git.Checksum != sha ||
		!strings.HasPrefix(c.URL, j.event.ServerURL+"/"+j.event.Repository.Slug+".git") {
		return ""
	}
	return path.Join(git.SubDir, c.Dockerfile)
}

// longestDockerfile bounds what is compared, in bytes.
const longestDockerfile = 1 << 20

// checkedOut is a file's path in the checkout, where it is in there and holds
// content.
func (j *job) checkedOut(file string, content []byte) string {
	for _, root := range []string{j.event.Workspace, j.env.Dir} {
		rel, err := filepath.Rel(root, file)
		if root == "" || err != nil || !filepath.IsLocal(rel) {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			return ""
		}
		defer f.Close()
		found, err := io.ReadAll(io.LimitReader(f, longestDockerfile))
		if err != nil || !bytes.Equal(found, content) {
			return ""
		}
		return filepath.ToSlash(rel)
	}
	return ""
}
