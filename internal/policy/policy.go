// Package policy holds a build to rules about its sources: which images, git
// repositories and addresses it may use, written in rego
// (https://docs.docker.com/build/policies/). The rules are evaluated in this
// process, by docker buildx's own evaluator; the daemon asks about each source
// before it fetches it.
//
// Begin with [Load], which finds the rules, and [Rules.Enforce].
package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	buildx "github.com/docker/buildx/policy"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/buildx/util/sourcemeta"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
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
type Build struct {
	Args     map[string]string
	Labels   map[string]string
	Target   string
	Filename string // the Dockerfile's
}

// Options say where policies are.
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
}

// Rules are the policies of a build.
type Rules struct {
	sets     []set
	opt      Options
	resolver *sourcemeta.Resolver
}

// set are policies that are evaluated as one.
type set struct {
	files   []buildx.File
	root    func() (fs.StatFS, func() error, error)
	level   logrus.Level // that is shown
	builtin bool
}

// Load finds the policies of a build: the Dockerfile's own, in a file beside it
// of the same name with .rego, and those that are given. attachables are what
// the daemon may need to fetch a context that only it has. It gives nil where
// there is none. The caller closes the rules.
func Load(ctx context.Context, node *client.Client, attachables []session.Attachable, opt Options) (_ *Rules, err error) {
	r := &Rules{opt: opt, resolver: sourcemeta.NewResolver(node, sourcemeta.WithSession(attachables))}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	own, err := r.own(ctx)
	if err != nil {
		return nil, err
	}
	r.sets = own
	for _, g := range opt.Given {
		if err := r.add(g); err != nil {
			return nil, err
		}
	}
	if opt.Default {
		builtin := set{files: []buildx.File{{Filename: buildx.DefaultPolicyFilename, Data: buildx.DefaultPolicyData()}}, builtin: true}
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
	if g.LogLevel == "" || len(r.sets) == 0 {
		return nil
	}
	level, err := logrus.ParseLevel(g.LogLevel)
	r.sets[len(r.sets)-1].level = level
	return err
}

// Close ends what the rules hold open on the daemon: an empty build, which only
// ends by being canceled, and may say that as an error.
func (r *Rules) Close() { r.resolver.Close() }

// Names are the files of the policies that are in force.
func (r *Rules) Names() []string {
	var names []string
	for _, s := range r.sets {
		for _, f := range s.files {
			names = append(names, f.Filename)
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
// error is a fault of a policy's text.
func (r *Rules) Enforce(ctx context.Context, platform *ocispecs.Platform) (Enforcement, error) {
	var e Enforcement
	var checks []policysession.PolicyCallback
	env := r.env()
	var verifier buildx.PolicyVerifierProvider
	if r.opt.ConfigDir != "" {
		verifier = buildx.SignatureVerifier(confutil.NewConfig(nil, confutil.WithDir(r.opt.ConfigDir)))
	}
	for _, s := range r.sets {
		p := buildx.NewPolicy(buildx.Opt{
			Files: s.files, Env: env, Log: r.log(s.level), FS: s.root,
			VerifierProvider: verifier, DefaultPlatform: platform, SourceResolver: r.resolver,
		})
		if !s.builtin {
			caps, err := p.CheckCaps(ctx)
			if err != nil {
				return Enforcement{}, err
			}
			e.Proxy = e.Proxy || caps[buildx.CapExecProxy]
		}
		checks = append(checks, p.CheckPolicy)
	}
	e.Provider = policysession.NewPolicyProvider(buildx.MultiPolicyCallback(checks...))
	return e, nil
}

func (r *Rules) env() buildx.Env {
	env := buildx.Env{Filename: filepath.Base(r.opt.Build.Filename), Target: r.opt.Build.Target, Labels: r.opt.Build.Labels}
	for k, v := range r.opt.Build.Args {
		if env.Args == nil {
			env.Args = map[string]*string{}
		}
		env.Args[k] = &v
	}
	return env
}

// log shows what a set says at its level.
func (r *Rules) log(shown logrus.Level) func(logrus.Level, string) {
	return func(level logrus.Level, line string) {
		if level > shown || r.opt.Log == nil {
			return
		}
		r.opt.Log(strings.TrimRight(line, "\n"))
	}
}

// own is the Dockerfile's own policy.
func (r *Rules) own(ctx context.Context) ([]set, error) {
	name := r.opt.Build.Filename + ".rego"
	if r.opt.DockerfileDir == "" {
		return r.remote(ctx, name)
	}
	path := filepath.Join(r.opt.DockerfileDir, name)
	data, err := read(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root := r.opt.ContextDir
	if root == "" {
		root = r.opt.DockerfileDir
	}
	return []set{{files: []buildx.File{{Filename: path, Data: data}}, root: directory(root), level: logrus.InfoLevel}}, nil
}

// given reads the files of a set. Their imports are looked for from the context,
// where the first is in it, as docker buildx does, else beside that.
func (r *Rules) given(g Given) (set, error) {
	s := set{level: logrus.InfoLevel}
	var faults []error
	for _, path := range g.Files {
		data, err := read(path)
		faults = append(faults, err)
		s.files = append(s.files, buildx.File{Filename: path, Data: data})
	}
	root := filepath.Dir(g.Files[0])
	if within(r.opt.ContextDir, root) {
		root = r.opt.ContextDir
	}
	s.root = directory(root)
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
func directory(dir string) func() (fs.StatFS, func() error, error) {
	return func() (fs.StatFS, func() error, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, nil, err
		}
		files, ok := root.FS().(fs.StatFS)
		if !ok {
			return nil, nil, errors.Join(fmt.Errorf("%s can't be read", dir), root.Close())
		}
		return files, root.Close, nil
	}
}
