package setup

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func frame(stream byte, text string) []byte {
	head := make([]byte, 8, 8+len(text))
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

func TestStdioConn(t *testing.T) {
	wire := bytes.Join([][]byte{frame(1, "hello "), frame(2, "a warning\n"), frame(1, ""), frame(1, "world")}, nil)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(wire), "byte by byte": iotest.OneByteReader(bytes.NewReader(wire))} {
		c := &stdioConn{out: r}
		got, err := io.ReadAll(c)
		if string(got) != "hello world" || err == nil || err.Error() != "a warning" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestStdioConnFaults(t *testing.T) {
	long := frame(2, strings.Repeat("x", 3*stderrLimit))
	for name, tt := range map[string]struct {
		wire []byte
		want string
	}{
		"cut off in the head": {frame(1, "x")[:5], "unexpected EOF"},
		"unknown stream":      {frame(7, "x"), "unknown stream 7"},
		"cut off in stderr":   {frame(2, "abc")[:9], "a"},
		"long complaint":      {long, strings.Repeat("x", stderrLimit)},
	} {
		_, err := io.ReadAll(&stdioConn{out: bytes.NewReader(tt.wire)})
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > stderrLimit+10 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStdioConn(f *testing.F) {
	f.Add(frame(1, "hello"))
	f.Add(append(frame(2, "x"), frame(1, "y")...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, _ := io.ReadAll(&stdioConn{out: bytes.NewReader(wire)})
		if len(got) > len(wire) {
			t.Errorf("%d bytes of %d", len(got), len(wire))
		}
	})
}
