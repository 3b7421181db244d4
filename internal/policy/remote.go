package policy

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	buildx "github.com/docker/buildx/policy"
	"github.com/docker/buildx/util/sourcemeta"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/sirupsen/logrus"
)

// remote is a policy of a context that only the daemon has. The daemon fetches
// the context for it, and has it then for the build.
func (r *Rules) remote(ctx context.Context, name string) ([]set, error) {
	state, err := contextState(r.opt.ContextURL)
	if state == nil || err != nil {
		return nil, err
	}
	files := &remoteFS{ctx: context.WithoutCancel(ctx), resolver: r.resolver, state: *state}
	data, err := fs.ReadFile(files, path.Clean(name))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root := func() (fs.StatFS, func() error, error) { return files, nil, nil }
	return []set{{files: []buildx.File{{Filename: name, Data: data}}, root: root, level: logrus.InfoLevel}}, nil
}

// contextState is a remote context as BuildKit's frontend for Dockerfiles has
// the daemon fetch it (frontend/dockerui/context.go); nil where address is none.
func contextState(address string) (*llb.State, error) {
	if address == "" {
		return nil, nil
	}
	ref, isGit, err := dfgitutil.ParseGitRef(address)
	if isGit {
		if err != nil {
			return nil, err
		}
		state := llb.Git(ref.Remote, "", gitOptions(ref)...)
		return &state, nil
	}
	const name = "context"
	file := llb.HTTP(address, llb.Filename(name))
	unpacked := llb.Scratch().File(llb.Copy(file, name, "/", &llb.CopyInfo{AttemptUnpack: true}))
	return &unpacked, nil
}

func gitOptions(ref *dfgitutil.GitRef) []llb.GitOption {
	opts := []llb.GitOption{llb.GitRef(ref.Ref)}
	add := func(wanted bool, o llb.GitOption) {
		if wanted {
			opts = append(opts, o)
		}
	}
	add(ref.KeepGitDir != nil && *ref.KeepGitDir, llb.KeepGitDir())
	add(ref.SubDir != "", llb.GitSubDir(ref.SubDir))
	add(ref.Checksum != "", llb.GitChecksum(ref.Checksum))
	add(ref.Submodules != nil && !*ref.Submodules, llb.GitSkipSubmodules())
	add(ref.MTime != "", llb.GitMTime(ref.MTime))
	add(ref.FetchByCommit, llb.GitFetchByCommit())
	return opts
}

// isNotFound tells by its words, which are all that crosses the daemon's socket.
func isNotFound(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "no such file or directory")
}

// remoteFS are the files of a state. The context is that of the build, since
// fs.FS has no room for one in its methods.
type remoteFS struct {
	ctx      context.Context
	resolver *sourcemeta.Resolver
	state    llb.State

	once sync.Once
	ref  gateway.Reference
	err  error
}

func (r *remoteFS) resolved() (gateway.Reference, error) {
	r.once.Do(func() { r.ref, r.err = r.resolver.ResolveState(r.ctx, r.state) })
	return r.ref, r.err
}

// Stat implements fs.StatFS.
func (r *remoteFS) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	ref, err := r.resolved()
	if err != nil {
		return nil, err
	}
	st, err := ref.StatFile(r.ctx, gateway.StatRequest{Path: name})
	if err != nil {
		return nil, err
	}
	return remoteInfo{path.Base(name), st.Size, fs.FileMode(st.Mode), time.Unix(0, st.ModTime)}, nil
}

// Open implements fs.FS.
func (r *remoteFS) Open(name string) (fs.File, error) {
	info, err := r.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxSize)
	}
	data, err := r.ref.ReadFile(r.ctx, gateway.ReadRequest{Filename: name})
	if err != nil {
		return nil, err
	}
	return remoteFile{bytes.NewReader(data), info}, nil
}

type remoteFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f remoteFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (remoteFile) Close() error                 { return nil }

type remoteInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func (i remoteInfo) Name() string       { return i.name }
func (i remoteInfo) Size() int64        { return i.size }
func (i remoteInfo) Mode() fs.FileMode  { return i.mode }
func (i remoteInfo) ModTime() time.Time { return i.time }
func (i remoteInfo) IsDir() bool        { return i.mode.IsDir() }
func (i remoteInfo) Sys() any           { return nil }
