// Package wire is what hullwright and hullwright-policy say to each other: gRPC
// on two connections, one for the calls of each side.
//
// Hullwright-policy serves [Rules] and BuildKit's own PolicyVerifier. Hullwright
// serves [Host] and all that a build's session has, so that secrets and
// credentials are asked for when they are needed and stay where they are.
//
// Begin with [Start].
package wire

import (
	"context"
	"encoding/json"
	"net"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The services. Their version changes with what is said, so that a program of
// another release is told apart from one that fails.
const (
	rulesService = "hullwright.policy.v1.Rules"
	hostService  = "hullwright.policy.v1.Host"
)

// Builtin is the name of docker's policy for its own images, as docker buildx
// has it.
const Builtin = "buildx_default_policy.rego"

// File is a policy's text.
type File struct {
	Name string
	Data []byte
}

// Set are policies that are evaluated as one.
type Set struct {
	Files []File
	// Level is how much of the evaluation is told, as logrus names it.
	Level string
	// Builtin is whether the set is docker's policy for its own images, which
	// hullwright-policy has.
	Builtin bool
}

// Build is what policies are told of the build.
type Build struct {
	Args     map[string]string
	Labels   map[string]string
	Target   string
	Filename string // the Dockerfile's
}

// Start is all that policies are evaluated with.
type Start struct {
	Sets  []Set
	Build Build
	// Platform is the daemon's own; nil is unknown.
	Platform *ocispecs.Platform
	// ConfigDir is where keys that signatures are verified with are kept; where it
	// is empty, a policy that wants signatures fails.
	ConfigDir string
	// Session are the services of the build's session that hullwright serves.
	Session Services
}

// Started is what the policies want.
type Started struct {
	// Proxy is whether they want to see what steps fetch, too.
	Proxy bool
}

// Rules is what hullwright-policy serves.
type Rules interface {
	// Start reads the policies. Its error has the code InvalidArgument where it is
	// a fault of their text.
	Start(ctx context.Context, s Start) (Started, error)
}

// Import is a file that a policy imports.
type Import struct {
	Set  int // its index in Start.Sets
	Name string
}

// Host is what hullwright serves.
type Host interface {
	// Say shows a line of what policies print and decide.
	Say(ctx context.Context, line string) error
	// Read gives the file of an import. Its error has the code NotFound where
	// there is none that may be read.
	Read(ctx context.Context, i Import) ([]byte, error)
	// Dial connects to the build's daemon.
	Dial(ctx context.Context) (net.Conn, error)
}

// RegisterRules has a server serve r.
func RegisterRules(server *grpc.Server, r Rules) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: rulesService,
		HandlerType: (*Rules)(nil),
		Methods:     []grpc.MethodDesc{method("Start", Rules.Start)},
	}, r)
}

// RegisterHost has a server serve h.
func RegisterHost(server *grpc.Server, h Host) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: hostService,
		HandlerType: (*Host)(nil),
		Methods: []grpc.MethodDesc{
			method("Say", func(h Host, ctx context.Context, line string) (struct{}, error) { return struct{}{}, h.Say(ctx, line) }),
			method("Read", Host.Read),
		},
		Streams: []grpc.StreamDesc{{StreamName: "Dial", Handler: serveDial, ServerStreams: true, ClientStreams: true}},
	}, h)
}

// NewRules gives the rules that are served at the other end of a connection.
func NewRules(conn grpc.ClientConnInterface) Rules { return rules{conn} }

// NewHost gives the host that is served at the other end of a connection.
func NewHost(conn grpc.ClientConnInterface) Host { return host{conn} }

type rules struct{ conn grpc.ClientConnInterface }

// Start implements Rules.
func (r rules) Start(ctx context.Context, s Start) (Started, error) {
	return call[Started](ctx, r.conn, rulesService, "Start", s)
}

type host struct{ conn grpc.ClientConnInterface }

// Say implements Host.
func (h host) Say(ctx context.Context, line string) error {
	_, err := call[struct{}](ctx, h.conn, hostService, "Say", line)
	return err
}

// Read implements Host.
func (h host) Read(ctx context.Context, i Import) ([]byte, error) {
	return call[[]byte](ctx, h.conn, hostService, "Read", i)
}

// Dial implements Host.
func (h host) Dial(ctx context.Context) (net.Conn, error) { return dial(ctx, h.conn) }

// method is a method whose messages are JSON in bytes.
func method[Server, In, Out any](name string, do func(Server, context.Context, In) (Out, error)) grpc.MethodDesc {
	handle := func(server any, ctx context.Context, decode func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
		var message wrapperspb.BytesValue
		if err := decode(&message); err != nil {
			return nil, err
		}
		answer := func(ctx context.Context, message any) (any, error) {
			var in In
			if err := json.Unmarshal(message.(*wrapperspb.BytesValue).Value, &in); err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			out, err := do(server.(Server), ctx, in)
			if err != nil {
				return nil, err
			}
			raw, err := json.Marshal(out)
			return wrapperspb.Bytes(raw), err
		}
		if through == nil {
			return answer(ctx, &message)
		}
		return through(ctx, &message, &grpc.UnaryServerInfo{Server: server, FullMethod: name}, answer)
	}
	return grpc.MethodDesc{MethodName: name, Handler: handle}
}

func call[Out, In any](ctx context.Context, conn grpc.ClientConnInterface, service, name string, in In) (out Out, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	var answer wrapperspb.BytesValue
	if err := conn.Invoke(ctx, "/"+service+"/"+name, wrapperspb.Bytes(raw), &answer); err != nil {
		return out, err
	}
	return out, json.Unmarshal(answer.Value, &out)
}
