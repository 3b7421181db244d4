package wire

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// pieceSize is how many bytes of a connection go into one message.
const pieceSize = 32 << 10

// messages are either end of a stream.
type messages interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// serveDial is the method Dial. Its header tells that the connection is made.
func serveDial(server any, stream grpc.ServerStream) error {
	conn, err := server.(Host).Dial(stream.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	return join(stream, conn)
}

// dial gives a connection that is a stream to the other side. It lives longer
// than ctx, which is for the making of it.
func dial(ctx context.Context, cc grpc.ClientConnInterface) (net.Conn, error) {
	streaming, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	stream, err := cc.NewStream(streaming, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+hostService+"/Dial")
	if err != nil {
		end()
		return nil, err
	}
	header, err := stream.Header()
	if header == nil && err == nil { // it ended before it began
		if err = stream.RecvMsg(&wrapperspb.BytesValue{}); err == nil {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil || !stop() {
		end()
		return nil, errors.Join(err, ctx.Err())
	}
	ours, theirs := net.Pipe()
	go func() {
		defer end()
		defer theirs.Close()
		join(stream, theirs) // who reads at the other end of the pipe sees it end
	}()
	return ours, nil
}

// join copies between a stream and a connection until one of them ends, or
// neither takes anything. What still waits for the stream goes on as soon as the
// caller ends that.
func join(stream messages, conn net.Conn) error {
	ended := make(chan error, 2)
	go func() { ended <- receive(conn, stream) }()
	go func() { ended <- send(stream, conn) }()
	if err := <-ended; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func receive(conn net.Conn, stream messages) error {
	for {
		var piece wrapperspb.BytesValue
		if err := stream.RecvMsg(&piece); err != nil {
			return err
		}
		if _, err := conn.Write(piece.Value); err != nil {
			return err
		}
	}
}

func send(stream messages, conn net.Conn) error {
	buffer := make([]byte, pieceSize)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if err := stream.SendMsg(wrapperspb.Bytes(buffer[:n])); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
