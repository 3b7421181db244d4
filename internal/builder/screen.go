package builder

import (
	"io"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/progress"
)

// screened is status with the session's secrets hidden, before anything shows
// or keeps it, and for a terminal without what could command that. The session's
// logs get it on the way.
func (s Session) screened(status <-chan *client.SolveStatus) chan *client.SolveStatus {
	out := make(chan *client.SolveStatus)
	sc := screen{session: s, streams: map[stream]*outlet{}}
	go func() {
		defer close(out) // after status, which a solve closes in any case
		for st := range status {
			sc.status(st)
			s.Logs.Add(st)
			if s.Display == progress.TTY {
				sc.tame(st)
			}
			out <- st
		}
		if rest := sc.rest(); len(rest.Logs) > 0 {
			s.Logs.Add(rest)
			out <- rest
		}
	}()
	return out
}

// screen hides what a stream of status must not show. A secret may be cut
// anywhere between two logs of a step, so the start of one is held back.
type screen struct {
	session Session
	streams map[stream]*outlet
}

// stream is one of a step's two.
type stream struct {
	vertex digest.Digest
	number int
}

// outlet is a stream on its way.
type outlet struct {
	redactor *ci.Redactor
	clean    io.WriteCloser // for a terminal
	tamed    strings.Builder
	text     strings.Builder
	at       time.Time // of the last log
}

func (sc screen) outlet(log *client.VertexLog) *outlet {
	key := stream{log.Vertex, log.Stream}
	o := sc.streams[key]
	if o == nil {
		o = &outlet{}
		o.redactor = sc.session.Secrecy.Writer(&o.text)
		o.clean = ci.SanitizeTerminal(&o.tamed)
		sc.streams[key] = o
	}
	return o
}

func take(b *strings.Builder) []byte {
	text := []byte(b.String())
	b.Reset()
	return text
}

// status hides secrets in all of a status's text.
func (sc screen) status(st *client.SolveStatus) {
	hide := sc.session.Secrecy.Hide
	for _, v := range st.Vertexes {
		v.Name, v.Error = hide(v.Name), hide(v.Error)
	}
	for _, s := range st.Statuses {
		s.ID, s.Name = hide(s.ID), hide(s.Name)
	}
	for _, w := range st.Warnings {
		w.Short = []byte(hide(string(w.Short)))
		for i, d := range w.Detail {
			w.Detail[i] = []byte(hide(string(d)))
		}
	}
	for _, log := range st.Logs {
		o := sc.outlet(log)
		o.redactor.Write(log.Data) // to memory, which takes all
		log.Data, o.at = take(&o.text), log.Timestamp
	}
	for _, v := range st.Vertexes {
		if v.Completed != nil {
			st.Logs = append(st.Logs, sc.end(v.Digest)...)
		}
	}
}

// end gives what was held back of a step that has ended.
func (sc screen) end(vertex digest.Digest) []*client.VertexLog {
	var logs []*client.VertexLog
	for key, o := range sc.streams {
		if key.vertex != vertex {
			continue
		}
		o.redactor.Flush()
		if text := take(&o.text); len(text) > 0 {
			logs = append(logs, &client.VertexLog{Vertex: vertex, Stream: key.number, Data: text, Timestamp: o.at})
		}
	}
	return logs
}

// rest gives what is held back of steps whose end nobody told.
func (sc screen) rest() *client.SolveStatus {
	var st client.SolveStatus
	for key := range sc.streams {
		st.Logs = append(st.Logs, sc.end(key.vertex)...)
	}
	return &st
}

// tame takes from a status what could move a terminal's cursor, rename its
// window or write to its clipboard. Where no terminal is, the writer of the log
// does that.
func (sc screen) tame(st *client.SolveStatus) {
	for _, v := range st.Vertexes {
		v.Name, v.Error = ci.Clean(v.Name), ci.Clean(v.Error)
	}
	for _, s := range st.Statuses {
		s.ID, s.Name = ci.Clean(s.ID), ci.Clean(s.Name)
	}
	for _, w := range st.Warnings {
		w.Short = []byte(ci.Clean(string(w.Short)))
	}
	for _, log := range st.Logs {
		o := sc.outlet(log)
		o.clean.Write(log.Data)
		log.Data = take(&o.tamed)
	}
}
