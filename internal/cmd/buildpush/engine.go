package buildpush

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/moby/api/pkg/authconfig"
	dockerregistry "github.com/moby/moby/api/types/registry"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// onEngine is whether an engine's own BuildKit is to build, as far as that shows
// before there is a builder.
func (j *job) onEngine() (bool, error) {
	switch {
	case j.options.Builder != "":
		return j.manager.IsEngine(j.options.Builder)
	case j.options.Driver != "" || j.options.Append != "":
		return j.options.Driver == setup.Docker, nil
	}
	return j.manager.IsEngine("")
}

// fitEngine makes the request one that an engine's own BuildKit is able to do,
// and tells all that it is not before anything is done for the build.
func (j *job) fitEngine(ctx context.Context) error {
	node := j.builder.Nodes[0]
	hosts, gatewayErr := fillGateway(j.request.AddHosts, node.HostGateway)
	if j.builder.Driver != setup.Docker {
		return gatewayErr
	}
	j.request.AddHosts = hosts
	if len(j.outputs) == 0 && !j.request.Push && j.request.Call.Method == "" {
		j.request.Outputs = []builder.Output{{Type: "image"}} // it builds into the engine's store, as ever
	}
	req, left, err := builder.ForEngine(builder.EngineRequest{
		Request: j.request, Images: node.Images,
		Moves:   builder.Moves{Guard: j.guard, Rollback: j.options.Rollback},
		Default: j.unasked(),
	})
	faults := []error{gatewayErr, err}
	var told []string
	for _, fault := range errdefs.List(err) {
		var bad *errdefs.Error
		if errors.As(fault, &bad) {
			told = append(told, bad.Input)
		}
	}
	client := j.builder.Client(node)
	faults = append(faults, builder.CheckEngine(ctx, client, node, req, told))
	keeps, err := builder.KeepsHistory(ctx, client)
	faults = append(faults, err)
	if err == nil && !keeps {
		var line string
		line, err = j.withoutHistory()
		left, faults = append(left, line), append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	for _, line := range left {
		if line != "" {
			fmt.Fprintln(j.env.Stderr, line)
		}
	}
	j.request = req
	return nil
}

// unasked are the inputs whose part of the request nobody wrote.
func (j *job) unasked() []string {
	var inputs []string
	attests, err := parseAttests(j.options.Attests) // of which the door knows no fault
	if _, said := attests["provenance"]; err == nil && !said && j.options.Provenance == "" {
		inputs = append(inputs, "provenance")
	}
	if len(j.options.Annotations) == 0 {
		inputs = append(inputs, "annotations") // metadata's
	}
	return inputs
}

// withoutHistory is what a run does without where the daemon keeps no records of
// builds: a line that says so, or a fault where a record was asked for.
func (j *job) withoutHistory() (left string, err error) {
	const why = "this engine's BuildKit keeps no record of a build"
	if j.options.BuildRecord != "" {
		err = errdefs.BadInputf("build-record", 0, why).WithHint("make a builder, with hullwright setup, or use an engine of 23.0 or newer")
	}
	if j.provenance == builder.NoProvenance || j.request.Call.Method != "" {
		return "", err
	}
	j.provenance = builder.NoProvenance
	return "metadata-provenance: left out, " + why, err
}

// push has the engine push, where its BuildKit built and can't.
func (j *job) push(ctx context.Context) error {
	if j.builder.Driver != setup.Docker || j.request.Call.Method != "" {
		return nil
	}
	images := j.builder.Nodes[0].Images
	if images != setup.ClassicStore {
		j.result = j.result.Stored(images)
		return nil
	}
	if !j.request.Push {
		if j.result.Digest.Hex != "" {
			fmt.Fprintf(j.env.Stderr, "digest: %s is the image's id; in this engine's store an image has no other digest before it is pushed\n", j.result.ImageID())
		}
		return nil
	}
	return j.env.Group("Push", func() error { return j.pushByEngine(ctx) })
}

// shownDigest is the image's digest for reports: none where it is an id that
// stands in its place.
func (j *job) shownDigest() string {
	digest := j.result.ImageDigest()
	if digest != "" && j.builder.Nodes[0].Images == setup.ClassicStore && digest == j.result.ImageID() {
		return ""
	}
	return digest
}

func (j *job) pushByEngine(ctx context.Context) error {
	api, err := j.manager.Engine(j.builder.Name)
	if err != nil {
		return err
	}
	defer api.Close()
	shown, err := j.foreign()
	if err != nil {
		return err
	}
	defer shown.Close()
	push := builder.EnginePush{Engine: api, Login: j.engineLogin, Registry: j.registry, Now: j.env.Now}
	j.result, j.tags, err = push.Push(ctx, j.request, j.result, builder.Session{
		Progress: shown, Display: j.display, Secrecy: j.env.Secrets,
	})
	if err != nil {
		for _, t := range j.tags {
			fmt.Fprintln(j.env.Stderr, ci.Clean(endState(t)))
		}
	}
	return err
}

// withEngineRows are the rows of a release, where tags were pushed by an engine
// before with what became of them then: the release found them as they shall be.
func withEngineRows(rows, pushed []registry.Written) []registry.Written {
	for i, row := range rows {
		at := slices.IndexFunc(pushed, func(w registry.Written) bool { return w.Tag == row.Tag && w.After == row.After })
		if at >= 0 && row.Stands() {
			rows[i] = pushed[at]
		}
	}
	return rows
}

// engineLogin are a repository's credentials as an engine takes them, which are
// those that our own requests use.
func (j *job) engineLogin(ctx context.Context, repo name.Repository) (string, error) {
	login, err := credentialsOf(ctx, j.memory, repo.RegistryStr(), []string{repo.Scope("push,pull")})
	if err != nil {
		return "", err
	}
	return authconfig.Encode(dockerregistry.AuthConfig{
		Username: login.Username, Password: login.Password, Auth: login.Auth,
		IdentityToken: login.IdentityToken, RegistryToken: login.RegistryToken, ServerAddress: login.ServerAddress,
	})
}
