package progress

import (
	"bytes"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

const (
	tailLines = 50      // of a step that are remembered while it runs
	tailWidth = 4 << 10 // bytes of such a line
)

// FailedLog are the last n lines, at most, that the failed step printed. It is
// empty where none failed, or the one that did printed nothing. A step that was
// stopped because another failed is not meant.
func (s Summary) FailedLog(n int) string {
	for _, step := range s.Steps {
		if step.Error == "" || len(step.Last) == 0 || strings.HasSuffix(step.Error, "context canceled") {
			continue
		}
		return strings.Join(step.Last[max(0, len(step.Last)-n):], "\n") + "\n"
	}
	return ""
}

// tails remember the end of what each step prints.
type tails map[digest.Digest]*tail

// tail is the end of one step's output.
type tail struct {
	lines   []string
	line    []byte // that has not ended
	pending bool   // a carriage return, which starts the line anew unless it ends it
}

// add takes in what a status says. It gives the last lines of a step to set.
func (t tails) add(s *client.SolveStatus, set func(step digest.Digest, last []string)) {
	for _, log := range s.Logs {
		if t[log.Vertex] == nil {
			t[log.Vertex] = &tail{}
		}
		t[log.Vertex].write(log.Data)
		set(log.Vertex, t[log.Vertex].last())
	}
	for _, v := range s.Vertexes {
		if v.Completed != nil && v.Error == "" {
			delete(t, v.Digest)
			set(v.Digest, nil)
		}
	}
}

func (t *tail) write(text []byte) {
	for len(text) > 0 {
		end := bytes.IndexAny(text, "\r\n")
		if end < 0 {
			end = len(text)
		}
		t.extend(text[:end])
		if end < len(text) {
			t.control(text[end])
			end++
		}
		text = text[end:]
	}
}

func (t *tail) extend(text []byte) {
	if len(text) == 0 {
		return
	}
	if t.pending { // a bar of progress is drawn over the one before
		t.line, t.pending = t.line[:0], false
	}
	t.line = append(t.line, text[:min(len(text), tailWidth-len(t.line))]...)
}

func (t *tail) control(c byte) {
	if t.pending = c == '\r'; t.pending {
		return
	}
	t.lines = append(t.lines, strings.ToValidUTF8(string(t.line), "\uFFFD"))
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
	t.line = t.line[:0]
}

// last are the lines, with the one that has not ended.
func (t *tail) last() []string {
	if len(t.line) == 0 {
		return t.lines
	}
	return append(t.lines[:len(t.lines):len(t.lines)], strings.ToValidUTF8(string(t.line), "\uFFFD"))
}
