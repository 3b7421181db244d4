// Package policy holds a build to rules about its sources: which images, git
// repositories and addresses it may use, written in rego
// (https://docs.docker.com/build/policies/). The daemon asks about each source
// before it fetches it.
//
// What evaluates the rules is a program of its own, hullwright-policy, which is
// started where there are rules: few builds have any, and it would be two fifths
// of this one.
//
// Begin with [Load], which finds the rules, and [Rules.Enforce].
package policy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// maxSize is the longest policy that is read, in bytes.
const maxSize = 1 << 20

// Given is one set of policies that a person asked for.
type Given struct {
	// Files are absolute paths; those of one set are evaluated as one. Without
	// any, what else is given is about the set before.
	Files    []string
	Reset    bool   // sets before this one, and the Dockerfile's own, are not in force
	LogLevel string // as logrus names them; empty is info
}

// Build is what policies are told of the build.
type Build = wire.Build

// Options say where policies are, and what is needed to evaluate them.
type Options struct {
	Build Build
	Given []Given
	// ContextDir is the build's local context, and empty where it has none:
	// imports of policies within it are looked for from there.
	ContextDir string
	// DockerfileDir is the Dockerfile's local directory, and empty where it is in
	// a context that only the daemon has.
	DockerfileDir string
	// ContextURL is the address of a context that only the daemon has.
	ContextURL string
	// Default adds docker's own policy for its own images.
	Default bool
	// Log receives what policies print and decide, a line at a time; nil is nobody.
	Log func(line string)
	// ConfigDir is buildx's, for the keys that signatures are verified with; a
	// policy that wants signatures fails without.
	ConfigDir string
	// Executable is the running program's path: hullwright-policy is looked for
	// beside it, then in Environ's PATH.
	Executable string
	Environ    map[string]string
	// Dial makes a further connection to the daemon, for policies that ask it
	// about sources that the build has not; it is an error for them where nil.
	Dial func(context.Context) (net.Conn, error)
}

// Rules are the policies of a build.
type Rules struct {
	sets        []set
	opt         Options
	attachables []session.Attachable
	context     *remoteContext // that only the daemon has; nil where a policy is not of it
	evaluator   *evaluator
}

// set are policies that are evaluated as one.
type set struct {
	wire.Set
	imports importer
}

// importer reads the files that policies import. Its error is an *os.PathError
// where there is none that may be read.
type importer interface {
	read(ctx context.Context, name string) ([]byte, error)
}

// Load finds the policies of a build: the Dockerfile's own, in a file beside it
// of the same name with .rego, and those that are given. attachables are what
// the daemon may need to fetch a context that only it has. It gives nil where
// there is none. The caller closes the rules.
func Load(ctx context.Context, node *client.Client, attachables []session.Attachable, opt Options) (_ *Rules, err error) {
	r := &Rules{opt: opt, attachables: attachables}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if err := r.addOwn(ctx, node); err != nil {
		return nil, err
	}
	for _, g := range opt.Given {
		if err := r.add(g); err != nil {
			return nil, err
		}
	}
	if opt.Default {
		builtin := set{Set: wire.Set{Files: []wire.File{{Name: wire.Builtin}}, Builtin: true, Level: "panic"}}
		r.sets = append([]set{builtin}, r.sets...)
	}
	if len(r.sets) == 0 {
		r.Close()
		return nil, nil
	}
	return r, nil
}

func (r *Rules) add(g Given) error {
	if g.Reset {
		r.sets = nil
	}
	if len(g.Files) > 0 {
		s, err := r.given(g)
		if err != nil {
			return err
		}
		r.sets = append(r.sets, s)
	}
	if g.LogLevel != "" && len(r.sets) > 0 {
		r.sets[len(r.sets)-1].Level = g.LogLevel
	}
	return nil
}

// Close ends what the rules hold open: the program that evaluates them, and a
// build on the daemon.
func (r *Rules) Close() {
	if r.evaluator != nil {
		r.evaluator.close()
	}
	if r.context != nil {
		r.context.close()
	}
}

// Fault is why the program that evaluates the rules ended by itself; nil while
// it works. Without it the daemon is refused every source.
func (r *Rules) Fault() error {
	if r.evaluator == nil {
		return nil
	}
	return r.evaluator.fault()
}

// Names are the files of the policies that are in force.
func (r *Rules) Names() []string {
	var names []string
	for _, s := range r.sets {
		for _, f := range s.Files {
			names = append(names, f.Name)
		}
	}
	return names
}

// Enforcement is what a solve needs for its rules to hold.
type Enforcement struct {
	Provider session.Attachable
	// Proxy is whether the policies want to see what steps fetch, too.
	Proxy bool
}

// Enforce makes the rules ready for a daemon whose own platform is platform. An
// error is errdefs.BadInput where it is a fault of a policy's text, and
// errdefs.Environment where there is no program to evaluate it. It is called
// once.
func (r *Rules) Enforce(ctx context.Context, platform *ocispecs.Platform) (Enforcement, error) {
	program, err := r.program(ctx)
	if err != nil {
		return Enforcement{}, err
	}
	server := wire.NewServer()
	for _, a := range r.attachables {
		a.Register(server)
	}
	services := wire.ServicesOf(server)
	wire.RegisterHost(server, host{r})
	if r.evaluator, err = startEvaluator(program, r.environ(), server, r.log); err != nil {
		return Enforcement{}, err
	}
	start := wire.Start{Build: r.opt.Build, Platform: platform, ConfigDir: r.opt.ConfigDir, Session: services}
	start.Build.Filename = filepath.Base(start.Build.Filename)
	for _, s := range r.sets {
		start.Sets = append(start.Sets, s.Set)
	}
	started, err := r.evaluator.start(ctx, start)
	if err != nil {
		return Enforcement{}, err
	}
	verifier := policysession.PolicyVerifier_ServiceDesc
	return Enforcement{
		Provider: wire.Forward{To: r.evaluator.conn, Services: servicesOf(verifier)},
		Proxy:    started.Proxy,
	}, nil
}

func servicesOf(desc grpc.ServiceDesc) wire.Services {
	var methods []string
	for _, m := range desc.Methods {
		methods = append(methods, m.MethodName)
	}
	return wire.Services{desc.ServiceName: methods}
}

// log shows what policies and their program say.
func (r *Rules) log(line string) {
	if r.opt.Log != nil {
		r.opt.Log(line)
	}
}

// addOwn adds the Dockerfile's own policy.
func (r *Rules) addOwn(ctx context.Context, node *client.Client) error {
	name := r.opt.Build.Filename + ".rego"
	if r.opt.DockerfileDir == "" {
		return r.addRemote(ctx, node, name)
	}
	path := filepath.Join(r.opt.DockerfileDir, name)
	data, err := read(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	root := r.opt.ContextDir
	if root == "" {
		root = r.opt.DockerfileDir
	}
	r.sets = []set{{Set: wire.Set{Files: []wire.File{{Name: path, Data: data}}}, imports: directory(root)}}
	return nil
}

// given reads the files of a set. Their imports are looked for from the context,
// where the first is in it, as docker buildx does, else beside that.
func (r *Rules) given(g Given) (set, error) {
	var s set
	var faults []error
	for _, path := range g.Files {
		data, err := read(path)
		faults = append(faults, err)
		s.Files = append(s.Files, wire.File{Name: path, Data: data})
	}
	root := filepath.Dir(g.Files[0])
	if within(r.opt.ContextDir, root) {
		root = r.opt.ContextDir
	}
	s.imports = directory(root)
	return s, errors.Join(faults...)
}

func within(dir, path string) bool {
	if dir == "" {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Size() > maxSize:
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxSize)
	}
	return os.ReadFile(path)
}

// directory is a directory that imports don't leave.
type directory string

func (d directory) read(_ context.Context, name string) ([]byte, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("no file")}
	}
	return root.ReadFile(name)
}
