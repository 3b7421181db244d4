package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// inventory is what a run of hullwright could leave on a machine.
type inventory map[string]bool

// machine lists the engine's containers, volumes and networks, BuildKit's and
// QEMU's processes, mounts, binfmt entries and our files in the temporary
// directory.
func machine() (inventory, error) {
	found := inventory{}
	add := func(kind string, names ...string) {
		for _, n := range names {
			if n != "" {
				found[kind+" "+n] = true
			}
		}
	}
	for kind, args := range map[string][]string{
		"container": {"ps", "--all", "--format", "{{.Names}}"},
		"volume":    {"volume", "ls", "--format", "{{.Name}}"},
		"network":   {"network", "ls", "--format", "{{.Name}}"},
	} {
		names, err := engine(args...)
		if err != nil {
			return nil, err
		}
		add(kind, names...)
	}
	add("process", processes()...)
	if raw, err := os.ReadFile("/proc/self/mounts"); err == nil {
		for _, line := range strings.Split(string(raw), "\n") {
			if fields := strings.Fields(line); len(fields) > 1 {
				add("mount", fields[1])
			}
		}
	}
	for kind, pattern := range map[string]string{
		"binfmt entry":   "/proc/sys/fs/binfmt_misc/qemu-*",
		"temporary file": filepath.Join(os.TempDir(), "hullwright-*"),
	} {
		names, _ := filepath.Glob(pattern) // the patterns are well formed
		add(kind, names...)
	}
	return found, nil
}

// left is what is in after and was not before, sorted.
func (before inventory) left(after inventory) []string {
	var left []string
	for thing := range after {
		if !before[thing] {
			left = append(left, thing)
		}
	}
	slices.Sort(left)
	return left
}

// leftNow is what is on the machine now and was not before. What was told to end
// may take a moment, so it looks again for up to 10 s.
func (before inventory) leftNow() ([]string, error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		after, err := machine()
		if err != nil {
			return nil, err
		}
		if left := before.left(after); len(left) == 0 || time.Now().After(end) {
			return left, nil
		}
	}
}

// engine gives the lines that docker prints. Without the environment there need
// be no engine, and none has no containers.
func engine(args ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	switch {
	case err != nil && os.Getenv("HULLWRIGHT_TEST_ENV") == "":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("docker %s: %w", strings.Join(args, " "), err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

// processes are the daemons, emulated programs and helpers of ours that run, by
// id and name.
func processes() []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue // it ended
		}
		argv := strings.Split(string(raw), "\x00")
		base := filepath.Base(argv[0])
		if strings.HasPrefix(base, "buildkitd") || strings.HasPrefix(base, "qemu-") || strings.HasPrefix(base, "rootlesskit") || base == "hullwright-policy" {
			found = append(found, filepath.Base(dir)+" "+base)
		}
	}
	return found
}
