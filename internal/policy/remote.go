package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// addRemote adds a policy of a context that only the daemon has. The daemon
// fetches the context for it, and has it then for the build.
func (r *Rules) addRemote(ctx context.Context, node *client.Client, name string) error {
	state, err := contextState(r.opt.ContextURL)
	if state == nil || err != nil {
		return err
	}
	files, err := openContext(ctx, node, r.attachables, *state)
	if err != nil {
		return err
	}
	r.context = files
	name = path.Clean(name)
	data, err := files.read(ctx, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.sets = []set{{Set: wire.Set{Files: []wire.File{{Name: name, Data: data}}}, imports: files}}
	return nil
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

// remoteContext are the files of a context that the daemon has. An empty build
// holds them, and ends only by being canceled.
type remoteContext struct {
	ref   gateway.Reference
	end   context.CancelFunc
	ended chan error
}

func openContext(ctx context.Context, node *client.Client, attachables []session.Attachable, state llb.State) (*remoteContext, error) {
	def, err := state.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	building, end := context.WithCancel(context.WithoutCancel(ctx))
	c := &remoteContext{end: end, ended: make(chan error, 1)}
	opened := make(chan error, 1)
	go func() {
		_, err := node.Build(building, client.SolveOpt{Internal: true, Session: attachables}, "hullwright", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
			result, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
			if err == nil {
				c.ref, err = result.SingleRef()
			}
			opened <- err
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}, nil)
		c.ended <- err
	}()
	select {
	case err = <-opened:
	case err = <-c.ended:
		c.ended <- err // for close
		if err == nil {
			err = errors.New("the daemon ended the build that reads the context")
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the build, which it may call an error: it was canceled.
func (c *remoteContext) close() {
	c.end()
	<-c.ended
}

func (c *remoteContext) read(ctx context.Context, name string) ([]byte, error) {
	info, err := c.ref.StatFile(ctx, gateway.StatRequest{Path: name})
	if isNotFound(err) {
		return nil, &os.PathError{Op: "read", Path: name, Err: os.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	if info.Size > maxSize {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxSize)
	}
	return c.ref.ReadFile(ctx, gateway.ReadRequest{Filename: name})
}

// isNotFound tells by its words, which are all that crosses the daemon's socket.
func isNotFound(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no such file or directory")
}
