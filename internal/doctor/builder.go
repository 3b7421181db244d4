package doctor

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	engine "github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// engineFacts are what an engine tells of itself.
type engineFacts struct {
	host, version, api, platform string
	root                         string // its directory, where it is on this machine
}

func (r *run) askEngine() (engineFacts, error) {
	return r.engine.of(r, func(ctx context.Context) (engineFacts, error) {
		api, err := r.Manager.Engine(r.Spec.Endpoint)
		if err != nil {
			return engineFacts{}, err
		}
		defer api.Close()
		// Asked as it is: a client that negotiates fails without telling the version.
		told, err := api.ServerVersion(ctx, engine.ServerVersionOptions{})
		if err != nil {
			return engineFacts{host: api.DaemonHost()}, err
		}
		f := engineFacts{host: api.DaemonHost(), version: told.Version, api: told.APIVersion, platform: told.Os + "/" + told.Arch}
		if u, err := url.Parse(f.host); err == nil && u.Scheme == "unix" {
			if info, err := api.Info(ctx, engine.InfoOptions{}); err == nil {
				f.root = info.Info.DockerRootDir
			}
		}
		return f, nil
	})
}

// needsEngine is whether the build can't do without an engine.
func (r *run) needsEngine() bool {
	switch r.Spec.Driver {
	case setup.DockerContainer, setup.Docker:
		return true
	}
	return r.Load
}

func checkEngine(_ context.Context, r *run) []Finding {
	if r.Spec.Driver == setup.Remote {
		return leftOut("driver %s has a buildkitd of its own", r.Spec.Driver)
	}
	f, err := r.askEngine()
	switch {
	case err != nil && strings.Contains(err.Error(), "is not supported by this client"):
		return []Finding{because("engine-old", f.host, err)}
	case err != nil && r.needsEngine():
		return []Finding{because("engine-unreachable", f.host, err)}
	case err != nil:
		return []Finding{find("engine-absent", f.host, "no engine answers; driver %s needs none", setup.Process)}
	case versions.LessThan(f.api, engine.MinAPIVersion):
		return []Finding{find("engine-old", f.host, "Docker Engine %s has API %s", f.version, f.api)}
	}
	return []Finding{ok(f.host, "Docker Engine %s, API %s, %s", f.version, f.api, f.platform)}
}

func (r *run) findBuilder() (*setup.Builder, error) {
	return r.builder.of(r, func(ctx context.Context) (*setup.Builder, error) {
		if r.needsEngine() && r.Builder == "" {
			if _, err := r.askEngine(); err != nil {
				return nil, errNoEngine
			}
		}
		return r.Manager.Find(ctx, r.Builder)
	})
}

// errNoEngine is that a builder was not looked for.
var errNoEngine = errors.New("the engine does not answer")

// booted is the builder, and nil where there is none, with the reason why a
// check that needs it is left out.
func (r *run) booted() (*setup.Builder, []Finding) {
	b, err := r.findBuilder()
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, setup.ErrNoBuilder):
		return nil, leftOut("there is no builder yet")
	case errors.Is(err, errNoEngine):
		return nil, leftOut("%v", err)
	}
	return nil, leftOut("the builder does not answer")
}

func checkBuilder(_ context.Context, r *run) []Finding {
	b, err := r.findBuilder()
	switch {
	case errors.Is(err, errNoEngine):
		return leftOut("%v", err)
	case errors.Is(err, setup.ErrNoBuilder) && r.Builder == "":
		return []Finding{find("builder-none", "", "none is chosen: build-push makes one for its run (driver %s)", r.driver())}
	case errors.Is(err, setup.ErrNoBuilder):
		return []Finding{because("builder-missing", r.Builder, err)}
	case err != nil:
		return []Finding{because("builder-broken", r.Builder, err)}
	}
	var names []string
	for _, n := range b.Nodes {
		names = append(names, n.Name)
	}
	list := []Finding{ok(b.Name, "driver %s, nodes: %s", b.Driver, strings.Join(names, ", "))}
	for _, n := range b.Lost {
		list = append(list, because("node-lost", n.Name, n.Err))
	}
	return list
}

// driver is that of a builder that would be made.
func (r *run) driver() string {
	if r.Spec.Driver != "" {
		return r.Spec.Driver
	}
	if _, err := r.askEngine(); err == nil {
		return setup.DockerContainer
	}
	return setup.Process
}

// checkProcess is for a builder that is yet to be made as a process.
func checkProcess(ctx context.Context, r *run) []Finding {
	if _, err := r.findBuilder(); err == nil {
		return leftOut("the builder is there")
	}
	if d := r.driver(); d != setup.Process {
		return leftOut("driver %s is used", d)
	}
	var list []Finding
	for _, err := range r.Manager.ProcessFaults(ctx) {
		id := "process-unfit"
		if strings.HasPrefix(err.Error(), "user namespaces: ") {
			id = "user-namespaces"
		}
		list = append(list, because(id, "", err))
	}
	if len(list) == 0 {
		list = append(list, ok("", "buildkitd can be started by this user"))
	}
	return list
}

func checkPlatforms(ctx context.Context, r *run) []Finding {
	b, left := r.booted()
	if b == nil {
		return left
	}
	if len(r.Platforms) == 0 {
		var own []string
		for _, n := range b.Nodes {
			own = append(own, n.Platforms[0].String())
		}
		return []Finding{ok("", "%s, which is the builder's own", strings.Join(slices.Compact(own), ", "))}
	}
	var list []Finding
	for _, row := range r.Manager.Prove(ctx, b, r.Platforms) {
		if row.Err == nil || errors.Is(row.Err, binfmt.ErrUnproved) {
			list = append(list, judgePlatform(row))
			continue
		}
		list = append(list, judgeEmulator(row.Err, r.askKernel(ctx, b, row)))
	}
	return list
}

func judgePlatform(row setup.Emulation) Finding {
	on := row.Platform.String()
	switch {
	case row.Err != nil:
		return find("emulator-unproved", on, "%v", row.Err)
	case row.Native:
		return ok(on, "native on %s", row.Node)
	}
	return ok(on, "emulated on %s by %s", row.Node, row.Emulator)
}

// kernelFacts are what is known of the kernel that does not run a platform.
type kernelFacts struct {
	elsewhere error         // why nobody registers an emulator in it; nil where setup tries
	entry     *binfmt.Entry // what is registered for the platform; nil where nothing is, or it can't be seen
}

func (r *run) askKernel(ctx context.Context, b *setup.Builder, row setup.Emulation) kernelFacts {
	here, err := r.Manager.Registers(ctx, b, row.Node)
	if errors.Is(err, setup.ErrElsewhere) {
		return kernelFacts{elsewhere: err}
	}
	// Only what is registered in this kernel can be seen from here.
	if err != nil || !here {
		return kernelFacts{}
	}
	entry, registered, err := (binfmt.Registry{}).Handler(row.Platform.Architecture)
	if err != nil || !registered {
		return kernelFacts{}
	}
	return kernelFacts{entry: &entry}
}

// judgeEmulator is about a platform that does not run, whose fault names platform
// and node.
func judgeEmulator(fault error, kernel kernelFacts) Finding {
	switch e := kernel.entry; {
	case kernel.elsewhere != nil:
		f := because("emulator-elsewhere", "", fault)
		f.Found += "; " + kernel.elsewhere.Error()
		return f
	case e != nil:
		f := because("emulator-broken", "", fault)
		f.Found += " (registered is " + e.Interpreter + ", flags " + e.Flags + ")"
		f.kind = errdefs.Environment
		if hint(fault) == "" {
			f.Next = "remove that registration (echo -1 > " + binfmt.Dir + "/" + e.Name + "), then try again"
		}
		return f
	}
	return because("emulator-missing", "", fault)
}
