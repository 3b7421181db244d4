package setup

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	contextstore "github.com/docker/cli/cli/context/store"
	"golang.org/x/crypto/ssh"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// forwardTLS is the engine behind TLS, which asks for a client certificate. It
// gives the address as DOCKER_HOST has it.
func forwardTLS(t *testing.T, m *Manager, ca *testCA) string {
	t.Helper()
	served := ca.issue(t, "127.0.0.1")
	pair, err := tls.X509KeyPair(served.Cert, served.Key)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.pem)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	check(t, err)
	t.Cleanup(func() { l.Close() })
	here, err := m.endpoint("")
	check(t, err)
	socket, ok := strings.CutPrefix(here, "unix://")
	if !ok {
		t.Fatalf("the engine of the environment is at %s, no socket", here)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go forward(conn, socket)
		}
	}()
	return "tcp://" + l.Addr().String()
}

func forward(conn net.Conn, socket string) {
	defer conn.Close()
	to, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		io.Copy(to, conn) // its end is the connection's
		to.Close()
	}()
	io.Copy(conn, to)
}

// TestRealEngineTLS makes a builder on an engine behind TLS, by the
// environment's variables and by a docker context.
func TestRealEngineTLS(t *testing.T) {
	for _, way := range []string{"environment", "context"} {
		t.Run(way, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			ca := newCA(t)
			address, client := forwardTLS(t, m, ca), ca.issue(t, "client")
			m.host.Environ["DOCKER_CONFIG"] = t.TempDir()
			spec := Spec{Name: "t" + newNonce(3), Driver: DockerContainer, DriverOpts: map[string]string{"network": "host"}}
			if way == "environment" {
				m.host.Environ["DOCKER_HOST"], m.host.Environ["DOCKER_TLS_VERIFY"] = address, "1"
				m.host.Environ["DOCKER_CERT_PATH"] = pemFiles(t, client)
			} else {
				withContext(t, m.dockerDir(), "far", address)
				check(t, m.contexts().ResetEndpointTLSMaterial("far", "docker", &contextstore.EndpointTLSData{
					Files: map[string][]byte{"ca.pem": client.CA, "cert.pem": client.Cert, "key.pem": client.Key},
				}))
				spec.Endpoint = "far"
			}
			state := newState(t, m)
			b, err := m.Ensure(ctx, spec, state)
			check(t, err)
			solve(ctx, t, b)
			if ls := buildx(ctx, t, m, "inspect", b.Name); !strings.Contains(ls, "running") {
				t.Errorf("buildx inspect:\n%s", ls)
			}
			check(t, b.Close())
			check(t, m.Teardown(ctx, state.Path()))
			if way == "environment" {
				missing(t, filepath.Join(m.dockerDir(), "contexts"))
			} else if _, err := m.contexts().GetMetadata("far"); err != nil {
				t.Errorf("the user's own context went too: %v", err)
			}
		})
	}
}

// TestRealEngineTLSFaults has an engine whose certificate nobody vouches for.
func TestRealEngineTLSFaults(t *testing.T) {
	m := real(t)
	address := forwardTLS(t, m, newCA(t))
	m.host.Environ["DOCKER_HOST"], m.host.Environ["DOCKER_TLS_VERIFY"] = address, "1"
	m.host.Environ["DOCKER_CERT_PATH"] = pemFiles(t, newCA(t).issue(t, "client"))
	_, err := m.Ensure(limited(t), Spec{Driver: DockerContainer}, newState(t, m))
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
}

func pemFiles(t *testing.T, tls NodeTLS) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "ca.pem"), tls.CA, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "cert.pem"), tls.Cert, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "key.pem"), tls.Key, 0o600))
	return dir
}

// TestRealSSH reaches a buildkitd and an engine with the ssh program.
func TestRealSSH(t *testing.T) {
	m, ctx := real(t), limited(t)
	socket := filepath.Join(m.host.Dir, "far.sock")
	startBuildkitd(t, m, NodeTLS{}, "--addr", "unix://"+socket)
	host := serveSSH(t)
	b, err := m.Ensure(ctx, m.spec(socket, nil), newState(t, m)) // now it is up
	check(t, err)
	check(t, b.Close())
	b, err = m.Ensure(ctx, m.spec("ssh://ci@"+host+socket, nil), newState(t, m))
	check(t, err)
	solve(ctx, t, b)
	check(t, b.Close())

	spec := Spec{Name: "s" + newNonce(3), Driver: DockerContainer, Endpoint: "ssh://ci@" + host, DriverOpts: map[string]string{"network": "host"}}
	b, err = m.Ensure(ctx, spec, newState(t, m))
	check(t, err)
	solve(ctx, t, b)
	check(t, b.Close())

	// Nobody is let in under another name.
	_, err = m.Ensure(ctx, m.spec("ssh://nobody@"+host+socket, nil), newState(t, m))
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "Permission denied") || len(errdefs.Hints(err)) == 0 {
		t.Errorf("got %v", err)
	}
}

// serveSSH is an ssh server of this machine, for user ci. The ssh program that
// PATH has from now on knows its key and has one that it takes.
func serveSSH(t *testing.T) (host string) {
	t.Helper()
	program, err := exec.LookPath("ssh")
	check(t, err)
	server, client := newCA(t), newCA(t)
	hostKey, err := ssh.NewSignerFromKey(server.key)
	check(t, err)
	userKey, err := ssh.NewPublicKey(client.key.Public())
	check(t, err)
	conf := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "ci" || string(key.Marshal()) != string(userKey.Marshal()) {
			return nil, fmt.Errorf("not user ci")
		}
		return nil, nil
	}}
	conf.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go serveConn(conn, conf)
		}
	}()
	writeSSH(t, program, l.Addr().(*net.TCPAddr).Port, hostKey.PublicKey(), client)
	return l.Addr().String()
}

// writeSSH puts an ssh of a configuration of its own in PATH: the program takes
// its user's from the home that the system says, whatever HOME is.
func writeSSH(t *testing.T, program string, port int, host ssh.PublicKey, client *testCA) {
	t.Helper()
	dir := t.TempDir()
	block, err := ssh.MarshalPrivateKey(client.key, "")
	check(t, err)
	known := fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(host))
	script := fmt.Sprintf("#!/bin/sh\nexec %s -F none -o BatchMode=yes -o IdentityFile=%s/key -o UserKnownHostsFile=%[2]s/known \"$@\"\n", program, dir)
	check(t, os.WriteFile(filepath.Join(dir, "key"), pem.EncodeToMemory(block), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "known"), []byte(known), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// serveConn runs the commands of one connection.
func serveConn(conn net.Conn, conf *ssh.ServerConfig) {
	c, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	defer c.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				r.Reply(r.Type == "exec", nil)
				if r.Type == "exec" {
					go runFor(channel, string(r.Payload[4:])) // a length, then the text
				}
			}
		}()
	}
}

func runFor(channel ssh.Channel, command string) {
	defer channel.Close()
	cmd := exec.Command("sh", "-c", command)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	go func() {
		io.Copy(stdin, channel)
		stdin.Close()
	}()
	code := byte(0)
	if cmd.Run() != nil {
		code = 1
	}
	channel.SendRequest("exit-status", false, []byte{0, 0, 0, code})
}
