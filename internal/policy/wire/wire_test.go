package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// serving gives a connection to a server of its own.
func serving(t *testing.T, register ...func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	ours, theirs := net.Pipe()
	server := NewServer()
	for _, r := range register {
		r(server)
	}
	go Serve(server, theirs)
	t.Cleanup(server.Stop)
	conn, err := Connect(ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// echo is an agent that says what it hears, after the name that it was asked for.
type echo struct {
	sshforward.UnimplementedSSHServer
}

func (e echo) Register(server *grpc.Server) { sshforward.RegisterSSHServer(server, e) }

func (echo) ForwardAgent(stream sshforward.SSH_ForwardAgentServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	stream.Send(&sshforward.BytesMessage{Data: []byte(strings.Join(md[sshforward.KeySSHID], ","))})
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return status.Error(codes.DataLoss, "enough")
		}
		if err != nil {
			return err
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

func TestForward(t *testing.T) {
	server := NewServer()
	keys := secretsprovider.FromMap(map[string][]byte{"key": []byte("value")})
	keys.Register(server)
	echo{}.Register(server)
	RegisterHost(server, nil)
	services := ServicesOf(server)
	if len(services) != 2 || len(services["moby.sshforward.v1.SSH"]) != 2 {
		t.Fatalf("services %v, want those of secrets and agents", services)
	}
	far := serving(t, keys.Register, echo{}.Register)
	near := serving(t, Forward{far, services}.Register)

	got, err := secrets.NewSecretsClient(near).GetSecret(t.Context(), &secrets.GetSecretRequest{ID: "key"})
	if err != nil || string(got.Data) != "value" {
		t.Errorf("%v, %v, want the secret", got, err)
	}
	_, err = secrets.NewSecretsClient(near).GetSecret(t.Context(), &secrets.GetSecretRequest{ID: "none"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("%v, want that it is not found", err)
	}

	direct, forwarded := talk(t, far), talk(t, near)
	if status.Code(forwarded) != codes.DataLoss || forwarded.Error() != direct.Error() {
		t.Errorf("%v, want the end that the other side gives: %v", forwarded, direct)
	}
}

// talk speaks with the agent work, and gives what it ends with.
func talk(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), sshforward.KeySSHID, "work")
	stream, err := sshforward.NewSSHClient(conn).ForwardAgent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"work", "one", "two"} {
		if text != "work" {
			if err := stream.Send(&sshforward.BytesMessage{Data: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := stream.Recv(); err != nil || string(m.Data) != text {
			t.Fatalf("%v, %v, want %s", m, err, text)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	return err
}

// daemon is a host whose daemon says in capitals what it hears.
type daemon struct {
	Host
	err error
}

func (d daemon) Dial(context.Context) (net.Conn, error) {
	if d.err != nil {
		return nil, d.err
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		buffer := make([]byte, 64)
		n, err := theirs.Read(buffer)
		if err == nil {
			theirs.Write([]byte(strings.ToUpper(string(buffer[:n]))))
		}
	}()
	return ours, nil
}

func TestDial(t *testing.T) {
	host := NewHost(serving(t, func(s *grpc.Server) { RegisterHost(s, daemon{}) }))
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := host.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel() // it is for the making of the connection
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(conn); err != nil || string(all) != "PING" {
		t.Errorf("%q, %v, want PING and the end", all, err)
	}
}

func TestDialFails(t *testing.T) {
	host := NewHost(serving(t, func(s *grpc.Server) { RegisterHost(s, daemon{err: errors.New("nobody listens")}) }))
	if _, err := host.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("%v, want why", err)
	}
}

// TestEnd sees a server end with its connection, and a client say so.
func TestEnd(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Serve(NewServer(), theirs)
	}()
	conn, err := Connect(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := NewRules(conn).Start(t.Context(), Start{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v of a server that has no rules", err)
	}
	ours.Close()
	<-ended
	if _, err := NewRules(conn).Start(t.Context(), Start{}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v of a server that has ended", err)
	}
}
