package setup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	engine "github.com/moby/moby/client"
)

// The cache is a directory of tars as docker save makes them, each named by
// what was pulled and the id of the image that came: NAME-ID.tar. An engine names
// what it loads by content, so that a tar can't pass for another's.
const (
	cacheFiles = 4
	cacheBytes = 1 << 30
	// cacheWriting is how old a file is that nobody writes any more.
	cacheWriting = time.Hour
)

// ImageCacheDir is where images are kept: in the runner's RUNNER_TOOL_CACHE, else
// in the user's cache directory; empty where there is neither. On runners that
// GitHub hosts nothing is kept, since both are new for each job.
func ImageCacheDir(environ map[string]string) string {
	if environ["RUNNER_ENVIRONMENT"] == "github-hosted" {
		return ""
	}
	for _, place := range [][]string{{"RUNNER_TOOL_CACHE"}, {"XDG_CACHE_HOME"}, {"HOME", ".cache"}} {
		if dir := environ[place[0]]; filepath.IsAbs(dir) {
			return filepath.Join(append(append([]string{dir}, place[1:]...), "hullwright", "images")...)
		}
	}
	return ""
}

// pullKept pulls an image, and keeps it for when it can't be pulled. That it
// can't be kept is a warning.
func (m *Manager) pullKept(ctx context.Context, api *engine.Client, image string) error {
	if err := m.pull(ctx, api, image); err != nil {
		return err
	}
	if m.host.ImageCache == "" {
		return nil
	}
	_, err, _ := m.pulling.Do("keep "+api.DaemonHost()+" "+image, func() (any, error) { return nil, m.keep(ctx, api, image) })
	if err != nil && ctx.Err() == nil {
		m.stepf("warning: image %s is not kept for later jobs: %v", image, err)
	}
	return nil
}

func (m *Manager) keep(ctx context.Context, api *engine.Client, image string) error {
	name, err := cacheName(ctx, api, image)
	if err != nil {
		return err
	}
	found, err := api.ImageInspect(ctx, image)
	if err != nil {
		return err
	}
	id, ok := strings.CutPrefix(found.ID, "sha256:")
	if !ok {
		return fmt.Errorf("id %q is no digest", found.ID)
	}
	dir := m.host.ImageCache
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !mine(dir) {
		return fmt.Errorf("%s is another user's", dir)
	}
	path := filepath.Join(dir, name+"-"+id+".tar")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = saveTo(ctx, api, image, path)
		if err != nil {
			return err
		}
	}
	now := m.host.Now()
	if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return trim(dir, now)
}

// saveTo writes an image's tar in one go: who looks finds it whole or not at all.
func saveTo(ctx context.Context, api *engine.Client, image, path string) error {
	stream, err := api.ImageSave(ctx, []string{image})
	if err != nil {
		return err
	}
	defer stream.Close()
	f, err := os.CreateTemp(filepath.Dir(path), ".writing-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain where all went well
	_, err = io.Copy(f, stream)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// trim keeps the cache small: the newest files stay.
func trim(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var tars []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil: // another job was quicker
		case strings.HasPrefix(e.Name(), ".writing-") && now.Sub(info.ModTime()) > cacheWriting:
			os.Remove(filepath.Join(dir, e.Name()))
		case strings.HasSuffix(e.Name(), ".tar"):
			tars = append(tars, info)
		}
	}
	slices.SortFunc(tars, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var size int64
	for i, info := range tars {
		if size += info.Size(); i > 0 && (i >= cacheFiles || size > cacheBytes) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, info.Name())))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// cacheName is for an image by the name that it is pulled by, for the engine's
// kind of machine.
func cacheName(ctx context.Context, api *engine.Client, image string) (string, error) {
	v, err := api.ServerVersion(ctx, engine.ServerVersionOptions{})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(image + "\n" + v.Os + "/" + v.Arch))
	return hex.EncodeToString(sum[:16]), nil
}

// loadKept loads an image from the cache, and gives the name by which the engine
// has it; empty where the cache has none.
func (m *Manager) loadKept(ctx context.Context, api *engine.Client, image string) (string, error) {
	if m.host.ImageCache == "" {
		return "", nil
	}
	name, err := cacheName(ctx, api, image)
	if err != nil {
		return "", err
	}
	path := newest(filepath.Join(m.host.ImageCache, name+"-*.tar"))
	if path == "" {
		return "", nil
	}
	if !mine(path) || !mine(m.host.ImageCache) {
		return "", fmt.Errorf("%s is another user's", path)
	}
	id := "sha256:" + strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), name+"-"), ".tar")
	if err := loadFrom(ctx, api, path); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if _, err := api.ImageInspect(ctx, id); err != nil {
		return "", fmt.Errorf("%s: it is not the image that its name says: %w", path, err)
	}
	return id, nil
}

func newest(pattern string) string {
	found, _ := filepath.Glob(pattern) // the pattern is well formed
	var path string
	var at time.Time
	for _, f := range found {
		if info, err := os.Lstat(f); err == nil && (path == "" || info.ModTime().After(at)) {
			path, at = f, info.ModTime()
		}
	}
	return path
}

func loadFrom(ctx context.Context, api *engine.Client, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	result, err := api.ImageLoad(ctx, f)
	if err != nil {
		return err
	}
	defer result.Close()
	for answers := json.NewDecoder(result); ; {
		var message jsonstream.Message
		err := answers.Decode(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
	}
}
