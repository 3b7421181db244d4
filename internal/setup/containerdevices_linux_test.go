package setup

import (
	"os"
	"testing"

	engine "github.com/moby/moby/client"
)

// TestRealGPUs holds the answer against what the machine has, and looks for what
// the trial left.
func TestRealGPUs(t *testing.T) {
	m, ctx := real(t), limited(t)
	api := realEngine(t, m)
	endpoint, err := m.endpoint("")
	check(t, err)
	state := newState(t, m)
	g := &group{Name: "gpu", Driver: DockerContainer, Made: &maker{Nonce: state.nonce(), State: state.Path()}}
	conn, err := m.connector(g, groupNode{Name: "gpu0", Endpoint: endpoint}, DockerContainer, false)
	check(t, err)
	got, err := conn.(*containerNode).gpus(ctx, api, defaultImage, state)
	check(t, err)
	if _, err := os.Stat("/dev/nvidiactl"); (err == nil) != (got != nil) {
		t.Errorf("requests %v, and /dev/nvidiactl: %v", got, err)
	}
	if !state.Empty() {
		t.Error("the state file has the trial still")
	}
	left, err := api.ContainerList(ctx, engine.ContainerListOptions{All: true, Filters: make(engine.Filters).Add("label", labelNonce+"="+state.nonce())})
	check(t, err)
	if len(left.Items) > 0 {
		t.Errorf("left %v", left.Items)
	}
}
