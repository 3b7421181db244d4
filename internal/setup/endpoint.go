package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	dockercontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/docker"
	contextstore "github.com/docker/cli/cli/context/store"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// How long an engine may take to answer that it is there: one that nobody named,
// and one that a person asked for, which may be far.
const (
	pingLimit      = 2 * time.Second
	pingLimitNamed = 20 * time.Second
)

// dockerDir is the docker CLI's directory of configuration.
func (m *Manager) dockerDir() string {
	if dir := m.host.Environ["DOCKER_CONFIG"]; dir != "" {
		return dir
	}
	return filepath.Join(m.home(), ".docker")
}

func (m *Manager) home() string {
	if home := m.host.Environ["HOME"]; home != "" {
		return home
	}
	// A container's process often has no HOME; its user has one all the same.
	if u, err := osuser.LookupId(user()); err == nil && u.HomeDir != "" {
		return u.HomeDir
	}
	return m.host.Dir
}

// store is buildx's store, found as buildx finds it.
func (m *Manager) store() *store {
	dir := m.host.Environ["BUILDX_CONFIG"]
	if dir == "" {
		dir = filepath.Join(m.dockerDir(), "buildx")
	}
	return &store{dir: dir, now: m.host.Now}
}

// dockerConfig is the docker CLI's config.json; empty where there is none.
func (m *Manager) dockerConfig() (*configfile.ConfigFile, error) {
	file, err := config.Load(m.dockerDir())
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "docker configuration: %w", err)
	}
	return file, nil
}

// currentEndpoint is the engine that a bare docker command speaks to: the name
// of a docker context, or an address where the context is the default one. It
// is also buildx's key for the current builder.
func (m *Manager) currentEndpoint() (string, error) {
	if host := m.host.Environ["DOCKER_HOST"]; host != "" {
		return host, nil // it beats any context, as in the docker CLI
	}
	name := m.host.Environ["DOCKER_CONTEXT"]
	if name == "" {
		file, err := m.dockerConfig()
		if err != nil {
			return "", err
		}
		name = file.CurrentContext
	}
	if name != "" && name != "default" {
		return name, nil
	}
	return engine.DefaultDockerHost, nil
}

// endpoint gives the endpoint as the store keeps it, from what a person wrote.
func (m *Manager) endpoint(given string) (string, error) {
	switch {
	case given == "" || given == "default":
		return m.currentEndpoint()
	case strings.Contains(given, "://"):
		return given, nil
	case filepath.IsAbs(given):
		return "unix://" + given, nil
	}
	if _, err := m.contexts().GetMetadata(given); err != nil {
		return "", errdefs.BadInputf("endpoint", 0, "%q is neither an address nor a docker context", given).
			WithHint("docker context ls lists the contexts; an address is unix:///path, tcp://host:port or ssh://host")
	}
	return given, nil
}

func (m *Manager) contexts() *contextstore.ContextStore { return contextsIn(m.dockerDir()) }

// contextsIn are the contexts of a directory of the docker CLI's configuration.
func contextsIn(dir string) *contextstore.ContextStore {
	return contextstore.New(filepath.Join(dir, "contexts"), contextstore.NewConfig(
		func() any { return &map[string]any{} },
		contextstore.EndpointTypeGetter(docker.DockerEndpoint, func() any { return &docker.EndpointMeta{} }),
	))
}

// Engine is a client of the engine that a docker context, or an address, names;
// empty is the one that a bare docker command speaks to. The caller closes it.
func (m *Manager) Engine(context string) (*engine.Client, error) {
	endpoint, err := m.endpoint(context)
	if err != nil {
		return nil, err
	}
	return m.engine(endpoint)
}

// engine is a client of the engine at an endpoint of the store. The caller
// closes it. It has not asked the engine anything yet.
func (m *Manager) engine(endpoint string) (*engine.Client, error) {
	ep, err := m.resolve(endpoint)
	if err != nil {
		return nil, err
	}
	opts, err := ep.ClientOpts()
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	opts = append(opts, engine.WithAPIVersion(m.host.Environ["DOCKER_API_VERSION"]))
	c, err := engine.New(opts...)
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err)
	}
	return c, nil
}

func (m *Manager) resolve(endpoint string) (docker.Endpoint, error) {
	if strings.Contains(endpoint, "://") {
		ep := docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: endpoint}}
		if endpoint != m.host.Environ["DOCKER_HOST"] {
			return ep, nil
		}
		return ep, m.environTLS(&ep)
	}
	contexts := m.contexts()
	meta, err := contexts.GetMetadata(endpoint)
	if err != nil {
		return docker.Endpoint{}, errdefs.New(errdefs.Environment, "docker context %q: %w", endpoint, err)
	}
	ep, err := docker.EndpointFromContext(meta)
	if err != nil {
		return docker.Endpoint{}, errdefs.New(errdefs.Environment, "docker context %q: %w", endpoint, err)
	}
	return docker.WithTLSData(contexts, endpoint, ep)
}

// environTLS adds what the environment says of TLS for DOCKER_HOST.
func (m *Manager) environTLS(ep *docker.Endpoint) error {
	dir := m.host.Environ["DOCKER_CERT_PATH"]
	verify := m.host.Environ["DOCKER_TLS_VERIFY"] != ""
	if dir == "" && !verify && m.host.Environ["DOCKER_TLS"] == "" {
		return nil
	}
	if dir == "" {
		dir = m.dockerDir()
	}
	var data dockercontext.TLSData
	for name, part := range map[string]*[]byte{"ca.pem": &data.CA, "cert.pem": &data.Cert, "key.pem": &data.Key} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errdefs.New(errdefs.Environment, "DOCKER_CERT_PATH: %w", err)
		}
		*part = raw
	}
	ep.TLSData, ep.SkipTLSVerify = &data, !verify
	return nil
}

// ping asks whether an engine answers at an endpoint. The error says what to do.
func (m *Manager) ping(ctx context.Context, endpoint string, limit time.Duration) error {
	api, err := m.engine(endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := api.Ping(ctx, engine.PingOptions{}); err != nil {
		return errdefs.New(errdefs.Environment, "engine %s: %w", endpoint, err).
			WithHint("start the engine, name another with endpoint, or use the process driver, which needs none")
	}
	return nil
}
