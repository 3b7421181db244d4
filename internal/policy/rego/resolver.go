package rego

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/docker/buildx/util/sourcemeta"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// patience is longer than any build.
const patience = 24 * time.Hour

// resolver asks the build's daemon about further sources, with the build's
// session. It connects when it asks first: few policies make it, and of some
// builders a connection is a process. BuildKit's client by itself connects at
// once.
func (r *rules) resolver(ctx context.Context, s wire.Start) (*sourcemeta.Resolver, error) {
	wanted := make(chan struct{})
	want := sync.OnceFunc(func() { close(wanted) })
	node, err := client.New(context.WithoutCancel(ctx), "",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			select {
			case <-wanted:
				return r.host.Dial(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
		client.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: patience})),
		client.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				want()
				return invoke(ctx, method, in, out, conn, opts...)
			})),
		client.WithGRPCDialOption(grpc.WithChainStreamInterceptor(
			func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, begin grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				want()
				return begin(ctx, desc, conn, method, opts...)
			})),
	)
	if err != nil {
		return nil, err
	}
	return sourcemeta.NewResolver(node, sourcemeta.WithSession([]session.Attachable{wire.Forward{To: r.conn, Services: s.Session}})), nil
}
