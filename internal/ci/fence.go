package ci

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// Foreign gives a writer for foreign text on its way to w: behind the system's
// own fence where it has one, sanitized everywhere. Close must be called; it
// leaves w open.
func Foreign(p Provider, w io.Writer) (io.WriteCloser, error) {
	if f, ok := p.(Fencer); ok {
		return f.Fence(w)
	}
	return Sanitize(w), nil
}

// Inert is foreign text as the system's log may show it without a fence: what
// [Clean] leaves of it, and no line that begins with what the system obeys there.
// It is for the few lines of an error, which a fence would make unreadable.
func Inert(p Provider, text string) string {
	var marks []string
	if m, ok := p.(marker); ok {
		marks = m.lineMarks()
	}
	var b strings.Builder
	w := guardLines(&b, marks...)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// marker is a system that obeys lines which begin with a mark.
type marker interface{ lineMarks() []string }

// fence stops GitHub's runner from obeying commands until Close.
type fence struct {
	w     *lastByte
	text  io.WriteCloser
	token string
}

// newFence prints the command that stops commands. Its token is random, and is
// printed again only to resume, so text within can't end the fence.
func newFence(w io.Writer) (*fence, error) {
	token, err := randomToken()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, "::stop-commands::"+token+"\n"); err != nil {
		return nil, err
	}
	out := &lastByte{w: w, last: '\n'}
	return &fence{w: out, text: Sanitize(out), token: token}, nil
}

func (f *fence) Write(p []byte) (int, error) { return f.text.Write(p) }

// Close ends the fence, on a line of its own, also where the text broke off.
func (f *fence) Close() error {
	if f.token == "" {
		return nil
	}
	err := f.text.Close()
	var resume bytes.Buffer
	if f.w.last != '\n' {
		resume.WriteByte('\n')
	}
	resume.WriteString("::" + f.token + "::\n")
	f.token = ""
	_, werr := f.w.w.Write(resume.Bytes())
	return errors.Join(err, werr)
}

// lastByte remembers the last byte written.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}
