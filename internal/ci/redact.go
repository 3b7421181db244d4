package ci

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// shortestSecret is the length of the shortest line that is hidden. Hiding
// shorter ones would blot out half of a log and say what the secret is.
const shortestSecret = 4

// Secrets are the values that nobody may read in what is printed, in the forms
// in which programs print them: as they are, in base64, URL-encoded and escaped
// as JSON. A nil Secrets hides nothing. It is safe for concurrent use.
type Secrets struct {
	mu    sync.RWMutex
	known map[string]bool
	forms [256][][]byte // by their first byte
}

// Add hides a value from now on, each of its lines by itself too.
func (s *Secrets) Add(value string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	for _, form := range secretForms(value) {
		if !s.known[form] {
			s.known[form] = true
			s.forms[form[0]] = append(s.forms[form[0]], []byte(form))
		}
	}
}

// Writer hides the secrets in what is written to w, those that are added later
// too.
func (s *Secrets) Writer(w io.Writer) *Redactor { return &Redactor{w: w, secrets: s} }

// Hide is text with its secrets hidden.
func (s *Secrets) Hide(text string) string {
	var b strings.Builder
	r := s.Writer(&b)
	io.WriteString(r, text)
	r.Flush()
	return b.String()
}

// Blot overwrites the secrets in p with asterisks and leaves its length as it
// is, for text within a format that counts bytes. partial is how many bytes at
// the end of p may begin a secret that p does not hold whole; they are as they
// were. With all, there are none.
func (s *Secrets) Blot(p []byte, all bool) (partial int) {
	if s == nil {
		return 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := 0; i < len(p); {
		length, open := s.match(p[i:])
		if open && !all {
			return len(p) - i
		}
		for j := range length {
			p[i+j] = '*'
		}
		i += max(length, 1)
	}
	return 0
}

// match is the length of the longest secret at the start of text, and whether
// a longer one may begin there that text does not show whole.
func (s *Secrets) match(text []byte) (length int, partial bool) {
	for _, form := range s.forms[text[0]] {
		switch {
		case bytes.HasPrefix(text, form):
			length = max(length, len(form))
		case len(text) < len(form) && bytes.HasPrefix(form, text):
			partial = true
		}
	}
	return length, partial
}

// Redactor is a writer that hides secrets: each becomes "***". It is for
// systems that can't mask by themselves; providers tell their streams, where
// those are Redactors, what Mask was told. It is safe for concurrent use.
//
// What could be the beginning of a secret is held back until the next write or
// Flush, never more than the longest secret.
type Redactor struct {
	w       io.Writer
	secrets *Secrets

	mu   sync.Mutex
	held []byte
}

// NewRedactor hides what Redact will name in all that is written to w.
func NewRedactor(w io.Writer) *Redactor { return new(Secrets).Writer(w) }

// Redact hides a value in all that is written after.
func (r *Redactor) Redact(value string) { r.secrets.Add(value) }

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
	if len(r.held) == 0 {
		return nil
	}
	out, rest := r.secrets.hide(r.held, all)
	defer func() { r.held = append(r.held[:0], rest...) }()
	if len(out) == 0 {
		return nil
	}
	_, err := r.w.Write(out)
	return err
}

// hide is text with "***" for its secrets, and the end of text that may begin
// one; with all, there is no such end.
func (s *Secrets) hide(text []byte, all bool) (out, rest []byte) {
	if s == nil {
		return text, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out = make([]byte, 0, len(text))
	for len(text) > 0 {
		n := 0
		for n < len(text) && s.forms[text[n]] == nil {
			n++
		}
		if out, text = append(out, text[:n]...), text[n:]; len(text) == 0 {
			break
		}
		secret, partial := s.match(text)
		switch {
		case partial && !all:
			return out, text
		case secret > 0:
			out = append(out, "***"...)
			text = text[secret:]
		default:
			out = append(out, text[0])
			text = text[1:]
		}
	}
	return out, nil
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
	h.Secrets.Add(value)
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

// secretForms are the texts by which a value can be read: its lines, and lines
// and the whole in the encodings that programs print.
func secretForms(value string) []string {
	lines := maskLines(value)
	forms := lines
	for _, line := range lines {
		forms = append(forms, encodings(line)...)
	}
	if whole := strings.TrimSpace(value); strings.Contains(whole, "\n") {
		forms = append(forms, encodings(whole)...)
	}
	return forms
}

// shortestPiece is the length of the shortest piece of base64 that is hidden:
// shorter ones are found in any text.
const shortestPiece = 8

// encodings are JSON, URL and base64 forms of s that differ from it.
func encodings(s string) []string {
	var forms []string
	add := func(least int, texts ...string) {
		for _, text := range texts {
			if len(text) >= least && text != s {
				forms = append(forms, text)
			}
		}
	}
	query := url.QueryEscape(s)
	add(shortestSecret, query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(s))
	if escaped, err := json.Marshal(s); err == nil {
		inner := string(escaped[1 : len(escaped)-1])
		add(shortestSecret, inner, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(inner))
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		whole := encoding.EncodeToString([]byte(s))
		add(shortestPiece, whole)
		// base64 breaks its lines after 76 characters.
		for line := range slices.Chunk([]byte(whole), base64Line) {
			add(shortestPiece, string(line))
		}
		// Within a longer text, as user:password, a secret begins at any of three
		// places of a group, and its last group depends on what follows.
		for shift := range min(3, len(s)) {
			inner := s[shift : len(s)-(len(s)-shift)%3]
			add(shortestPiece, encoding.EncodeToString([]byte(inner)))
		}
	}
	return forms
}

const base64Line = 76
