package buildpush

import (
	"context"
	"strconv"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/report"
)

// Report are the inputs of what a run tells and keeps.
type Report struct {
	MetadataFile string `env:"METADATA-FILE" placeholder:"FILE" help:"File that receives the metadata output."`
}

func (j *job) summarize(context.Context) error {
	if j.request.Call.Method != "" {
		return nil // the answer is all
	}
	if failed := j.result.Summary.CacheExportError(); failed != "" {
		j.env.Warnf("cache-to: %s", failed)
	}
	r := report.Build{
		Builder: j.builder.Name, Driver: j.builder.Driver,
		Pushed: j.pushed, Tags: j.tags, Summary: j.result.Summary,
		Duration: j.env.Now().Sub(j.started),
	}
	if j.request.Push {
		r.Digest = j.result.Digest.String()
	}
	if s, ok := j.env.CI.(ci.Summarizer); ok {
		if err := s.Summary(r.Markdown()); err != nil {
			j.env.Warnf("%v", err)
		}
	}
	return r.Text(j.words())
}

// giveOutputs hands on what there is, also after a failure: a later step may
// need the digest of an index whose tags were denied.
func (j *job) giveOutputs() error {
	var pushed []string
	for _, t := range j.tags {
		if t.Stands() {
			pushed = append(pushed, t.Tag)
		}
	}
	outputs := [][2]string{
		{"version", j.version},
		{"tags", strings.Join(pushed, "\n")},
		{"pushed", strconv.FormatBool(len(j.pushed) > 0)},
	}
	digests, err := j.pushOutputs()
	if err != nil {
		return err
	}
	outputs = append(outputs, digests...)
	if j.builder != nil {
		outputs = append(outputs, [2]string{"builder", j.builder.Name})
	}
	if j.built {
		metadata, err := j.result.Metadata(j.builder.Name, j.request.Tags)
		if err != nil {
			return err
		}
		if path := j.options.MetadataFile; path != "" {
			if err := atomicwriter.WriteFile(absolute(path, j.env.Dir), metadata, 0o644); err != nil {
				return &errdefs.Error{Kind: errdefs.Environment, Input: "metadata-file", Err: err}
			}
		}
		outputs = append(outputs,
			[2]string{"imageid", j.result.ImageID()},
			[2]string{"digest", j.result.ImageDigest()},
			[2]string{"metadata", string(metadata)},
			[2]string{"cache-exported", strconv.FormatBool(len(j.request.CacheTo) > 0 && j.result.Summary.CacheExportError() == "")},
		)
	}
	for _, o := range outputs {
		if err := j.env.Output(o[0], o[1]); err != nil {
			return err
		}
	}
	return nil
}
