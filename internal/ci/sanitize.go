package ci

import (
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lineCap is how much of a line Sanitize lets through, in bytes. Runners hold
// whole lines in memory.
const lineCap = 64 << 10

const cutMark = "… [line cut]"

// Sanitize gives a writer for text that strangers wrote (a build's log, a
// branch's name) on its way to w. What it lets through moves no cursor and
// commands no CI system:
//
//   - carriage returns (those of CRLF too), control characters but tab and
//     line feed, terminal sequences and bidirectional overrides are dropped;
//   - "::" at the start of a line, and "##[", "##vso[", "##teamcity[" and
//     their like anywhere, get a space within. GitHub's runner obeys the old
//     "##[" form in the middle of a line too;
//   - invalid UTF-8 becomes U+FFFD;
//   - a line longer than 64 KiB is cut, and marked so.
//
// It keeps a few bytes between writes; Close hands them on and leaves w open.
func Sanitize(w io.Writer) io.WriteCloser {
	return &sanitizer{w: w, blank: true, lineCap: lineCap}
}

// SanitizeFile is [Sanitize] for a file, whose lines may have any length.
func SanitizeFile(w io.Writer) io.WriteCloser {
	return &sanitizer{w: w, blank: true, lineCap: math.MaxInt}
}

// SanitizeTerminal is [Sanitize] for a live display that a person watches:
// carriage returns stay, by which programs show how far they are.
func SanitizeTerminal(w io.Writer) io.WriteCloser {
	return &sanitizer{w: w, blank: true, lineCap: lineCap, returns: true}
}

// Clean is s as [Sanitize] lets it through.
func Clean(s string) string {
	var b strings.Builder
	w := Sanitize(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

type sanitizer struct {
	w       io.Writer
	lineCap int    // in bytes
	returns bool   // carriage returns are kept
	partial []byte // an incomplete rune at the end of the last write
	escape  escapeState
	out     []byte

	length  int  // of the line so far, in bytes
	blank   bool // only blanks in the line so far
	colon   bool // the line so far is blanks and one ":"
	hashes  int  // length of the run of "#" before what follows
	letters int  // letters since that run
}

// escapeState is where in a terminal sequence the text is.
type escapeState int

const (
	plain  escapeState = iota
	escape             // after ESC
	csi                // after ESC [, until its final byte
	str                // in OSC, DCS, SOS, PM or APC, until BEL or ST
)

func (s *sanitizer) Write(p []byte) (int, error) {
	text := p
	if len(s.partial) > 0 {
		text = append(s.partial, p...)
		s.partial = nil
	}
	s.out = s.out[:0]
	for len(text) > 0 {
		if n := s.ordinary(text); n > 0 {
			text = text[n:]
			continue
		}
		if !utf8.FullRune(text) {
			s.partial = append([]byte(nil), text...)
			break
		}
		r, size := utf8.DecodeRune(text)
		s.rune(r)
		text = text[size:]
	}
	return len(p), s.flush()
}

// ordinary takes the letters at the start of text that mean nothing here, many
// at one time: they are most of every log.
func (s *sanitizer) ordinary(text []byte) int {
	if s.escape != plain || s.hashes > 0 || s.blank {
		return 0
	}
	cut := s.length > s.lineCap // the rest of the line is not let through
	room := len(text)
	if !cut {
		room = min(room, s.lineCap-s.length)
	}
	n := 0
	for n < room && text[n] >= ' ' && text[n] < 0x7f && text[n] != '#' && text[n] != ':' && text[n] != '[' {
		n++
	}
	if n > 0 && !cut {
		s.out = append(s.out, text[:n]...)
		s.length += n
	}
	s.colon = s.colon && n == 0
	return n
}

// Close hands on what is held back.
func (s *sanitizer) Close() error {
	s.out = s.out[:0]
	if len(s.partial) > 0 {
		s.partial = nil
		s.rune(utf8.RuneError)
	}
	return s.flush()
}

func (s *sanitizer) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.w.Write(s.out)
	return err
}

// rune takes one character.
func (s *sanitizer) rune(r rune) {
	if s.inSequence(r) {
		return
	}
	switch {
	case r == '\n':
		s.newLine()
	case r == '\t', r == '\r' && s.returns:
		s.emit(r)
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\uFEFF':
	default:
		s.disarm(r)
		s.emit(r)
	}
}

// inSequence says whether r belongs to a terminal sequence, and so is dropped.
// A line feed ends every sequence: one that is never closed must not swallow
// the rest of a log.
func (s *sanitizer) inSequence(r rune) bool {
	if r == '\n' {
		s.escape = plain
		return false
	}
	switch s.escape {
	case escape:
		s.escape = afterEscape(r)
		return true
	case csi:
		if r >= 0x40 && r <= 0x7e {
			s.escape = plain
		}
		return true
	case str:
		switch r {
		case '\a', '\u009c':
			s.escape = plain
		case '\x1b':
			s.escape = escape // ESC \ ends the string; its "\" is dropped below
		}
		return true
	}
	switch r {
	case '\x1b':
		s.escape = escape
	case '\u009b':
		s.escape = csi
	case '\u0090', '\u0098', '\u009d', '\u009e', '\u009f':
		s.escape = str
	default:
		return false
	}
	return true
}

func afterEscape(r rune) escapeState {
	switch {
	case r == '[':
		return csi
	case strings.ContainsRune("]PX^_", r):
		return str
	case r == '\x1b', r >= 0x20 && r <= 0x2f: // another ESC, or an intermediate byte
		return escape
	}
	return plain
}

// disarm puts a space before r where r would complete the mark of a command.
func (s *sanitizer) disarm(r rune) {
	if r == ':' && s.colon || r == '[' && s.hashes >= 2 {
		s.emit(' ')
	}
	s.colon = r == ':' && s.blank
	s.blank = s.blank && unicode.IsSpace(r)
	switch {
	case r == '#' && s.letters == 0:
		s.hashes++
	case r == '#':
		s.hashes, s.letters = 1, 0
	case s.hashes >= 2 && s.letters < 32 && (unicode.IsLetter(r) || r == '-' || r == '_'):
		s.letters++
	default:
		s.hashes, s.letters = 0, 0
	}
}

func (s *sanitizer) emit(r rune) {
	before := s.length
	s.length += utf8.RuneLen(r)
	switch {
	case s.length <= s.lineCap:
		s.out = utf8.AppendRune(s.out, r)
	case before <= s.lineCap:
		s.out = append(s.out, cutMark...)
		s.length = s.lineCap + 1
	default:
		s.length = s.lineCap + 1 // stays there, however long the line
	}
}

func (s *sanitizer) newLine() {
	s.out = append(s.out, '\n')
	s.length, s.hashes, s.letters = 0, 0, 0
	s.blank, s.colon = true, false
}
