package setup

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// installImage has the image register what is missing on an engine's machine, in
// one go.
func (m *Manager) installImage(ctx context.Context, endpoint string, proofs []*proof, image string, state *State) error {
	r := &imageRunner{m: m, endpoint: endpoint, image: image, state: state}
	if err := r.pull(ctx); err != nil {
		return err
	}
	before, err := r.run(ctx)
	if err != nil {
		return err
	}
	archs := absent(proofs, before, image)
	if len(archs) == 0 {
		return nil
	}
	names := make([]string, len(archs))
	for i, arch := range archs {
		names[i] = binfmt.Name(arch)
	}
	tried := entry{Kind: kindBinfmtImage, ID: strings.Join(names, ","), Where: endpoint, Detail: r.image}
	if err := state.record(tried); err != nil {
		return err
	}
	owned, err := r.mayOwn(ctx, names)
	if err != nil {
		return err
	}
	m.stepf("registering %s with image %s", strings.Join(archs, ","), image)
	after, err := r.run(ctx, "--install", strings.Join(archs, ","))
	if err != nil {
		return err
	}
	judge(proofs, after, image)
	if version := r.version(ctx); version != "" {
		for _, p := range proofs {
			p.row.image = version
		}
	}
	return r.own(ctx, tried, after, owned)
}

// version is what the image says of its version where its tag does not.
func (r *imageRunner) version(ctx context.Context) string {
	if _, ok := binfmt.ParseVersion(r.image); ok {
		return ""
	}
	out, code, err := r.contained(ctx, container.Config{Image: r.image, Cmd: []string{"--version"}}, container.HostConfig{NetworkMode: "none"}, nil)
	if err != nil || code != 0 {
		return "" // another program's image than tonistiigi/binfmt's need not know this
	}
	return out.text
}

// mayOwn are the names that are ours to keep as if we had registered them
// ourselves, where the image does: not in this machine's table yet, of which we
// are root, and which is the engine's, too.
func (r *imageRunner) mayOwn(ctx context.Context, names []string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	here, err := r.m.sharesKernel(ctx, &Node{conn: &containerNode{m: r.m, node: groupNode{Endpoint: r.endpoint}}})
	if err != nil || !here {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := binfmt.Registry{}.Entry(name)
		return err == nil
	}), nil
}

// own has the state file name what the image did register of what it was asked
// for, and other runs take part in it.
func (r *imageRunner) own(ctx context.Context, tried entry, after listing, owned []string) error {
	api, err := r.m.engine(r.endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	for name := range strings.SplitSeq(tried.ID, ",") {
		if !slices.Contains(after.Emulators, name) {
			continue
		}
		if slices.Contains(owned, name) {
			held, err := r.ownHere(ctx, name)
			if err != nil {
				return err
			}
			if held {
				continue
			}
		}
		one := tried
		one.ID = name
		// Before the lease, so that teardown gives that back before it looks who
		// else has one: of two that end together each would leave it to the other.
		if err := r.state.record(one); err != nil {
			return err
		}
		if err := r.leaseImage(ctx, api, name, tried.Detail); err != nil {
			return err
		}
	}
	return r.state.forgetFirst(tried)
}

// ownHere takes over a registration where this machine's table shows it.
func (r *imageRunner) ownHere(ctx context.Context, name string) (held bool, err error) {
	err = hostLeases.locked(ctx, func() error {
		e, err := binfmt.Registry{}.Entry(name)
		if err != nil {
			return nil // the engine has a table of its own
		}
		held = true
		line := e.Line.String()
		if err := r.state.record(entry{Kind: kindBinfmt, ID: name, Detail: line}); err != nil {
			return err
		}
		return hostLeases.hold(name, r.state.mark(), line)
	})
	return held, err
}

// absent marks the platforms whose registration is to be added, and gives their
// architectures. What is registered already is not ours to replace.
func absent(proofs []*proof, before listing, image string) (archs []string) {
	for _, p := range proofs {
		arch := p.row.Platform.Architecture
		name := binfmt.Name(arch)
		if slices.Contains(before.Emulators, name) {
			p.row.Emulator = name
			p.next = fmt.Sprintf("remove that registration (docker run --rm --privileged %s --uninstall %s), then try again", image, name)
			continue
		}
		p.row.Added = true
		if !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
	}
	return archs
}

// judge reads back what was registered: the image's program ends well even
// where it registered nothing.
func judge(proofs []*proof, after listing, image string) {
	for _, p := range proofs {
		name := binfmt.Name(p.row.Platform.Architecture)
		switch {
		case !p.row.Added:
		case slices.Contains(after.Emulators, name):
			p.retry, p.row.Emulator, p.row.image = true, name+" of "+image, image
		default:
			p.row.Added = false
			p.next = fmt.Sprintf("image %s registered no %s: name another with image, or install qemu-user-static", image, name)
		}
	}
}

// imageRunner runs the binfmt image's program on an engine's machine.
type imageRunner struct {
	m        *Manager
	endpoint string
	image    string
	state    *State
	limit    time.Duration // for each program; zero is hangLimit
}

// listing is what the program prints at its end.
type listing struct {
	Supported []string `json:"supported"`
	Emulators []string `json:"emulators"`
}

// pull sees to it that the image is there: pulled, or, where that fails, as the
// cache has it from before.
func (r *imageRunner) pull(ctx context.Context) error {
	api, err := r.m.engine(r.endpoint)
	if err != nil {
		return err
	}
	defer api.Close()
	// A tag that is here already is good enough to register from; unlike a
	// builder's image it is not one that moves.
	if _, err := api.ImageInspect(ctx, r.image); err == nil {
		return nil
	}
	r.m.stepf("pulling image %s", r.image)
	err = r.m.pullKept(ctx, api, r.image)
	if err == nil || ctx.Err() != nil {
		return err
	}
	kept, cacheErr := r.m.loadKept(ctx, api, r.image)
	if cacheErr != nil {
		r.m.stepf("warning: cache of images: %v", cacheErr)
	}
	if kept != "" {
		r.m.stepf("image %s as the cache has it, since the pull failed: %s", r.image, firstLine(err.Error()))
		r.image = kept
		return nil
	}
	return errdefs.New(errdefs.Environment, "pull image %s: %w", r.image, err).
		WithHint("install qemu-user-static on the builder's machine, or name another image with image")
}

// run runs the image's program, and gives what is registered after it.
func (r *imageRunner) run(ctx context.Context, args ...string) (listing, error) {
	var found listing
	out, code, err := r.contained(ctx, container.Config{Image: r.image, Cmd: args},
		container.HostConfig{Privileged: true, NetworkMode: "none"}, nil)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, lastLines(out.complaints))
	}
	if err != nil {
		return found, errdefs.New(errdefs.Environment, "run image %s: %w", r.image, err)
	}
	if err := json.Unmarshal([]byte(out.text), &found); err != nil {
		return found, errdefs.New(errdefs.Environment, "run image %s: expected a list of emulators, found %q: %w", r.image, out.text, err)
	}
	return found, nil
}

// check proves an emulator by running the check in a container, as docker run
// would run a foreign image's program.
func (r *imageRunner) check(ctx context.Context, arch string) error {
	file, ok := binfmt.Check(arch)
	if !ok {
		return fmt.Errorf("no check for architecture %s: %w", arch, binfmt.ErrUnproved)
	}
	if err := r.pull(ctx); err != nil {
		return err
	}
	const program = "hullwright-check"
	_, code, err := r.contained(ctx, container.Config{Image: r.image, Entrypoint: []string{"/" + program}, Cmd: binfmt.Args},
		container.HostConfig{NetworkMode: "none"}, tarOf(program, file))
	if err == nil && code != 0 {
		err = errors.New(binfmt.Explain(int(code)))
	}
	return err
}

// tarOf is a tar with one program.
func tarOf(name string, file []byte) io.Reader {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(file))}) // into memory, of a size that is right: no error
	w.Write(file)
	w.Close()
	return &buf
}

// output is what a container wrote.
type output struct{ text, complaints string }

// contained runs a container to its end and removes it; files is a tar of what
// to put into it, or nil.
func (r *imageRunner) contained(ctx context.Context, config container.Config, host container.HostConfig, files io.Reader) (_ output, code int64, err error) {
	api, err := r.m.engine(r.endpoint)
	if err != nil {
		return output{}, 0, err
	}
	defer api.Close()
	nonce := r.state.nonce()
	name := "hullwright-binfmt-" + nonce[:8] + "-" + newNonce(3)
	e := entry{Kind: kindContainer, ID: name, Where: r.endpoint}
	if err := r.state.record(e); err != nil {
		return output{}, 0, err
	}
	defer func() {
		rmErr := r.m.removeContainer(context.WithoutCancel(ctx), r.endpoint, name, nonce)
		if rmErr == nil || errors.Is(rmErr, errGone) {
			rmErr = r.state.forget(e)
		}
		err = errors.Join(err, rmErr)
	}()
	config.Labels = r.state.mark().labels()
	whole, cancel := unbroken(ctx)
	defer cancel()
	if _, err := api.ContainerCreate(whole, engine.ContainerCreateOptions{Name: name, Config: &config, HostConfig: &host}); err != nil {
		return output{}, 0, err
	}
	if files != nil {
		if _, err := api.CopyToContainer(ctx, name, engine.CopyToContainerOptions{DestinationPath: "/", Content: files}); err != nil {
			return output{}, 0, err
		}
	}
	limit := cmp.Or(r.limit, hangLimit)
	limited, cancel := context.WithTimeoutCause(ctx, limit, errHangs(limit))
	defer cancel()
	out, code, err := runToEnd(limited, api, name)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	return out, code, err
}

// runToEnd runs a container that was made, and gives what it wrote and its exit
// code.
func runToEnd(ctx context.Context, api *engine.Client, name string) (out output, code int64, err error) {
	wait := api.ContainerWait(ctx, name, engine.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := api.ContainerStart(ctx, name, engine.ContainerStartOptions{}); err != nil {
		return output{}, 0, err
	}
	select {
	case err := <-wait.Error:
		return output{}, 0, err
	case end := <-wait.Result:
		code = end.StatusCode
	}
	out.text, out.complaints, err = containerLog(ctx, api, name, "")
	return out, code, err
}
