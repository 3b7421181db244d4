package progress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Stream is the status of one of several solves.
type Stream struct {
	Node   string // names every step; empty where there is one stream alone
	Status <-chan *client.SolveStatus
}

// Join sends the news of all streams to one channel, as [Show] reads it, until
// the last of them is closed; then it closes the channel. The same step on two
// nodes is two steps, each named for its node. A warning that several nodes
// give, since all read the same Dockerfile, is sent once.
func Join(streams []Stream, joined chan<- *client.SolveStatus) {
	defer close(joined)
	merged := make(chan *client.SolveStatus)
	go func() {
		defer close(merged)
		var group errgroup.Group
		for _, s := range streams {
			group.Go(func() error {
				for status := range s.Status {
					merged <- s.named(status)
				}
				return nil
			})
		}
		group.Wait() // no stream fails
	}()
	told := map[string]bool{}
	for status := range merged {
		status.Warnings = slices.DeleteFunc(status.Warnings, func(w *client.VertexWarning) bool {
			says := wording(w)
			known := told[says]
			told[says] = true
			return known && len(streams) > 1
		})
		joined <- status
	}
}

// wording is all that a person is told by a warning.
func wording(w *client.VertexWarning) string {
	says := fmt.Sprintf("%d %q %q %s %s", w.Level, w.Short, w.Detail, w.URL, w.SourceInfo.GetFilename())
	for _, r := range w.Range {
		says += fmt.Sprintf(" %v-%v", r.GetStart().GetLine(), r.GetEnd().GetLine())
	}
	return says
}

// named is the news with the node's name on every step, under digests that no
// other node has. The news is the caller's alone: it came for this one reader.
func (s Stream) named(status *client.SolveStatus) *client.SolveStatus {
	if s.Node == "" {
		return status
	}
	for _, v := range status.Vertexes {
		v.Digest, v.Name = s.apart(v.Digest), s.prefix(v.Name)
		v.Inputs = slices.Clone(v.Inputs)
		for i, in := range v.Inputs {
			v.Inputs[i] = s.apart(in)
		}
		if v.ProgressGroup != nil {
			group := v.ProgressGroup.CloneVT()
			group.Id, group.Name = s.Node+" "+group.Id, s.prefix(group.Name)
			v.ProgressGroup = group
		}
	}
	for _, v := range status.Statuses {
		v.Vertex = s.apart(v.Vertex)
	}
	for _, l := range status.Logs {
		l.Vertex = s.apart(l.Vertex)
	}
	for _, w := range status.Warnings {
		w.Vertex = s.apart(w.Vertex)
	}
	return status
}

func (s Stream) apart(d digest.Digest) digest.Digest {
	if d == "" {
		return ""
	}
	return digest.FromString(s.Node + " " + d.String())
}

// prefix puts the node into the brackets that BuildKit begins a name with.
func (s Stream) prefix(name string) string {
	if rest, ok := strings.CutPrefix(name, "["); ok {
		return "[" + s.Node + " " + rest
	}
	return "[" + s.Node + "] " + name
}
