package setup

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	engine "github.com/moby/moby/client"
)

// stdioConn is a command in a container as a connection: writes go to its
// standard input, reads come from its standard output. The engine sends both
// of its output streams through one connection, in frames of eight bytes of
// head (stream, three zeros, length) and a body.
type stdioConn struct {
	net.Conn
	api    *engine.Client
	out    io.Reader
	left   uint32 // of the frame of standard output that is being read
	stderr bytes.Buffer
}

// stderrLimit is how much of a command's complaints is kept.
const stderrLimit = 4096

// execConn starts a command in a container. Closing the connection closes api
// too.
func execConn(ctx context.Context, api *engine.Client, container string, command ...string) (net.Conn, error) {
	exec, err := api.ExecCreate(ctx, container, engine.ExecCreateOptions{
		Cmd: command, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, err
	}
	attached, err := api.ExecAttach(ctx, exec.ID, engine.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	return &stdioConn{Conn: attached.Conn, api: api, out: attached.Reader}, nil
}

// Read gives the command's standard output. Its end is an error that has the
// command's standard error, where it wrote any.
func (c *stdioConn) Read(p []byte) (int, error) {
	for c.left == 0 {
		if err := c.nextFrame(); err != nil {
			if complaint := bytes.TrimSpace(c.stderr.Bytes()); err == io.EOF && len(complaint) > 0 {
				return 0, fmt.Errorf("%s", complaint)
			}
			return 0, err
		}
	}
	if uint64(len(p)) > uint64(c.left) {
		p = p[:c.left]
	}
	n, err := c.out.Read(p)
	c.left -= uint32(n)
	return n, err
}

func (c *stdioConn) nextFrame() error {
	var head [8]byte
	if _, err := io.ReadFull(c.out, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[4:])
	switch head[0] {
	case 1:
		c.left = size
		return nil
	case 2:
		return c.complain(int64(size))
	}
	return fmt.Errorf("engine sent a frame of unknown stream %d", head[0])
}

func (c *stdioConn) complain(size int64) error {
	kept := max(0, min(size, int64(stderrLimit-c.stderr.Len())))
	if _, err := io.CopyN(&c.stderr, c.out, kept); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.out, size-kept)
	return err
}

// Close ends the command's input, and so the command.
func (c *stdioConn) Close() error {
	err := c.Conn.Close()
	c.api.Close()
	return err
}
