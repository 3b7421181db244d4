package setup

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	engine "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// TestRealImageCache has an image that can be pulled, and then can't.
func TestRealImageCache(t *testing.T) {
	m, ctx := real(t), limited(t)
	cache := filepath.Join(t.TempDir(), "a", "images")
	m.host.ImageCache = cache
	var away atomic.Bool
	f := startFaulty(t, func(n int32, w http.ResponseWriter, r *http.Request) bool {
		return away.Load() && answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)(n, w, r)
	})
	api := realEngine(t, m)
	endpoint, err := m.currentEndpoint()
	check(t, err)
	state := newState(t, m)
	runner := func() *imageRunner { return &imageRunner{m: m, endpoint: endpoint, image: f.image, state: state} }
	remove := func() {
		t.Helper()
		_, err := api.ImageRemove(ctx, f.image, engine.ImageRemoveOptions{})
		check(t, err)
	}
	t.Cleanup(func() { api.ImageRemove(context.Background(), f.image, engine.ImageRemoveOptions{}) })
	told := &lines{}
	m.host.Stderr = told

	// Two jobs at once, each with a manager of its own.
	other := real(t)
	other.host.ImageCache = cache
	var eg errgroup.Group
	eg.Go(func() error { return runner().pull(ctx) })
	eg.Go(func() error { return other.pullKept(ctx, api, f.image) })
	check(t, eg.Wait())
	kept, err := os.ReadDir(cache)
	check(t, err)
	if len(kept) != 1 || !strings.HasSuffix(kept[0].Name(), ".tar") {
		t.Fatalf("kept %v", kept)
	}

	remove()
	away.Store(true)
	r := runner()
	check(t, r.pull(ctx))
	if !strings.Contains(told.String(), "as the cache has it, since the pull failed") || !strings.HasPrefix(r.image, "sha256:") {
		t.Errorf("image %s, told:\n%s", r.image, told)
	}
	_, err = api.ImageInspect(ctx, r.image)
	check(t, err)
	check(t, runner().pull(ctx)) // its name is back, too

	// What is in the cache under its name and is not it.
	remove()
	path := filepath.Join(cache, kept[0].Name())
	cut := path[:len(path)-len("0000.tar")] + "0000.tar"
	check(t, os.Rename(path, cut))
	if err := runner().pull(ctx); err == nil || !strings.Contains(told.String(), "it is not the image that its name says") {
		t.Errorf("got %v, told:\n%s", err, told)
	}
	api.ImageRemove(ctx, f.image, engine.ImageRemoveOptions{}) // the engine has loaded it
	check(t, os.WriteFile(cut, []byte("no tar"), 0o600))
	if err := runner().pull(ctx); err == nil || !strings.Contains(err.Error(), "manifest unknown") {
		t.Errorf("got %v", err)
	}
	m.host.ImageCache = ""
	if err := runner().pull(ctx); err == nil {
		t.Error("pulled")
	}
}
