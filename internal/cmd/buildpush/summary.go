package buildpush

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/report"
)

// parseDisplay reads how the build is shown.
func (j *job) parseDisplay(context.Context) (err error) {
	j.display, err = progress.ParseMode(j.options.Progress, j.env.Terminal)
	return err
}

// summarize tells people of the build, and of its failure.
func (j *job) summarize(failure error) error {
	if j.request.Call.Method != "" {
		return nil // the answer is all
	}
	r := j.report(failure)
	if failed := j.result.Summary.CacheExportError(); failed != "" {
		j.env.Warnf("cache-to: %s", failed)
	}
	if s, ok := j.env.CI.(ci.Summarizer); ok && j.options.Summary {
		if err := s.Summary(r.Markdown()); err != nil {
			j.env.Warnf("%v", err)
		}
	}
	if err := j.writeHTML(r); err != nil || failure != nil {
		return err
	}
	return r.Text(j.words())
}

// writeHTML writes the page, whole or not at all.
func (j *job) writeHTML(r report.Build) error {
	path := j.options.HTMLReport
	if path == "" {
		return nil
	}
	var page bytes.Buffer
	err := r.HTML(&page)
	if err == nil {
		err = atomicwriter.WriteFile(absolute(path, j.env.Dir), page.Bytes(), 0o644)
	}
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "html-report", Err: err}
	}
	return nil
}

// report is all that there is to tell.
func (j *job) report(failure error) report.Build {
	r := report.Build{
		Name: j.name(), Version: cli.Version(), Started: j.started, Duration: j.env.Now().Sub(j.started),
		Canceled: errdefs.KindOf(failure) == errdefs.Canceled,
		Digest:   j.shownDigest(), Pushed: j.pushed, Tags: j.tags,
		Summary: j.result.Summary, NoCache: j.request.NoCache,
		Inputs: input.Values(j.options), Hide: j.env.Secrets.Hide,
		Source: report.Source{
			Repository: j.event.Repository.URL, Commit: j.event.SHA, CommitURL: commitURL(j.event),
			Ref: string(j.event.Ref), Job: j.event.JobURL,
		},
	}
	for _, e := range errdefs.List(failure) {
		r.Failures = append(r.Failures, report.Failure{Message: e.Error(), Hints: errdefs.Hints(e)})
	}
	for _, o := range j.request.Outputs {
		r.Outputs = append(r.Outputs, report.Output{Type: o.Type, Dest: o.Dest})
	}
	for _, kind := range slices.Sorted(maps.Keys(j.request.Attests)) {
		if !strings.Contains(j.request.Attests[kind], "disabled=true") {
			r.Attests = append(r.Attests, kind)
		}
	}
	if j.builder != nil {
		r.Builder, r.Driver, r.NewBuilder = j.builder.Name, j.builder.Driver, j.builder.Made
		j.reportNodes(&r)
	}
	return r
}

// reportNodes adds the nodes that build, and the platforms.
func (j *job) reportNodes(r *report.Build) {
	for _, solve := range j.plan.Solves {
		node := report.Node{Name: solve.Node, Platforms: solve.Platforms}
		for _, n := range j.builder.Nodes {
			if n.Name != solve.Node {
				continue
			}
			node.BuildKit = n.Version
			if len(node.Platforms) == 0 && len(n.Platforms) > 0 {
				node.Platforms = []string{n.Platforms[0].String()}
			}
		}
		r.Nodes = append(r.Nodes, node)
		r.Platforms = append(r.Platforms, node.Platforms...)
	}
}

// name is what is built, as people call it: its first tag, else where it goes,
// else where it comes from.
func (j *job) name() string {
	r := j.request
	switch {
	case len(r.Tags) > 0:
		return r.Tags[0].String()
	case len(r.Repositories) > 0:
		return r.Repositories[0].String()
	case r.Context.URL != "":
		return r.Context.URL
	case r.Context.Dir != "":
		return filepath.Base(r.Context.Dir)
	default:
		return "standard input"
	}
}

// commitURL is the forge's page of the commit, where its address is known.
func commitURL(e ci.Event) string {
	if e.Repository.URL == "" || e.SHA == "" {
		return ""
	}
	switch e.Provider {
	case "github", "gitea", "forgejo":
		return e.Repository.URL + "/commit/" + e.SHA
	case "gitlab":
		return e.Repository.URL + "/-/commit/" + e.SHA
	}
	return ""
}
