package buildpush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	engine "github.com/moby/moby/client"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// settleLoad asks the engine, where it is to load the image, what it can take.
func (j *job) settleLoad(ctx context.Context) error {
	load, ok := builder.Loaded(j.request)
	if !ok {
		return nil
	}
	if load.Attrs["context"] == "" {
		if own, err := j.onEngine(); own || err != nil {
			return err // it builds where the image is to be
		}
	}
	api, err := j.manager.Engine(load.Attrs["context"])
	if err != nil {
		return err
	}
	defer api.Close()
	info, err := api.Info(ctx, engine.InfoOptions{})
	if err != nil {
		return noEngine(err)
	}
	j.request, err = builder.LoadInto(j.request, setup.StoreOf(info) == setup.ContainerdStore)
	return err
}

func noEngine(err error) error {
	return &errdefs.Error{
		Kind: errdefs.Environment, Input: "load", Err: fmt.Errorf("the engine: %w", err),
		Hint: "start the engine, name another with DOCKER_HOST, or write the image to a file: outputs: type=docker,dest=FILE",
	}
}

// load begins to load an image into the engine: what is written to it is the
// image's tar.
func (j *job) load(ctx context.Context) (io.WriteCloser, error) {
	load, _ := builder.Loaded(j.request)
	api, err := j.manager.Engine(load.Attrs["context"])
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	l := &loading{PipeWriter: w, done: make(chan error, 1)}
	go func() {
		defer api.Close()
		err := loadImage(ctx, api, r)
		r.CloseWithError(err) // a writer must not wait for an engine that is done
		l.done <- err
	}()
	return l, nil
}

// loading is a load at work.
type loading struct {
	*io.PipeWriter
	done chan error
}

// Write gives the engine's own error where it stopped to read.
func (l *loading) Write(p []byte) (int, error) {
	n, err := l.PipeWriter.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = errdefs.New(errdefs.Environment, "the engine stopped to read the image")
	}
	return n, err
}

// Close ends the image, and waits for the engine to have it.
func (l *loading) Close() error {
	l.PipeWriter.Close() // never fails
	return <-l.done
}

func loadImage(ctx context.Context, api *engine.Client, image io.Reader) error {
	reply, err := api.ImageLoad(ctx, image)
	if err != nil {
		return noEngine(err)
	}
	defer reply.Close()
	for decoder := json.NewDecoder(reply); ; {
		var news struct {
			Error string `json:"error"`
		}
		switch err := decoder.Decode(&news); {
		case err == io.EOF:
			return nil
		case err != nil:
			return noEngine(err)
		case news.Error != "":
			return &errdefs.Error{Kind: errdefs.Environment, Input: "load", Err: fmt.Errorf("the engine does not take the image: %s", news.Error)}
		}
	}
}
