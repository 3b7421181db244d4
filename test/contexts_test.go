package test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// webserver NAME DIR serves a folder over http; its address is then in the
// variable NAME.
func webserver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: webserver NAME DIR")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[1]))))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// oddfiles DIR puts into a folder what a context can hold besides files: links
// that lead out of it to the script's file outside, in a circle and nowhere, a
// pipe, a socket, a device, and a name that few programs expect.
func oddfiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oddfiles DIR")
	}
	dir := ts.MkAbs(args[0])
	at := func(name string) string { return filepath.Join(dir, name) }
	ts.Check(os.Symlink(filepath.Join(ts.Getenv("WORK"), "outside"), at("absolute")))
	ts.Check(os.Symlink("../outside", at("upward")))
	ts.Check(os.Symlink("circle-b", at("circle-a")))
	ts.Check(os.Symlink("circle-a", at("circle-b")))
	ts.Check(os.Symlink("nowhere", at("dangling")))
	ts.Check(syscall.Mkfifo(at("pipe"), 0o644))
	ts.Check(syscall.Mknod(at("device"), syscall.S_IFCHR|0o644, 1<<8|3)) // /dev/null
	// A socket's path is short, and a script's folder is not.
	short, err := os.MkdirTemp("", "s")
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(short) })
	listener, err := net.Listen("unix", filepath.Join(short, "s"))
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	ts.Check(os.Rename(filepath.Join(short, "s"), at("socket")))
	ts.Check(os.WriteFile(at("new\nline"), []byte("in a new line"), 0o644))
}

// badname DIR puts a file into a folder whose name is no UTF-8.
func badname(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: badname DIR")
	}
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "bad\xff\xfename"), []byte("x"), 0o644))
}
