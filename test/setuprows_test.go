package test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// authority writes ca.pem, cert.pem and key.pem into a folder: a CA, and what it
// certified.
//
//	authority DIR
func authority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority DIR")
	}
	parts, err := certificates()
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for part, file := range map[string]string{"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"} {
		ts.Check(os.WriteFile(filepath.Join(dir, file), parts[part], 0o600))
	}
}

// farEngine serves the engine at a tcp address, $NAME_ADDRESS, to who has a
// certificate; the folder NAME has what docker takes for it.
//
//	far-engine NAME
func farEngine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: far-engine NAME")
	}
	authority(ts, false, args)
	dir := ts.MkAbs(args[0])
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	ts.Check(err)
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	ts.Check(err)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	socket := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return // closed
			}
			go join(here.(*tls.Conn), socket)
		}
	}()
	ts.Setenv(args[0]+"_ADDRESS", "tcp://"+l.Addr().String())
}

// join carries both ways between a connection and a unix socket, and the end of
// either way by itself: docker exec goes on after its input has ended.
func join(here *tls.Conn, socket string) {
	defer here.Close()
	there, err := net.Dial("unix", socket)
	if err != nil {
		return // the client is told by the end of its connection
	}
	defer there.Close()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(there, here); there.(*net.UnixConn).CloseWrite() })
	both.Go(func() { io.Copy(here, there); here.CloseWrite() })
	both.Wait()
}
