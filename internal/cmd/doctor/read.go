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
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/setup"
)

// read is what is to be checked: what build-push would do in this environment,
// with the options in place of what that says.
func read(ctx context.Context, env *cli.Env, o Options) (doctor.Host, doctor.Subject) {
	var build buildpush.Options
	faults := []error{input.Bind(&build, env.Environ, nil)}
	o.apply(&build)
	want, err := buildpush.Read(ctx, env, build)
	s := doctor.Subject{
		Builder: o.Builder, Spec: want.Spec, Platforms: want.Request.Platforms, Load: build.Load,
		Source: source(want.Request.Context), Rules: len(o.Images) > 0, Event: want.Event, Faults: append(faults, err),
	}
	s.Spec.Driver, s.Spec.Endpoint = o.Driver, o.Endpoint // also of a spec that has a fault
	for _, a := range want.Request.SSH {
		s.Agents = append(s.Agents, a.Paths)
	}
	s.Caches = caches(want.Request.CacheFrom, false)
	exports, destinations := caches(want.Request.CacheTo, true), want.Request.Destinations()
	if push, err := strconv.ParseBool(o.Push); err == nil && !push {
		destinations = nil
	}
	// As build-push has it: a stranger's request writes nothing.
	if r := want.Event.Request; r != nil && r.Fork && !build.AllowUntrusted {
		s.Untrusted = len(destinations)+len(exports) > 0
	} else {
		s.Push, s.Caches = destinations, append(s.Caches, exports...)
	}
	return doctor.Host{
		Environ: env.Environ, Dir: env.Dir, Now: env.Now, CI: env.CI.Name(), Keychain: want.Keychain,
		Insecure: o.InsecureRegistries, Realms: o.TrustRealms,
		Manager: setup.New(setup.Host{Environ: env.Environ, Stderr: env.Stderr, Dir: env.Dir, Now: env.Now}),
	}, s
}

// apply sets what the options say.
func (o Options) apply(b *buildpush.Options) {
	b.Context, b.File, b.Platforms = o.Context, o.File, o.Platforms
	b.Images, b.Tags = o.Images, o.Tags
	b.CacheFrom, b.CacheTo = o.CacheFrom, o.CacheTo
	b.SecretEnvs, b.SecretFiles, b.SSH = o.SecretEnvs, o.SecretFiles, o.SSH
	b.Builder, b.Driver, b.Endpoint = o.Builder, o.Driver, o.Endpoint
	b.InsecureRegistries, b.TrustRealms = o.InsecureRegistries, o.TrustRealms
	b.Strict = false // here it is about findings
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
