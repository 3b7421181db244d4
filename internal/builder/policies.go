package builder

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/apicaps"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/policy"
)

// sourcePolicyVariable names a file with a source policy of BuildKit's own kind,
// as docker buildx takes it.
const sourcePolicyVariable = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"

// applyPolicies puts the build's source policies in force.
func (in *inputs) applyPolicies(ctx context.Context, node *client.Client, r *request, solve Solve) error {
	if err := in.staticPolicy(ctx, node, r); err != nil {
		return err
	}
	opt, on, strict := in.policyOptions(r, solve)
	if !on {
		return nil
	}
	news := &policyNews{tell: r.tell}
	r.finish = append(r.finish, news.end)
	opt.Log = news.log
	if in.session.Dial != nil {
		opt.Dial = func(ctx context.Context) (net.Conn, error) { return in.session.Dial(ctx, solve.Node) }
	}
	rules, err := policy.Load(ctx, node, r.opt.Session, opt)
	if err != nil {
		return policyFault(ctx, err)
	}
	if rules == nil {
		return nil
	}
	r.rules = rules
	r.finish = append(r.finish, func(error) { rules.Close() })
	if strict {
		if err := r.require(ctx, node, pb.CapSourcePolicySession, "policy "+strings.Join(rules.Names(), ", "), "0.27"); err != nil {
			return err
		}
	}
	platform, err := ownPlatform(ctx, node)
	if err != nil {
		return err
	}
	enforced, err := rules.Enforce(ctx, platform)
	if err != nil {
		return err
	}
	if enforced.Proxy {
		if err := r.require(ctx, node, pb.CapExecMetaNetworkProxy, "a policy that sees what steps fetch", "0.31"); err != nil {
			return err
		}
		r.opt.ProxyNetwork = true
	}
	r.opt.SourcePolicyProvider = enforced.Provider
	return nil
}

// policyOptions say where policies are, and whether a daemon must enforce them.
// on is false where they are switched off.
func (in *inputs) policyOptions(r *request, solve Solve) (opt policy.Options, on, strict bool) {
	opt = policy.Options{
		Build:      buildOf(r.opt.FrontendAttrs),
		ContextDir: solve.LocalMounts["context"],
		Default:    isTrue(in.session.Environ["BUILDX_DEFAULT_POLICY"]),
		ConfigDir:  buildxDir(in.session.Environ),
		Executable: in.session.Executable,
		Environ:    in.session.Environ,
	}
	if r.opt.FrontendAttrs["dockerfilekey"] != "" || opt.ContextDir != "" {
		opt.DockerfileDir = solve.LocalMounts["dockerfile"]
		if opt.DockerfileDir == "" {
			opt.DockerfileDir = in.file // fetched or from standard input: nothing is beside it
		}
	} else {
		opt.ContextURL = solve.FrontendAttrs["context"]
	}
	strict = true
	for _, p := range solve.Policies {
		if p.Disabled {
			return opt, false, false
		}
		if p.Strict != nil {
			strict = *p.Strict
		}
		opt.Given = append(opt.Given, policy.Given{Files: p.Files, Reset: p.Reset, LogLevel: p.LogLevel})
	}
	return opt, true, strict
}

// buildOf is what policies are told of a build.
func buildOf(attrs map[string]string) policy.Build {
	b := policy.Build{Target: attrs["target"], Filename: attrs["filename"]}
	for k, v := range attrs {
		if name, ok := strings.CutPrefix(k, "build-arg:"); ok {
			if b.Args == nil {
				b.Args = map[string]string{}
			}
			b.Args[name] = v
		}
		if name, ok := strings.CutPrefix(k, "label:"); ok {
			if b.Labels == nil {
				b.Labels = map[string]string{}
			}
			b.Labels[name] = v
		}
	}
	return b
}

// buildxDir is where docker buildx keeps its configuration.
func buildxDir(environ map[string]string) string {
	switch {
	case environ["BUILDX_CONFIG"] != "":
		return environ["BUILDX_CONFIG"]
	case environ["DOCKER_CONFIG"] != "":
		return filepath.Join(environ["DOCKER_CONFIG"], "buildx")
	}
	return filepath.Join(environ["HOME"], ".docker", "buildx")
}

// ownPlatform is the platform of a daemon's own machine.
func ownPlatform(ctx context.Context, node *client.Client) (*ocispecs.Platform, error) {
	workers, err := node.ListWorkers(ctx)
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "ask the builder for its platform: %w", err)
	}
	if len(workers) == 0 || len(workers[0].Platforms) == 0 {
		return nil, nil
	}
	p := platforms.Normalize(workers[0].Platforms[0])
	return &p, nil
}

// staticPolicy is the policy of BuildKit's own kind.
func (in *inputs) staticPolicy(ctx context.Context, node *client.Client, r *request) error {
	path := in.session.Environ[sourcePolicyVariable]
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return errdefs.BadInputf(sourcePolicyVariable, 0, "%w", err)
	}
	var p spb.Policy
	if err := json.Unmarshal(raw, &p); err != nil {
		if proto.Unmarshal(raw, &p) != nil {
			return errdefs.BadInputf(sourcePolicyVariable, 0, "%s: %w", path, err)
		}
	}
	r.opt.SourcePolicy = &p
	return r.require(ctx, node, pb.CapSourcePolicy, "source policy "+path, "0.11")
}

// require is an error where the daemon lacks what a policy needs.
func (r *request) require(ctx context.Context, node *client.Client, capability apicaps.CapID, what, since string) error {
	return r.check(ctx, node, []need{{capability, "policy", what, since}})
}

// policyFault is an error of a policy's file, or of its context, which is told
// as the build would.
func policyFault(ctx context.Context, err error) error {
	var path *os.PathError
	if ctx.Err() == nil && errors.As(err, &path) {
		return errdefs.BadInputf("policy", 0, "%w", err)
	}
	return err
}

// byPolicy is what BuildKit says of a source that a policy refuses, of rego and
// of its own kind.
var byPolicy = regexp.MustCompile(`(not allowed|denied) by policy`)

// denied says which policy refused a source and why; nil where none did.
func (r *request) denied(err error) error {
	messages := policysession.DenyMessages(err)
	if len(messages) == 0 && !byPolicy.MatchString(err.Error()) {
		return nil
	}
	text := strings.TrimPrefix(err.Error(), "failed to solve: ") + dockerfileExcerpt(err)
	for _, m := range messages {
		if !strings.Contains(text, m.GetMessage()) {
			text += "\n  " + m.GetMessage()
		}
	}
	fault := errdefs.New(errdefs.Denied, "%s", text)
	if r.rules == nil {
		return fault.WithHint("the source policy of %s forbids this source", sourcePolicyVariable)
	}
	return fault.WithHint("%s decides which sources this build may use", strings.Join(r.rules.Names(), ", "))
}
