package rego

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// imports gives the files that a set imports, which hullwright reads.
func (r *rules) imports(ctx context.Context, set int) func() (fs.StatFS, func() error, error) {
	ctx = context.WithoutCancel(ctx) // they are read for every check again
	return func() (fs.StatFS, func() error, error) { return importFS{ctx, r.host, set}, nil, nil }
}

// importFS are the files that a set imports. The context is that of the policies,
// since fs.FS has no room for one in its methods.
type importFS struct {
	ctx  context.Context
	host wire.Host
	set  int
}

// Open implements fs.FS.
func (i importFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	data, err := i.host.Read(i.ctx, wire.Import{Set: i.set, Name: name})
	if status.Code(err) == codes.NotFound {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New(status.Convert(err).Message())}
	}
	if err != nil {
		return nil, err
	}
	return imported{bytes.NewReader(data), path.Base(name)}, nil
}

// Stat implements fs.StatFS.
func (i importFS) Stat(name string) (fs.FileInfo, error) {
	file, err := i.Open(name)
	if err != nil {
		return nil, err
	}
	return file.Stat()
}

// imported is a file that was read, and says of itself what there is to say.
type imported struct {
	*bytes.Reader
	name string
}

// Stat implements fs.File.
func (i imported) Stat() (fs.FileInfo, error) { return i, nil }

// Close implements fs.File.
func (i imported) Close() error { return nil }

// Name implements fs.FileInfo.
func (i imported) Name() string { return i.name }

// Mode implements fs.FileInfo.
func (i imported) Mode() fs.FileMode { return 0o444 }

// ModTime implements fs.FileInfo.
func (i imported) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (i imported) IsDir() bool { return false }

// Sys implements fs.FileInfo.
func (i imported) Sys() any { return nil }
