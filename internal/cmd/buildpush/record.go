package buildpush

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// keep keeps what a run leaves besides the image, of a build that failed too:
// findings, logs and the record.
func (j *job) keep(ctx context.Context) error {
	errs := []error{j.closeLogs()}
	if len(j.result.Begun) > 0 {
		errs = append(errs, j.tellFindings(), j.keepRecord(ctx))
	}
	return errors.Join(errs...)
}

// openLogs begins the steps' logs, and has a builder that is made for this run
// keep nothing from them: by default BuildKit clips a step's output at 2 MiB and
// at 200 KiB a second.
func (j *job) openLogs() error {
	path := j.options.Logs
	if path == "" {
		return nil
	}
	slash := os.IsPathSeparator(path[len(path)-1])
	if path = absolute(path, j.env.Dir); slash {
		path += string(filepath.Separator)
	}
	var err error
	if j.logs, err = progress.NewLogs(path, ci.SanitizeFile); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "logs", Err: err}
	}
	j.spec.KeepLogs()
	return nil
}

func (j *job) closeLogs() error {
	if j.logs.Clipped() {
		j.env.Warnf("logs: the builder clipped the output of a step; one that is made with log-limits none does not")
	}
	if err := j.logs.Close(); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "logs", Err: err}
	}
	return nil
}

// recordTimeout bounds the record of a run that was told to stop.
const recordTimeout = 3 * time.Second

// keepRecord writes the build record, whole or not at all.
func (j *job) keepRecord(ctx context.Context) error {
	if j.options.BuildRecord == "" || j.request.Call.Method != "" {
		return nil
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
	}
	err := replace(absolute(j.options.BuildRecord, j.env.Dir), func(w io.Writer) error {
		return j.result.WriteRecord(ctx, w, j.recordNode, j.env.Secrets)
	})
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "build-record", Err: err}
	}
	return nil
}

func (j *job) recordNode(name string) (builder.RecordNode, error) {
	client, err := j.node(name)
	if err != nil {
		return builder.RecordNode{}, err
	}
	node := builder.RecordNode{Client: client}
	for _, n := range j.builder.Nodes {
		if n.Name == name && len(n.Platforms) > 0 {
			node.Platform = n.Platforms[0].String()
		}
	}
	return node, nil
}

// replace writes a file beside path and gives it that name where write was
// content.
func replace(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".hullwright-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
