package builder

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/jsonstream"
	engine "github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// EnginePush is a push by an engine, for images in its classic store: BuildKit
// there can't push.
type EnginePush struct {
	Engine *engine.Client
	// Login gives the credentials of a repository as the engine takes them.
	Login func(ctx context.Context, repo name.Repository) (string, error)
	// Registry says what a tag pointed to before.
	Registry *registry.Client
	Now      func() time.Time
	stall    time.Duration // zero is pushStall
}

// Push has the engine push the image of result, which it has by the request's
// tags, to each repository, by that tag there that moves least: an engine pushes
// to tags only. The others are [Release]'s, as ever. The digest that it gives is
// the first repository's, by which the result then goes; an image in an engine's
// store has none before. It gives a row for each tag that was written, with an
// error too. The display is the session's.
func (p EnginePush) Push(ctx context.Context, req Request, result Result, s Session) (Result, []registry.Written, error) {
	tags := firstTags(req)
	rows := make([]registry.Written, len(tags))
	status := make(chan *client.SolveStatus)
	var display errgroup.Group
	display.Go(func() error {
		_, err := progress.Show(ctx, s.Progress, s.Display, s.screened(status))
		return err
	})
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(maxRepositories)
	for i, tag := range tags {
		group.Go(func() error {
			var err error
			rows[i], err = p.write(gctx, tag, func(st *client.SolveStatus) { status <- st })
			return err
		})
	}
	err := group.Wait()
	close(status)
	err = errors.Join(err, display.Wait())
	var digest v1.Hash
	if err == nil {
		digest, err = v1.NewHash(rows[0].After)
	}
	if err != nil {
		return result, slices.DeleteFunc(rows, func(w registry.Written) bool { return w.After == "" }), err
	}
	return result.pushedAs(digest), rows, nil
}

// write pushes to a tag, and says what became of it.
func (p EnginePush) write(ctx context.Context, tag name.Tag, tell func(*client.SolveStatus)) (registry.Written, error) {
	row := registry.Written{Tag: tag.Name(), Status: "written"}
	before, err := p.Registry.Resolve(ctx, tag)
	switch {
	case err == nil:
		row.Before = before.String()
	case !errors.Is(err, registry.ErrNotFound):
		return row, err
	}
	digest, err := p.push(ctx, tag, tell)
	if err != nil {
		return row, err
	}
	if row.After = digest.String(); row.After == row.Before {
		row.Status = "unchanged"
	}
	return row, nil
}

// firstTags are one tag of each repository, in the order of the repositories:
// the one that is to be written first.
func firstTags(req Request) []name.Tag {
	var tags []name.Tag
	at := map[string]int{}
	for _, t := range req.Tags {
		i, seen := at[t.Context().Name()]
		switch {
		case !seen:
			at[t.Context().Name()] = len(tags)
			tags = append(tags, t)
		case registry.Rank(t.TagStr()) < registry.Rank(tags[i].TagStr()):
			tags[i] = t
		}
	}
	return tags
}

// Stored is the result as the engine whose store has the image names it:
// containerd's store knows an image by its index or manifest, and not by its
// config.
func (r Result) Stored(images setup.ImageStore) Result {
	if images != setup.ContainerdStore || len(r.Parts) != 1 {
		return r
	}
	part := r.Parts[0]
	part.Response = maps.Clone(part.Response)
	delete(part.Response, configKey)
	r.Parts = []Part{part}
	return r
}

// pushedAs is the result with the digest that a registry has the image by. What
// such an engine calls the digest of an image is its id.
func (r Result) pushedAs(digest v1.Hash) Result {
	part := r.Parts[0]
	part.Response = maps.Clone(part.Response)
	if part.Response[configKey] == "" {
		part.Response[configKey] = part.Response[digestKey]
	}
	part.Response[digestKey] = digest.String()
	part.Digest, r.Digest = digest, digest
	r.Parts = []Part{part}
	return r
}

// pushStall is how long an engine may push without a word. It says nothing while
// a registry puts a layer together whose last byte was sent, which takes minutes
// where that is large.
const pushStall = 10 * time.Minute

func (p EnginePush) push(ctx context.Context, tag name.Tag, tell func(*client.SolveStatus)) (pushed v1.Hash, err error) {
	login, err := p.Login(ctx, tag.Context())
	if err != nil {
		return v1.Hash{}, err
	}
	shown := newEngineStep("pushing "+tag.String()+" with the engine", p.Now, tell)
	defer func() { shown.end(err) }()
	stall := cmp.Or(p.stall, pushStall)
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no word from the engine for %s", stall)) })
	defer silent.Stop()
	pushed, err = p.pushWatched(limited, tag, login, func(news jsonstream.Message) {
		silent.Reset(stall)
		shown.layer(news)
	})
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	if err != nil {
		return v1.Hash{}, pushFault(ctx, tag, err)
	}
	return pushed, nil
}

func (p EnginePush) pushWatched(ctx context.Context, tag name.Tag, login string, heard func(jsonstream.Message)) (pushed v1.Hash, err error) {
	reply, err := p.Engine.ImagePush(ctx, tag.Name(), engine.ImagePushOptions{RegistryAuth: login})
	if err != nil {
		return v1.Hash{}, err
	}
	defer reply.Close()
	for decoder := json.NewDecoder(reply); ; {
		var news jsonstream.Message
		switch err := decoder.Decode(&news); {
		case err == io.EOF && pushed.Hex == "":
			return v1.Hash{}, errors.New("the engine tells no digest")
		case err == io.EOF:
			return pushed, nil
		case err != nil:
			return v1.Hash{}, err
		case news.Error != nil:
			return v1.Hash{}, news.Error
		}
		heard(news)
		if news.Aux == nil {
			continue
		}
		if pushed, err = auxDigest(*news.Aux); err != nil {
			return v1.Hash{}, err
		}
	}
}

// auxDigest is the digest in the last word of a push:
// https://github.com/moby/moby/blob/v20.10.24/distribution/push_v2.go (apitypes.PushResult)
func auxDigest(raw []byte) (v1.Hash, error) {
	var result struct{ Digest string }
	if err := json.Unmarshal(raw, &result); err != nil {
		return v1.Hash{}, err
	}
	return v1.NewHash(result.Digest)
}

// pushFault says in a person's terms why an engine could not push. Its words are
// not BuildKit's, but the registry's in them are.
func pushFault(ctx context.Context, tag name.Tag, err error) error {
	text := err.Error()
	switch {
	case ctx.Err() != nil:
	case strings.Contains(text, "no basic auth credentials"):
		return errdefs.New(errdefs.Denied, "push %s with the engine: %w", tag, err).
			WithHint("log in to the registry with an account that may do this")
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), strings.Contains(text, "x509: "):
		return errdefs.New(errdefs.Environment, "push %s with the engine: %w", tag, err).
			WithHint("the engine speaks to registries as its own configuration says: insecure-registries in its daemon.json, certificates in certs.d")
	}
	told := classify(ctx, Solve{}, progress.Summary{}, fmt.Errorf("failed to push %s: %w", tag, err))
	var fault *errdefs.Error
	if errors.As(told, &fault) && fault.Kind == errdefs.Build { // nothing was built here
		fault.Kind = errdefs.Environment
	}
	return told
}

// engineStep is something that an engine does, as a step of a build's display.
type engineStep struct {
	vertex client.Vertex
	layers map[string]*client.VertexStatus
	tell   func(*client.SolveStatus)
	now    func() time.Time
}

func newEngineStep(name string, clock func() time.Time, tell func(*client.SolveStatus)) *engineStep {
	now := clock()
	s := &engineStep{
		vertex: client.Vertex{Digest: digest.FromString(name), Name: name, Started: &now},
		layers: map[string]*client.VertexStatus{}, tell: tell, now: clock,
	}
	begun := s.vertex
	tell(&client.SolveStatus{Vertexes: []*client.Vertex{&begun}})
	return s
}

// layer shows how far a layer is. One that the registry has already is not shown.
func (s *engineStep) layer(news jsonstream.Message) {
	pushed := news.Status == "Pushed"
	if news.ID == "" || news.Progress == nil && !pushed {
		return
	}
	now := s.now()
	st := s.layers[news.ID]
	if st == nil {
		st = &client.VertexStatus{ID: "pushing layer " + news.ID, Vertex: s.vertex.Digest, Started: &now}
		s.layers[news.ID] = st
	}
	st.Timestamp = now
	if news.Progress != nil {
		st.Current, st.Total = news.Progress.Current, max(news.Progress.Total, 0)
	}
	if pushed {
		st.Current, st.Completed = st.Total, &now
	}
	shown := *st
	s.tell(&client.SolveStatus{Statuses: []*client.VertexStatus{&shown}})
}

func (s *engineStep) end(err error) {
	now := s.now()
	s.vertex.Completed = &now
	if err != nil {
		s.vertex.Error = err.Error()
	}
	last := &client.SolveStatus{Vertexes: []*client.Vertex{&s.vertex}}
	for _, st := range s.layers {
		if st.Completed == nil {
			st.Completed, st.Timestamp = &now, now
			last.Statuses = append(last.Statuses, st)
		}
	}
	s.tell(last)
}
