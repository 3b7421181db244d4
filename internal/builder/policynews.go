package builder

import (
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/opencontainers/go-digest"
)

// policyNews shows what policies say as a step of the build. Nothing of it shows
// where they say nothing.
type policyNews struct {
	tell func(*client.SolveStatus)

	mu      sync.Mutex
	vertex  client.Vertex
	started time.Time
	last    time.Time // that a policy said something: the step waits for the build otherwise
	ended   bool      // a check may outlive the solve that asked for it
}

func (n *policyNews) log(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended || n.tell == nil {
		return
	}
	now := time.Now()
	n.last = now
	if n.started.IsZero() {
		n.started = now
		n.vertex = client.Vertex{Digest: digest.FromString(identity.NewID()), Name: "[internal] source policies", Started: &n.started}
		started := n.vertex
		n.tell(&client.SolveStatus{Vertexes: []*client.Vertex{&started}})
	}
	n.tell(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: n.vertex.Digest, Stream: 1, Data: []byte(line + "\n"), Timestamp: now}}})
}

func (n *policyNews) end(error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	if n.started.IsZero() {
		return
	}
	n.vertex.Completed = &n.last
	n.tell(&client.SolveStatus{Vertexes: []*client.Vertex{&n.vertex}})
}
