package setup

import (
	"testing"
	"time"

	engine "github.com/moby/moby/client"
)

// TestRealAdopt finds a container that is made and not started: by somebody who is
// about to, and by nobody.
func TestRealAdopt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		starts bool
	}{{"in time", true}, {"never", false}} {
		t.Run(tt.name, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			state := newState(t, m)
			spec := Spec{Name: "a" + newNonce(3), Driver: DockerContainer, DriverOpts: map[string]string{"network": "host"}, Config: []byte("[grpc]\n  debugAddress = \"127.0.0.1:0\"\n")}
			b, err := m.Ensure(ctx, spec, state)
			check(t, err)
			api, err := m.engine(b.Nodes[0].Endpoint)
			check(t, err)
			defer api.Close()
			node := b.Nodes[0].conn.(*containerNode)
			check(t, b.Close())
			found, err := api.ContainerInspect(ctx, node.name(), engine.ContainerInspectOptions{})
			check(t, err)
			_, err = api.ContainerRemove(ctx, node.name(), engine.ContainerRemoveOptions{Force: true})
			check(t, err)
			_, err = api.ContainerCreate(ctx, engine.ContainerCreateOptions{
				Name: node.name(), Config: found.Container.Config, HostConfig: found.Container.HostConfig,
			})
			check(t, err)

			started := make(chan error, 1)
			if tt.starts {
				time.AfterFunc(500*time.Millisecond, func() { // without configuration, which shows who started it
					_, err := api.ContainerStart(ctx, node.name(), engine.ContainerStartOptions{})
					started <- err
				})
			}
			b, err = m.Find(ctx, spec.Name)
			check(t, err)
			solve(ctx, t, b)
			if tt.starts {
				check(t, <-started)
			}
			_, err = api.ContainerStatPath(ctx, node.name(), engine.ContainerStatPathOptions{Path: "/etc/buildkit/buildkitd.toml"})
			if here := err == nil; here == tt.starts {
				t.Errorf("configuration is there: %t, %v", here, err)
			}
			check(t, b.Close())
			check(t, m.Teardown(ctx, state.Path()))
		})
	}
}
