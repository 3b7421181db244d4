package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Logs keep all that the steps of a build print, in one file or in one file a
// step, while it runs. Begin with [NewLogs]. A nil Logs keeps nothing.
type Logs struct {
	clean func(io.Writer) io.WriteCloser

	mu      sync.Mutex
	file    *os.File // of all steps; nil where each has its own
	dir     *os.Root
	steps   map[digest.Digest]*stepLog
	clipped bool
	err     error // the first; nothing is written after it
}

// NewLogs keeps logs at path: in one file of that name, or, where path is a
// directory or ends as one does, in a file for each step that prints. What
// stands at a file's path before is replaced, a link too: it may lie in a
// checkout, where a stranger put it. clean takes from a step's text what must
// not be in a file.
func NewLogs(path string, clean func(io.Writer) io.WriteCloser) (*Logs, error) {
	l := &Logs{clean: clean, steps: map[digest.Digest]*stepLog{}}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() || strings.HasSuffix(path, "/") || strings.HasSuffix(path, string(filepath.Separator)) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		l.dir, err = os.OpenRoot(path)
		return l, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	return l, err
}

// Add takes in what a status says.
func (l *Logs) Add(s *client.SolveStatus) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range s.Vertexes {
		step := l.step(v.Digest)
		step.name = v.Name
		if v.Started != nil && step.started.IsZero() {
			step.started = *v.Started
		}
	}
	for _, log := range s.Logs {
		// BuildKit's own words, in the middle of a step's:
		// https://github.com/moby/buildkit/blob/v0.33.1/util/progress/logs/logs.go
		l.clipped = l.clipped || bytes.Contains(log.Data, []byte("\n[output clipped, log limit "))
		l.step(log.Vertex).write(log.Data, log.Timestamp)
	}
	for _, v := range s.Vertexes {
		if v.Completed != nil || v.Error != "" || v.Cached {
			l.step(v.Digest).end(v)
		}
	}
}

// Clipped is whether the builder left out some of what a step printed.
func (l *Logs) Clipped() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clipped
}

// Close ends the logs. It gives the first error of their writing.
func (l *Logs) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, step := range l.steps {
		step.close("")
	}
	if l.file != nil {
		l.fail(l.file.Close())
	}
	if l.dir != nil {
		l.fail(l.dir.Close())
	}
	return l.err
}

func (l *Logs) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *Logs) step(id digest.Digest) *stepLog {
	if l.steps[id] == nil {
		l.steps[id] = &stepLog{logs: l, number: len(l.steps) + 1}
	}
	return l.steps[id]
}

// longestLine is how much of a line is held until it ends, in bytes.
const longestLine = 64 << 10

// stepLog is one step's part of the logs.
type stepLog struct {
	logs    *Logs
	number  int
	name    string
	started time.Time

	text  io.WriteCloser // cleans, then goes to out or to lines; nil is closed
	out   *os.File       // the step's own file
	line  []byte         // in the file of all steps: what has not ended
	at    string         // the time that the line shows
	begun bool           // the step has a part
	ended bool
}

func (s *stepLog) write(data []byte, at time.Time) {
	if !s.open() {
		return
	}
	s.at = "0.000"
	if !s.started.IsZero() {
		s.at = fmt.Sprintf("%.3f", max(0, at.Sub(s.started).Seconds()))
	}
	_, err := s.text.Write(data)
	s.logs.fail(err)
}

// open begins the step's part, or goes on with it: the last words of a step may
// come after its end.
func (s *stepLog) open() bool {
	if s.text != nil || s.logs.err != nil {
		return s.logs.err == nil
	}
	first := !s.begun
	s.begun = true
	if s.logs.file != nil {
		s.text = s.logs.clean(writerFunc(s.lines))
		if first {
			s.say(s.name)
		}
		return s.logs.err == nil
	}
	s.logs.fail(s.openFile(first))
	return s.logs.err == nil
}

func (s *stepLog) openFile(first bool) error {
	name, flags := s.fileName(), os.O_WRONLY|os.O_APPEND
	if first {
		flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if err := s.logs.dir.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	var err error
	if s.out, err = s.logs.dir.OpenFile(name, flags, 0o644); err != nil {
		return err
	}
	s.text = s.logs.clean(s.out)
	if first {
		_, err = io.WriteString(s.text, "# "+oneLine(s.name)+"\n")
	}
	return err
}

// say writes a line of the file of all steps that the step did not print.
func (s *stepLog) say(text string) {
	var b strings.Builder
	w := s.logs.clean(&b)
	io.WriteString(w, oneLine(text))
	w.Close()
	s.print(b.String())
}

// print writes a line that is clean.
func (s *stepLog) print(line string) {
	if s.logs.err == nil {
		_, err := fmt.Fprintf(s.logs.file, "#%d %s\n", s.number, line)
		s.logs.fail(err)
	}
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }

// lines writes whole lines to the file of all steps, each with the step's
// number, since steps that run at the same time print in turn.
func (s *stepLog) lines(p []byte) (int, error) {
	s.line = append(s.line, p...)
	for {
		end := bytes.IndexByte(s.line, '\n')
		switch {
		case end >= 0:
			s.print(s.at + " " + string(s.line[:end]))
			s.line = s.line[end+1:]
		case len(s.line) >= longestLine:
			s.print(s.at + " " + string(s.line))
			s.line = s.line[:0]
		default:
			return len(p), s.logs.err
		}
	}
}

// end says how the step ended.
func (s *stepLog) end(v *client.Vertex) {
	if s.ended {
		return
	}
	s.ended = true
	switch {
	case v.Error != "":
		s.close("ERROR: " + v.Error)
	case v.Cached:
		s.close("CACHED")
	case v.Started != nil && v.Completed != nil:
		s.close(fmt.Sprintf("DONE %.1fs", v.Completed.Sub(*v.Started).Seconds()))
	}
}

// close ends the step's part. In the file of all steps a step that printed
// nothing has one, too.
func (s *stepLog) close(how string) {
	if how != "" && s.logs.file != nil {
		s.open()
	}
	if s.text == nil || s.logs.err != nil {
		return
	}
	if how != "" && s.out != nil {
		_, err := fmt.Fprintf(s.text, "\n# %s\n", oneLine(how))
		s.logs.fail(err)
	}
	s.logs.fail(s.text.Close())
	s.text = nil
	if s.out != nil {
		s.logs.fail(s.out.Close())
		s.out = nil
		return
	}
	if len(s.line) > 0 {
		s.print(s.at + " " + string(s.line))
		s.line = nil
	}
	if how != "" {
		s.say(how)
	}
}

// fileName is a name for the step's file that sorts by the order of the steps
// and is a name anywhere.
func (s *stepLog) fileName() string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
			return r
		}
		return '_'
	}, s.name)
	return fmt.Sprintf("%03d-%s.log", s.number, strings.Trim(name[:min(len(name), 60)], "_."))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
