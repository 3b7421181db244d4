package ci

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// shortestSecret is the length of the shortest line that is hidden. Hiding
// shorter ones would blot out half of a log and say what the secret is.
const shortestSecret = 4

// Redactor is a writer that hides secrets: each line of one becomes "***". It
// is for systems that can't mask by themselves; providers tell their streams,
// where those are Redactors, what Mask was told. It is safe for concurrent use.
//
// What could be the beginning of a secret is held back until the next write or
// Flush, never more than the longest secret.
type Redactor struct {
	w io.Writer

	mu      sync.Mutex
	secrets [][]byte
	held    []byte
}

// NewRedactor hides what Redact will name in all that is written to w.
func NewRedactor(w io.Writer) *Redactor { return &Redactor{w: w} }

// Redact hides a value in all that is written after.
func (r *Redactor) Redact(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range maskLines(value) {
		r.secrets = append(r.secrets, []byte(line))
	}
}

// Write hands on p with its secrets hidden.
func (r *Redactor) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, p...)
	return len(p), r.drain(false)
}

// Flush hands on what is held back.
func (r *Redactor) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drain(true)
}

func (r *Redactor) drain(all bool) error {
	var out []byte
	text := r.held
	for len(text) > 0 {
		secret, partial := r.match(text)
		if partial && !all {
			break
		}
		if secret > 0 {
			out = append(out, "***"...)
			text = text[secret:]
			continue
		}
		out = append(out, text[0])
		text = text[1:]
	}
	r.held = append(r.held[:0], text...)
	if len(out) == 0 {
		return nil
	}
	_, err := r.w.Write(out)
	return err
}

// match is the length of the longest secret at the start of text, and whether
// a longer one may begin there that text does not show whole.
func (r *Redactor) match(text []byte) (length int, partial bool) {
	for _, s := range r.secrets {
		switch {
		case bytes.HasPrefix(text, s):
			length = max(length, len(s))
		case len(text) < len(s) && bytes.HasPrefix(s, text):
			partial = true
		}
	}
	return length, partial
}

// raw writes text with nothing hidden: the command that tells a CI system of a
// secret must hold it.
func (r *Redactor) raw(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drain(true) == nil {
		io.WriteString(r.w, text)
	}
}

// maskCommand writes a command that holds a secret to the log.
func (h Host) maskCommand(text string) {
	if r, ok := h.Stderr.(*Redactor); ok {
		r.raw(text)
		return
	}
	io.WriteString(h.Stderr, text)
}

// redact tells the host's streams to hide a value, where they can.
func (h Host) redact(value string) {
	for _, w := range []io.Writer{h.Stdout, h.Stderr} {
		if r, ok := w.(interface{ Redact(value string) }); ok {
			r.Redact(value)
		}
	}
}

// maskLines are the lines of a secret that are worth hiding.
func maskLines(value string) []string {
	var lines []string
	for _, line := range strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); len(line) >= shortestSecret {
			lines = append(lines, line)
		}
	}
	return lines
}
