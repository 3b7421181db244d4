package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"

	"github.com/hullwright/hullwright/internal/setup"
)

// What must be free.
const (
	spaceLow  = 2 << 30
	spaceFull = 256 << 20
)

// space is what is free on a file system.
type space struct {
	free  int64 // bytes, for this user
	files bool  // whether another file can be made
}

func checkDisk(ctx context.Context, r *run) []Finding {
	list := r.builderDisk(ctx)
	return append(list, tempDisk(r.temp())...)
}

// temp is where programs of the job put temporary files.
func (r *run) temp() string {
	for _, name := range []string{"TMPDIR", "RUNNER_TEMP"} {
		if dir := r.Environ[name]; dir != "" {
			return dir
		}
	}
	return os.TempDir()
}

// builderDisk is about the disk of each node that is on this machine, and of the
// engine where a builder is yet to be made.
func (r *run) builderDisk(ctx context.Context) []Finding {
	b, _ := r.booted()
	if b == nil {
		if f, err := r.askEngine(); err == nil && f.root != "" {
			return judgeSpace("engine", f.root, "")
		}
		return nil
	}
	var list []Finding
	for _, n := range b.Nodes {
		used := "cache not told"
		if usage, err := b.Client(n).DiskUsage(ctx); err == nil {
			var sum int64
			for _, u := range usage {
				sum += u.Size
			}
			used = units.BytesSize(float64(sum)) + " of cache"
		}
		dir := r.rootOf(b, n)
		if dir == "" {
			list = append(list, ok(n.Name, "%s; its disk can't be seen from here", used))
			continue
		}
		list = append(list, judgeSpace(n.Name, dir, used)...)
	}
	return list
}

// rootOf is a directory on the disk of a node; empty where that is not here.
func (r *run) rootOf(b *setup.Builder, n setup.Node) string {
	socket, local := strings.CutPrefix(n.Endpoint, "unix://")
	switch {
	case b.Driver == setup.Process && local:
		root := filepath.Join(filepath.Dir(socket), "root") // a link where the root is kept
		if _, err := os.Stat(root); err == nil {
			return root
		}
		return filepath.Dir(socket)
	case b.Driver == setup.DockerContainer || b.Driver == setup.Docker:
		if f, err := r.askEngine(); err == nil {
			return f.root
		}
	}
	return ""
}

// judgeSpace is about the disk that dir is on. A directory that is there for
// another user, or in another container, says nothing.
func judgeSpace(on, dir, used string) []Finding {
	s, err := spaceOf(dir)
	if err != nil {
		return []Finding{ok(on, "%s", strings.TrimPrefix(used+"; its disk can't be seen from here", "; "))}
	}
	text := fmt.Sprintf("%s free on %s", units.BytesSize(float64(s.free)), dir)
	if used != "" {
		text += ", " + used
	}
	switch {
	case !s.files:
		return []Finding{find("disk-full", on, "no more files can be made on %s", dir)}
	case s.free < spaceFull:
		return []Finding{find("disk-full", on, "%s", text)}
	case s.free < spaceLow:
		return []Finding{find("disk-low", on, "%s", text)}
	}
	return []Finding{ok(on, "%s", text)}
}

// tempDisk is about temporary files: one is made to see that it can be.
func tempDisk(dir string) []Finding {
	f, err := os.CreateTemp(dir, "hullwright-doctor-")
	if err != nil {
		return []Finding{find("temp-unwritable", dir, "%v", err)}
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return []Finding{find("temp-unwritable", dir, "%v", err)}
	}
	return judgeSpace("temporary files", dir, "")
}
