package buildpush

import (
	"context"
	"errors"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseReport reads what the run tells and keeps.
func (j *job) parseReport(context.Context) error {
	var err, kindErr error
	j.provenance, err = builder.ParseMetadataProvenance(j.options.MetadataProvenance)
	if file := j.options.LintReport; file != "" {
		_, kindErr = lintReport(file)
	}
	return errors.Join(err, kindErr)
}

// askProvenance asks the nodes how they built. A release does not fail for want
// of what its metadata shows.
func (j *job) askProvenance(ctx context.Context) error {
	if j.request.Call.Method != "" {
		return nil
	}
	return j.result.AskProvenance(ctx, j.node, j.provenance)
}

// metadata is the output of that name, which it writes to its file, and the
// image's id to that of its own. What is not an image has none.
func (j *job) metadata() ([]byte, error) {
	metadata, err := j.result.Metadata(builder.Metadata{
		Builder:  j.builder.Name,
		Names:    j.pushedNames(),
		Warnings: j.options.MetadataWarnings,
	})
	if err != nil {
		return nil, err
	}
	if err := j.writeFile("metadata-file", j.options.MetadataFile, metadata); err != nil {
		return nil, err
	}
	if id := j.result.ImageID(); id != "" {
		return metadata, j.writeFile("iidfile", j.options.IIDFile, []byte(id))
	}
	return metadata, nil
}

// pushedNames are what the image is called where it was pushed: its tags, and
// the repositories that have it by digest alone.
func (j *job) pushedNames() []string {
	if !j.request.Push {
		return nil
	}
	var names []string
	for _, tag := range j.request.Tags {
		names = append(names, tag.String())
	}
	for _, repo := range j.request.Repositories {
		names = append(names, repo.String())
	}
	return names
}

// writeFile writes the file that an input names, whole or not at all; none
// where it is not given.
func (j *job) writeFile(input, path string, content []byte) error {
	if path == "" {
		return nil
	}
	if err := atomicwriter.WriteFile(absolute(path, j.env.Dir), content, 0o644); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: input, Err: err}
	}
	return nil
}
