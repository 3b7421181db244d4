package login

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// State is the file that says what one run put where. It holds no credentials,
// and no more than the right to take away that run's: a directory whose journal
// does not name the run is not touched, whatever the file says.
type State struct {
	path string
	doc  stateDoc
}

type stateDoc struct {
	Version     int      `json:"version"`
	Run         string   `json:"run"`
	Directories []string `json:"directories"`
	// Owner is the login that is under way; nil once later steps have what it put.
	Owner *setup.Owner `json:"owner,omitempty"`
	Made  time.Time    `json:"made,omitzero"`
	Ends  time.Time    `json:"ends,omitzero"` // from then on it counts as left behind; zero is never
}

var runPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// statePrefix begins the name of a directory that was made for a state file.
const statePrefix = "hullwright-login-"

const stateFile = "state.json"

// cutPrefix begins the name of a file that its writer was killed over: what
// atomicwriter had of it so far.
const cutPrefix = ".tmp-"

// NewStatePath is a path for a state file in a new directory below temp.
func NewStatePath(temp string) (string, error) {
	dir, err := os.MkdirTemp(temp, statePrefix)
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "make a directory for the state file: %w", err)
	}
	return filepath.Join(dir, stateFile), nil
}

// NewState is a state of a new run, at path. After the lifetime what the run puts
// counts as left behind; zero is never. Until [State.HandOver] it does as soon as
// this process is gone.
func NewState(path string, now time.Time, lifetime time.Duration) (*State, error) {
	nonce := make([]byte, 16)
	rand.Read(nonce) // never fails
	s := &State{path: path, doc: stateDoc{
		Version: journalVersion, Run: hex.EncodeToString(nonce), Directories: []string{},
		Owner: setup.Self(), Made: now.UTC().Truncate(time.Second),
	}}
	if lifetime > 0 {
		s.doc.Ends = now.Add(lifetime).UTC().Truncate(time.Second)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, errdefs.BadInputf("state", 0, "%s is there already", path).WithHint("hullwright logout --state %s undoes that login", path)
	}
	return s, s.save()
}

// OpenState reads a state file. It is an errdefs.BadInput where it is none, and
// has fs.ErrNotExist in its chain where there is none.
func OpenState(path string) (*State, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
	}
	s := &State{path: path}
	if err := json.Unmarshal(raw, &s.doc); err != nil || s.doc.Version != journalVersion || !runPattern.MatchString(s.doc.Run) {
		return nil, errdefs.BadInputf("state", 0, "%s is no state file of a login", path)
	}
	return s, nil
}

// Run is the run's name in journals.
func (s *State) Run() string { return s.doc.Run }

// Path is the file's.
func (s *State) Path() string { return s.path }

// Record tells of a directory before the run puts anything there.
func (s *State) Record(d *Directory) error {
	if slices.Contains(s.doc.Directories, d.Path) {
		return nil
	}
	s.doc.Directories = append(s.doc.Directories, d.Path)
	return s.save()
}

// HandOver leaves what the run put to the job's later steps.
func (s *State) HandOver() error {
	s.doc.Owner = nil
	return s.save()
}

// Undo takes away what the run put, and the state file. It goes on after a
// fault; the file then stays.
func (s *State) Undo(ctx context.Context, buildx string) error {
	var faults []error
	for _, path := range slices.Backward(s.doc.Directories) {
		d, err := NamedDirectory(path)
		if err == nil {
			d.base = filepath.Join(buildx, "config")
			err = d.Drop(ctx, s.doc.Run)
		}
		if errors.Is(err, ErrNotOurs) && !exists(path) {
			err = nil // undone already
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return s.discard()
}

// discard removes the file, and the directory that was made for it.
func (s *State) discard() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
	}
	if dir := filepath.Dir(s.path); strings.HasPrefix(filepath.Base(dir), statePrefix) {
		removeCut(dir, stateFile)
		os.Remove(dir) // fails where it is not empty, as it should
	}
	return nil
}

// removeCut removes what killed writers left of files in a directory. It needs
// the directory's lock, where that has one.
func removeCut(dir string, files ...string) error {
	var faults []error
	for _, file := range files {
		cut, _ := filepath.Glob(filepath.Join(escaped(dir), cutPrefix+file+"*"))
		for _, path := range cut {
			faults = append(faults, os.Remove(path))
		}
	}
	return errors.Join(faults...)
}

// escaped is a path for a pattern that means it as it is.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (s *State) save() error {
	raw, err := json.MarshalIndent(s.doc, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicwriter.WriteFile(s.path, append(raw, '\n'), 0o600); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
	}
	return nil
}
