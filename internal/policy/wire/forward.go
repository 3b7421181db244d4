package wire

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Services are the methods of services, by their names.
type Services map[string][]string

// ServicesOf are what a server serves of a build's session: neither [Host], nor
// health, which every session has of its own.
func ServicesOf(server *grpc.Server) Services {
	found := Services{}
	for name, info := range server.GetServiceInfo() {
		if name == hostService || strings.HasPrefix(name, "grpc.health.") {
			continue
		}
		for _, m := range info.Methods {
			found[name] = append(found[name], m.Name)
		}
		slices.Sort(found[name])
	}
	return found
}

// Forward hands calls of services on to the other end of a connection, messages
// and errors as they are. It is a session.Attachable.
type Forward struct {
	To       grpc.ClientConnInterface
	Services Services
}

// Register implements session.Attachable.
func (f Forward) Register(server *grpc.Server) {
	for name, methods := range f.Services {
		// On the wire a call of one message is a stream of one.
		desc := grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil)}
		for _, m := range methods {
			desc.Streams = append(desc.Streams, grpc.StreamDesc{
				StreamName: m, Handler: f.handler("/" + name + "/" + m), ServerStreams: true, ClientStreams: true,
			})
		}
		server.RegisterService(&desc, f)
	}
}

func (f Forward) handler(method string) grpc.StreamHandler {
	return func(_ any, from grpc.ServerStream) error {
		ctx, cancel := context.WithCancel(from.Context())
		defer cancel()
		if md, ok := metadata.FromIncomingContext(ctx); ok {
			ctx = metadata.NewOutgoingContext(ctx, md.Copy())
		}
		to, err := f.To.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err != nil {
			return err
		}
		go func() {
			if errors.Is(copyMessages(to, from), io.EOF) {
				to.CloseSend()
				return
			}
			cancel() // the caller is gone, or the callee, whose status is told below
		}()
		err = copyMessages(from, to)
		from.SetTrailer(to.Trailer())
		if errors.Is(err, io.EOF) {
			return nil
		}
		return grpcerrors.FromGRPC(err) // the server makes it what it was
	}
}

// copyMessages copies until there is no further message: io.EOF, or another
// error. A message that no field is known of keeps all of them as they came.
func copyMessages(to, from messages) error {
	for {
		var message emptypb.Empty
		if err := from.RecvMsg(&message); err != nil {
			return err
		}
		if err := to.SendMsg(&message); err != nil {
			return err
		}
	}
}
