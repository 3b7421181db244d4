package wire

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"sync"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// NewServer is a server for one side's calls. It tells errors as BuildKit's
// sessions do, with what belongs to them.
func NewServer() *grpc.Server {
	return grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(math.MaxInt32), // who asks has limits of its own
		grpc.MaxSendMsgSize(math.MaxInt32),
	)
}

// Serve serves on one connection until that ends, or the server is stopped.
func Serve(server *grpc.Server, conn net.Conn) {
	l := &oneConn{once: make(chan net.Conn, 1), ended: make(chan struct{}), addr: conn.LocalAddr()}
	l.once <- noticed{conn, l}
	server.Serve(l) // that it ends is its only error
}

// oneConn is a listener that gives one connection, and ends with it.
type oneConn struct {
	once  chan net.Conn
	end   sync.Once
	ended chan struct{}
	addr  net.Addr
}

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.once:
		return conn, nil
	default:
	}
	<-l.ended
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *oneConn) Close() error {
	l.end.Do(func() { close(l.ended) })
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return l.addr }

// noticed tells that a connection was closed, as a server does where it ends.
type noticed struct {
	net.Conn
	listener *oneConn
}

// Close implements net.Conn.
func (n noticed) Close() error { return errors.Join(n.listener.Close(), n.Conn.Close()) }

// errGone is that the one connection has ended.
var errGone = errors.New("the other side has ended")

// Connect is a client on one connection.
func Connect(conn net.Conn) (*grpc.ClientConn, error) {
	once := make(chan net.Conn, 1)
	once <- conn
	return grpc.NewClient("passthrough:///hullwright",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case conn := <-once:
				return conn, nil
			default:
				return nil, errGone
			}
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0), // a long build must not lose the connection
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
	)
}

// Inherited are the two connections that hullwright-policy is started with:
// that of the calls that it serves, and that of the calls that it makes.
func Inherited() (serves, calls net.Conn, err error) {
	if serves, err = inherited(3); err != nil {
		return nil, nil, err
	}
	if calls, err = inherited(4); err != nil {
		return nil, nil, errors.Join(err, serves.Close())
	}
	return serves, calls, nil
}

func inherited(fd uintptr) (net.Conn, error) {
	file := os.NewFile(fd, "connection")
	if file == nil {
		return nil, os.ErrInvalid
	}
	defer file.Close()
	return net.FileConn(file) // of a copy
}
