package doctor

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/buildpush"
	"github.com/hullwright/hullwright/internal/doctor"
	"github.com/hullwright/hullwright/internal/setup"
)

// read is what is to be checked: what build-push would do with these options.
func read(ctx context.Context, env *cli.Env, o Options) (doctor.Host, doctor.Subject) {
	build := o.Options
	build.Strict = false // here it is about findings
	want, err := buildpush.Read(ctx, env, build)
	s := doctor.Subject{
		Builder: build.Builder, Spec: want.Spec, Platforms: want.Request.Platforms, Load: build.Load,
		Source: source(want.Request.Context), Rules: len(build.Images) > 0, Event: want.Event, Faults: []error{err},
	}
	s.Spec.Driver, s.Spec.Endpoint = build.Driver, build.Endpoint // also of a spec that has a fault
	for _, a := range want.Request.SSH {
		s.Agents = append(s.Agents, a.Paths)
	}
	s.Caches = caches(want.Request.CacheFrom, false)
	exports, repos := caches(want.Request.CacheTo, true), destinations(o, want.Request)
	// As build-push has it: a stranger's request writes nothing.
	if r := want.Event.Request; r != nil && r.Fork && !build.AllowUntrusted {
		s.Untrusted = len(repos)+len(exports) > 0
	} else {
		s.Push, s.Caches = repos, append(s.Caches, exports...)
	}
	return doctor.Host{
		Environ: env.Environ, Dir: env.Dir, Now: env.Now, CI: env.CI.Name(), Keychain: want.Keychain,
		Insecure: build.InsecureRegistries, Realms: build.TrustRealms, Authorities: want.Authorities,
		Manager: setup.New(setup.Host{Environ: env.Environ, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now}),
	}, s
}

// destinations are the repositories that are asked about a push: of whatever has
// a name, also where a push is left for later, unless it is said that there is
// none.
func destinations(o Options, r builder.Request) []name.Repository {
	push, err := strconv.ParseBool(o.Push)
	otherwise := o.Load || len(o.Outputs) > 0 || r.Call.Method != ""
	if err == nil && !push || otherwise && !r.Push {
		return nil
	}
	return r.Destinations()
}

func caches(list []builder.Cache, export bool) []doctor.Cache {
	var found []doctor.Cache
	for _, c := range list {
		f := doctor.Cache{Type: c.Type, Export: export, Must: c.Attrs["ignore-error"] == "false"}
		if c.Type == "registry" {
			f.Ref, _ = name.ParseReference(c.Attrs["ref"]) // which reading it has checked
		}
		found = append(found, f)
	}
	return found
}

func source(c builder.BuildContext) doctor.Source {
	s := doctor.Source{Dir: c.Dir, URL: c.URL}
	if c.DockerfileDir != "" {
		s.Dockerfile = filepath.Join(c.DockerfileDir, c.Dockerfile)
	}
	return s
}
