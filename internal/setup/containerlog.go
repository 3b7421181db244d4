package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Log is what a node's buildkitd wrote.
type Log struct {
	Of   string // the container, or the directory of the process
	Text string // the last of it
}

// logLines is how much of a log is shown: a detailed one has some lines a step.
const logLines = 5000

// Logs are the logs of what a state file says was started: with all of every
// builder, else of those whose buildkitd was told to write a detailed one, since
// that is for somebody to read. It goes on after a failure.
func (m *Manager) Logs(ctx context.Context, path string, all bool) ([]Log, error) {
	s, err := readState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var logs []Log
	var faults []error
	for _, e := range s.made(0) {
		if !all && !m.detailed(s, e.Builder) {
			continue
		}
		text, err := m.logOf(ctx, e)
		if faults = append(faults, err); text != "" {
			logs = append(logs, Log{Of: e.ID, Text: text})
		}
	}
	return logs, errors.Join(faults...)
}

// logOf is the log of what an entry says was made; empty where that has none.
func (m *Manager) logOf(ctx context.Context, e entry) (string, error) {
	switch e.Kind {
	case kindContainer:
		api, err := m.engine(e.Where)
		if err != nil {
			return "", err
		}
		defer api.Close()
		out, complaints, err := containerLog(ctx, api, e.ID, strconv.Itoa(logLines))
		if cerrdefs.IsNotFound(err) {
			return "", nil
		}
		if err != nil {
			return "", errdefs.New(errdefs.Environment, "log of container %s: %w", e.ID, err)
		}
		return out + complaints, nil
	case kindProcess:
		raw, err := os.ReadFile(filepath.Join(e.ID, processLog))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", errdefs.New(errdefs.Environment, "log: %w", err)
		}
		lines := strings.SplitAfter(string(raw), "\n")
		return strings.Join(lines[max(0, len(lines)-logLines):], ""), nil
	}
	return "", nil
}

// debugLine is a configuration's wish for a detailed log.
var debugLine = regexp.MustCompile(`(?m)^\s*debug\s*=\s*true\b`)

// detailed is whether a builder's nodes write a detailed log.
func (m *Manager) detailed(s *State, builder string) bool {
	for _, e := range s.made(0) {
		if e.Kind != kindBuilder || e.ID != builder {
			continue
		}
		g, err := (&store{dir: e.Where, now: m.host.Now}).read(e.ID)
		return err == nil && slices.ContainsFunc(g.Nodes, func(n groupNode) bool {
			own, _ := g.own(n)
			return slices.Contains(own.Flags, "--debug") || debugLine.Match(own.Files[configFile])
		})
	}
	return false
}
