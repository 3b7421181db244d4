package ci

import (
	"bytes"
	"io"
	"strings"
)

// guardLines is [Sanitize] for a system that obeys lines which begin with one
// of marks: they get a space in front.
func guardLines(w io.Writer, marks ...string) io.WriteCloser {
	g := &lineGuard{w: w, marks: marks, start: true}
	g.text = Sanitize(writerFunc(g.guard))
	return g
}

type lineGuard struct {
	w     io.Writer
	text  io.WriteCloser
	marks []string
	held  []byte // the start of a line that may yet become a mark
	start bool   // at the start of a line
}

func (g *lineGuard) Write(p []byte) (int, error) { return g.text.Write(p) }

func (g *lineGuard) Close() error {
	if err := g.text.Close(); err != nil {
		return err
	}
	_, err := g.w.Write(g.held)
	g.held = nil
	return err
}

func (g *lineGuard) guard(p []byte) (int, error) {
	var out []byte
	text := append(g.held, p...)
	g.held = nil
	for len(text) > 0 {
		if g.start {
			whole, partial := g.match(text)
			if partial {
				g.held = bytes.Clone(text)
				break
			}
			if whole {
				out = append(out, ' ')
			}
		}
		end := bytes.IndexByte(text, '\n') + 1
		if g.start = end > 0; !g.start {
			end = len(text)
		}
		out = append(out, text[:end]...)
		text = text[end:]
	}
	_, err := g.w.Write(out)
	return len(p), err
}

// match says whether text begins with a mark, and whether it may once there is
// more of it.
func (g *lineGuard) match(text []byte) (whole, partial bool) {
	for _, mark := range g.marks {
		whole = whole || bytes.HasPrefix(text, []byte(mark))
		partial = partial || len(text) < len(mark) && strings.HasPrefix(mark, string(text))
	}
	return whole, partial && !whole
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
