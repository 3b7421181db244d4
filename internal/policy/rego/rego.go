// Package rego evaluates source policies, by docker buildx's own evaluator. It
// is what hullwright-policy is made of; no other program links it.
//
// Begin with [Serve].
package rego

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"

	"github.com/docker/buildx/policy"
	"github.com/docker/buildx/util/confutil"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// Serve evaluates the policies that hullwright gives, until it closes the
// connection of the calls that it makes. calls is that of those to it.
func Serve(serves, calls net.Conn) error {
	conn, err := wire.Connect(calls)
	if err != nil {
		return err
	}
	defer conn.Close()
	server := wire.NewServer()
	r := &rules{conn: conn, host: wire.NewHost(conn)}
	wire.RegisterRules(server, r)
	policysession.RegisterPolicyVerifierServer(server, r)
	wire.Serve(server, serves)
	return nil
}

// rules are the policies of one build.
type rules struct {
	conn     *grpc.ClientConn
	host     wire.Host
	verifier atomic.Pointer[policysession.PolicyProvider] // nil until Start has ended
}

// CheckPolicy implements policysession.PolicyVerifierServer.
func (r *rules) CheckPolicy(ctx context.Context, q *policysession.CheckPolicyRequest) (*policysession.CheckPolicyResponse, error) {
	verifier := r.verifier.Load()
	if verifier == nil {
		return nil, errors.New("no policies were given yet")
	}
	return verifier.CheckPolicy(ctx, q)
}

// Start implements wire.Rules.
func (r *rules) Start(ctx context.Context, s wire.Start) (started wire.Started, err error) {
	resolver, err := r.resolver(ctx, s)
	if err != nil {
		return wire.Started{}, err
	}
	var verifier policy.PolicyVerifierProvider
	if s.ConfigDir != "" {
		verifier = policy.SignatureVerifier(confutil.NewConfig(nil, confutil.WithDir(s.ConfigDir)))
	}
	var checks []policysession.PolicyCallback
	for i, set := range s.Sets {
		level, err := levelOf(set)
		if err != nil {
			return wire.Started{}, err
		}
		p := policy.NewPolicy(policy.Opt{
			Files: filesOf(set), Env: envOf(s.Build), Log: r.log(level), FS: r.imports(ctx, i),
			VerifierProvider: verifier, DefaultPlatform: s.Platform, SourceResolver: resolver,
		})
		if !set.Builtin {
			caps, err := p.CheckCaps(ctx)
			if err != nil {
				return wire.Started{}, fault(ctx, err)
			}
			started.Proxy = started.Proxy || caps[policy.CapExecProxy]
		}
		checks = append(checks, p.CheckPolicy)
	}
	r.verifier.Store(policysession.NewPolicyProvider(policy.MultiPolicyCallback(checks...)))
	return started, nil
}

func filesOf(s wire.Set) []policy.File {
	if s.Builtin {
		return []policy.File{{Filename: policy.DefaultPolicyFilename, Data: policy.DefaultPolicyData()}}
	}
	files := make([]policy.File, len(s.Files))
	for i, f := range s.Files {
		files[i] = policy.File{Filename: f.Name, Data: f.Data}
	}
	return files
}

func levelOf(s wire.Set) (logrus.Level, error) {
	if s.Level == "" {
		return logrus.InfoLevel, nil
	}
	return logrus.ParseLevel(s.Level)
}

func envOf(b wire.Build) policy.Env {
	env := policy.Env{Filename: b.Filename, Target: b.Target, Labels: b.Labels}
	for k, v := range b.Args {
		if env.Args == nil {
			env.Args = map[string]*string{}
		}
		env.Args[k] = &v
	}
	return env
}

// log shows what a set says at its level.
func (r *rules) log(shown logrus.Level) func(logrus.Level, string) {
	return func(level logrus.Level, line string) {
		if level <= shown {
			r.host.Say(context.Background(), strings.TrimRight(line, "\n")) // who does not hear it has gone
		}
	}
}

// fault tells a fault of a policy's text from those of who gives what it imports.
func fault(ctx context.Context, err error) error {
	var told interface{ GRPCStatus() *status.Status }
	if ctx.Err() != nil || errors.As(err, &told) {
		return err
	}
	return grpcerrors.WrapCode(err, codes.InvalidArgument)
}
