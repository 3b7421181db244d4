package policy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/policy/wire"
)

// endLimit is how long the program may take to end once nobody speaks to it.
const endLimit = 2 * time.Second

// evaluator is hullwright-policy at work. It ends when its connections do, also
// where this process is killed.
type evaluator struct {
	cmd    *exec.Cmd
	links  [2]net.Conn      // below the next two, which close only what they use
	conn   *grpc.ClientConn // to what it serves
	server *grpc.Server     // what it is served
	said   *lines
	ended  chan struct{}
	err    error // how it ended; once ended is closed
}

// startEvaluator starts the program and serves it. log receives what it writes
// to its standard error, a line at a time.
func startEvaluator(program string, environ []string, server *grpc.Server, log func(string)) (*evaluator, error) {
	calls, itsCalls, err := connectionPair()
	if err != nil {
		return nil, startFault(program, err)
	}
	defer itsCalls.Close()
	serving, itsServing, err := connectionPair()
	if err != nil {
		calls.Close()
		return nil, startFault(program, err)
	}
	defer itsServing.Close()
	e := &evaluator{links: [2]net.Conn{calls, serving}, server: server, said: &lines{log: log}, ended: make(chan struct{})}
	e.cmd = exec.Command(program)
	e.cmd.Env = environ
	e.cmd.Stderr = e.said
	e.cmd.ExtraFiles = []*os.File{itsServing, itsCalls} // wire.Inherited
	e.cmd.WaitDelay = time.Second
	apart(e.cmd)
	if e.conn, err = wire.Connect(serving); err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		e.disconnect()
		return nil, startFault(program, err)
	}
	go wire.Serve(server, calls)
	go func() {
		e.err = e.cmd.Wait()
		close(e.ended)
	}()
	return e, nil
}

func startFault(program string, err error) error {
	return errdefs.New(errdefs.Environment, "start %s: %w", program, err)
}

// start gives the program its policies.
func (e *evaluator) start(ctx context.Context, s wire.Start) (wire.Started, error) {
	started, err := wire.NewRules(e.conn).Start(ctx, s)
	if err == nil {
		return started, nil
	}
	if ctx.Err() != nil {
		return wire.Started{}, context.Cause(ctx)
	}
	text := status.Convert(err).Message()
	switch status.Code(err) {
	case codes.InvalidArgument:
		return wire.Started{}, errdefs.BadInputf("policy", 0, "%s", text)
	case codes.Unimplemented:
		return wire.Started{}, errdefs.New(errdefs.Environment, "%s is of another release than this program", e.cmd.Path).
			WithHint("put the %s of the same release there", programName)
	}
	if fault := e.fault(); fault != nil {
		return wire.Started{}, fault
	}
	return wire.Started{}, errors.New(text)
}

// fault is why the program has ended; nil while it has not.
func (e *evaluator) fault() error {
	patience := endLimit // its connection ends a moment before it does
	if e.conn.GetState() == connectivity.Ready {
		patience = 0
	}
	if !e.endsWithin(patience) {
		return nil
	}
	how := "it gave no reason"
	if e.err != nil {
		how = e.err.Error()
	}
	return errdefs.New(errdefs.Environment, "%s ended: %s%s", e.cmd.Path, how, e.said.tail())
}

// endsWithin waits for the program's end. One that has ended has, even where
// there is no patience at all: select takes either of two ready cases.
func (e *evaluator) endsWithin(patience time.Duration) bool {
	select {
	case <-e.ended:
		return true
	default:
	}
	select {
	case <-e.ended:
		return true
	case <-time.After(patience):
		return false
	}
}

// close ends the program, and waits until it has.
func (e *evaluator) close() {
	e.disconnect()
	if !e.endsWithin(endLimit) {
		e.cmd.Process.Kill()
		<-e.ended
	}
}

func (e *evaluator) disconnect() {
	for _, c := range e.links {
		c.Close() // the program's end is all that matters
	}
	e.server.Stop()
	if e.conn != nil {
		e.conn.Close()
	}
}

const (
	lineLimit = 4 << 10 // bytes of a line; a longer one is several
	tailLines = 20      // that an error has
)

// lines hands on what is written line by line, and remembers the last ones.
type lines struct {
	log func(string)

	mu   sync.Mutex
	rest []byte
	last []string
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			l.rest = append(l.rest, b)
		}
		if b == '\n' || len(l.rest) == lineLimit {
			l.end()
		}
	}
	return len(p), nil
}

func (l *lines) end() {
	line := strings.ToValidUTF8(strings.TrimRight(string(l.rest), "\r"), "\uFFFD")
	l.rest = l.rest[:0]
	l.last = append(l.last, line)
	l.last = l.last[max(0, len(l.last)-tailLines):]
	l.log(line)
}

// tail are the last lines, each indented after a newline.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.end()
	}
	var text strings.Builder
	for _, line := range l.last {
		fmt.Fprintf(&text, "\n  %s", line)
	}
	return text.String()
}
