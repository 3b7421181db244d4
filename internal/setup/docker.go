package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Docker is the driver of an engine's own BuildKit. Such a builder is made by
// nobody and removed by nobody; its name is that of the docker context.
const Docker = "docker"

// defaultBuilder is the name of the builder of the engine that a bare docker
// command speaks to, where that is no docker context's. It is buildx's.
const defaultBuilder = "default"

// ImageStore is how an engine keeps images, which decides what its own BuildKit
// is able to do.
type ImageStore string

// The image stores.
const (
	ClassicStore    ImageStore = "classic"    // a platform's image without attestations
	ContainerdStore ImageStore = "containerd" // images as they were built: indexes with all their platforms
)

// containerdDriver is what an engine's info says of its driver where images are
// in containerd's store: https://docs.docker.com/engine/storage/containerd/
const containerdDriver = "io.containerd.snapshotter.v1"

// gatewayLabel is of the worker of an engine's own BuildKit:
// https://github.com/moby/moby/blob/v28.0.0/builder/builder-next/worker/label/label.go
const gatewayLabel = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"

// StoreOf is the image store of the engine that says info.
func StoreOf(info engine.SystemInfoResult) ImageStore {
	for _, s := range info.Info.DriverStatus {
		if s[0] == "driver-type" && s[1] == containerdDriver {
			return ContainerdStore
		}
	}
	return ClassicStore
}

// engineNode is an engine's own BuildKit, behind the engine's API.
type engineNode struct {
	api      *engine.Client
	endpoint string
	images   ImageStore
	version  string // the engine's
}

// up asks the engine whether it is there and what it is. There is nothing to start.
func (e *engineNode) up(ctx context.Context, _ *State) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimitNamed)
	defer cancel()
	info, err := e.api.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return errdefs.New(errdefs.Environment, "engine %s: %w", e.endpoint, err).
			WithHint("start the engine, or name another: DOCKER_HOST, or a docker context as the builder")
	}
	if info.Info.OSType != "linux" {
		return errdefs.New(errdefs.Environment, "engine %s: it is for %s, and has no BuildKit", e.endpoint, info.Info.OSType)
	}
	e.images, e.version = StoreOf(info), info.Info.ServerVersion
	return nil
}

// engineBuildKits are the BuildKits of engines whose own do not tell, by the
// beginning of the engine's version; the words are buildx's (driver/docker/version.go).
var engineBuildKits = []struct{ engine, buildkit string }{
	{"18.09.", "v0.4+unknown"},
	{"19.03.", "v0.6+unknown"},
	{"20.10.", "v0.8+unknown"},
	{"22.06.", "v0.10+unknown"},
	{"23.0.", "v0.10+unknown"},
}

// buildkit is the version of the engine's BuildKit, where it is known by the
// engine's, else empty.
func (e *engineNode) buildkit() string {
	for _, known := range engineBuildKits {
		if strings.HasPrefix(e.version, known.engine) {
			return known.buildkit
		}
	}
	return ""
}

// dial is as buildx's driver docker connects (driver/docker/driver.go).
func (e *engineNode) dial(ctx context.Context) (net.Conn, error) {
	return e.api.DialHijack(ctx, "/grpc", "h2c", nil)
}

// dialSession takes a session to the engine, which has a place of its own for it.
func (e *engineNode) dialSession(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
	return e.api.DialHijack(ctx, "/session", proto, meta)
}

// gone is the end of waiting: up had an answer, and so what the engine's
// BuildKit refuses it will refuse again.
func (e *engineNode) gone(ctx context.Context) error {
	conn, err := e.dial(ctx)
	if err != nil {
		return fmt.Errorf("the engine has no BuildKit that can be reached: %w", err)
	}
	return conn.Close()
}

func (e *engineNode) tail(context.Context) string { return "" }

func (e *engineNode) Close() error { return e.api.Close() }

// engineContext is the builder of an engine by its name: a docker context's, or
// default for the current one. It is not ok where there is no such context.
func (m *Manager) engineContext(name string) (context string, ok bool, err error) {
	if name == "" || name == defaultBuilder {
		endpoint, err := m.currentEndpoint()
		if err != nil || strings.Contains(endpoint, "://") {
			return defaultBuilder, err == nil, err
		}
		return endpoint, true, nil
	}
	if strings.ContainsAny(name, `/\`) {
		return "", false, nil
	}
	_, err = m.contexts().GetMetadata(name)
	return name, err == nil, nil
}

// findEngine gives the builder of an engine's name, booted.
func (m *Manager) findEngine(ctx context.Context, name string) (*Builder, error) {
	endpoint, err := m.endpoint(name)
	if err != nil {
		return nil, err
	}
	api, err := m.engine(endpoint)
	if err != nil {
		return nil, err
	}
	conn := &engineNode{api: api, endpoint: endpoint}
	node, err := m.bootNode(ctx, name, groupNode{Name: name, Endpoint: name}, conn, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("builder %s (driver %s): %w", name, Docker, err), conn.Close())
	}
	return &Builder{Name: name, Driver: Docker, Nodes: []Node{node}}, nil
}

// ensureEngine gives the builder of an engine that spec asks for. What spec says
// of a builder that is made is an errdefs.BadInput, an error an input.
func (m *Manager) ensureEngine(ctx context.Context, spec Spec, state *State) (*Builder, error) {
	name, err := m.engineOfSpec(spec)
	if err := errors.Join(err, m.refuseForEngine(spec)); err != nil {
		return nil, err
	}
	if spec.Name != "" && !strings.EqualFold(spec.Name, name) && spec.Name != defaultBuilder {
		m.stepf("the name %s is not used: with driver %s a builder is called as its docker context is, %s", spec.Name, Docker, name)
	}
	b, err := m.findEngine(ctx, name)
	if err != nil {
		return nil, err
	}
	m.stepf("using builder %s, the engine's own BuildKit (driver %s, %s image store)", name, Docker, b.Nodes[0].Images)
	if spec.Use {
		if err := m.useEngine(ctx, name, state); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

// engineOfSpec is the docker context that a spec names, by its endpoint or else
// by its name. A name that is none is no fault: docker/setup-buildx-action takes
// the current context then.
func (m *Manager) engineOfSpec(spec Spec) (string, error) {
	if spec.Endpoint == "" {
		name, ok, err := m.engineContext(spec.Name)
		if ok || err != nil {
			return name, err
		}
		name, _, err = m.engineContext("")
		return name, err
	}
	endpoint, err := m.endpoint(spec.Endpoint)
	if err != nil {
		return "", err
	}
	current, err := m.currentEndpoint()
	switch {
	case err != nil:
		return "", err
	case endpoint == current:
		name, _, err := m.engineContext("")
		return name, err
	case strings.Contains(endpoint, "://"):
		return "", errdefs.BadInputf("endpoint", 0, "%s is no docker context, by whose name a builder of driver %s is known", spec.Endpoint, Docker).
			WithHint("docker context create NAME --docker host=%s makes one; or set DOCKER_HOST", endpoint)
	}
	return endpoint, nil
}

// refuseForEngine is about all that only a builder of one's own can be told.
func (m *Manager) refuseForEngine(spec Spec) error {
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(spec.DriverOpts)) {
		faults = append(faults, errdefs.BadInputf("driver-opts", 0, "%s: driver %s has no options", key, Docker))
	}
	asItIs := "driver " + Docker + " uses the engine's BuildKit as it is"
	for _, refused := range []struct {
		input string
		given bool
	}{
		{"buildkitd-flags", spec.Flags != nil},
		{"buildkitd-config", spec.Config != nil},
		{"buildkitd", spec.Buildkitd != ""},
		{"keep-state", spec.KeepState},
		{"append", len(spec.Nodes) > 0},
	} {
		if refused.given {
			faults = append(faults, errdefs.BadInputf(refused.input, 0, "%s", asItIs).
				WithHint("make a builder, with driver %s; what the engine's can be told is in its daemon.json, under builder", DockerContainer))
		}
	}
	m.skipTLS(NodeSpec{TLS: spec.TLS}, Docker)
	return errors.Join(append(faults, m.leaveSettings(spec.Settings, Docker))...)
}

// useEngine makes the engine's own builder the current one, of buildx too.
func (m *Manager) useEngine(ctx context.Context, name string, state *State) error {
	s := m.store()
	key, err := m.currentEndpoint()
	if err != nil {
		return err
	}
	return s.locked(ctx, func() error {
		before, err := s.readCurrentRaw()
		if err != nil {
			return err
		}
		if err := state.record(entry{Kind: kindCurrent, ID: name, Where: s.dir, Detail: string(before)}); err != nil {
			return err
		}
		return s.useEngine(key, name)
	})
}
