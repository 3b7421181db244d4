package setup

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	engine "github.com/moby/moby/client"
)

// allGPUs is what docker run --gpus all asks for.
var allGPUs = []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}, Options: map[string]string{}}}

// gpus is the request for all GPUs; nil where the engine has none. No part of
// the API tells, so that a container which asks for them is tried, as buildx
// does.
func (c *containerNode) gpus(ctx context.Context, api *engine.Client, image string, state *State) (_ []container.DeviceRequest, err error) {
	if state == nil || c.nonce == "" {
		return nil, nil // somebody else's builder, that is only made again: nobody would remove what we try
	}
	name := "hullwright-gpu-" + c.nonce[:8] + "-" + newNonce(3)
	if err := state.record(entry{Kind: kindContainer, ID: name, Where: c.node.Endpoint}); err != nil {
		return nil, err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), createLimit)
		defer cancel()
		rmErr := c.m.removeContainer(clean, c.node.Endpoint, name, c.nonce)
		if rmErr == nil || errors.Is(rmErr, errGone) {
			rmErr = state.forget(entry{Kind: kindContainer, ID: name, Where: c.node.Endpoint})
		}
		err = errors.Join(err, rmErr)
	}()
	whole, cancel := unbroken(ctx)
	defer cancel()
	_, err = api.ContainerCreate(whole, engine.ContainerCreateOptions{
		Name:   name,
		Config: &container.Config{Image: image, Entrypoint: []string{"/bin/true"}, Labels: c.labels()},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Resources:   container.Resources{DeviceRequests: allGPUs},
		},
	})
	if err == nil {
		_, err = api.ContainerStart(whole, name, engine.ContainerStartOptions{})
	}
	if err != nil {
		return nil, ctx.Err() // the engine refuses: it has no GPU
	}
	return allGPUs, nil
}

// wslLibraries are where Windows gives its GPUs' libraries to Linux.
const wslLibraries = "/usr/lib/wsl"

// wslMounts are the mounts of a builder on an engine inside of WSL: with a GPU
// requested alone, no CDI specification of it comes about.
// https://github.com/docker/buildx/pull/3320
func wslMounts(environ map[string]string, engineHost, libraries string) []mount.Mount {
	scheme, _, _ := strings.Cut(engineHost, "://")
	local := scheme == "unix" || scheme == "npipe" || scheme == "fd"
	if environ["WSL_DISTRO_NAME"] == "" || !local {
		return nil
	}
	if info, err := os.Stat(libraries); err != nil || !info.IsDir() {
		return nil
	}
	return []mount.Mount{{Type: mount.TypeBind, Source: libraries, Target: libraries, ReadOnly: true}}
}
