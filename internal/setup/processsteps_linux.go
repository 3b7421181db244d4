package setup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runcDir is where root's runc notes what it runs. An ordinary user's is below
// the builder's own directory, by XDG_RUNTIME_DIR.
const runcDir = "/run/runc"

// runcState is what we need of a container's state.json.
// https://github.com/opencontainers/runc/blob/v1.1.15/libcontainer/container_linux.go#L51 (State)
type runcState struct {
	CgroupPaths map[string]string `json:"cgroup_paths"`
	Config      struct {
		Rootfs string `json:"rootfs"`
	} `json:"config"`
}

// forgetSteps removes runc's notes of steps in the places, and the cgroups that
// it made for them. The steps must have ended.
func forgetSteps(places []string) (names []string, err error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(runcDir, "*", "state.json"))
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, file := range files {
		raw, err := os.ReadFile(file)
		var s runcState
		if err != nil || json.Unmarshal(raw, &s) != nil || !below(s.Config.Rootfs, places) {
			continue // it ended just now, or is somebody else's
		}
		id := filepath.Base(filepath.Dir(file))
		names = append(names, "runc's container "+id)
		for _, group := range s.CgroupPaths {
			if filepath.Base(group) == id && strings.HasPrefix(group, "/sys/fs/cgroup/") {
				faults = append(faults, removeGroup(group))
			}
		}
		faults = append(faults, os.RemoveAll(filepath.Dir(file)))
	}
	return names, errors.Join(faults...)
}

// removeGroup removes a cgroup whose processes were killed; the kernel takes a
// moment to forget them. One that has processes is not removed by force.
func removeGroup(path string) error {
	for tries := 0; ; tries++ {
		err := os.Remove(path)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY) || tries == 100:
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
