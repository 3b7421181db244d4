package setup

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// State is the file that says what was made, so that it can be undone. An
// entry is written before its thing is made. Every thing that can carry a mark
// carries the state's nonce: teardown removes nothing else, whatever the file
// says.
type State struct {
	path string

	mu  sync.Mutex
	doc document
}

const stateVersion = 1

// document is the file's content.
type document struct {
	Version int    `json:"version"`
	Nonce   string `json:"nonce"`
	// Directory is whether the file's directory was made for it.
	Directory bool `json:"directory,omitempty"`
	// Owner is the run that is under way; nil once what it made is handed over.
	Owner   *owner                     `json:"owner,omitempty"`
	Run     string                     `json:"run,omitempty"`
	Created time.Time                  `json:"created,omitzero"`
	Expires time.Time                  `json:"expires,omitzero"` // zero is never
	Made    []entry                    `json:"made"`
	Notes   map[string]json.RawMessage `json:"notes,omitempty"`
}

// entry is one thing that was made, or was about to be.
type entry struct {
	Kind kind   `json:"kind"`
	ID   string `json:"id"`
	// Where the thing is: an engine's address, the builder store's directory.
	Where string `json:"where,omitempty"`
	// Detail is what tells the thing from another of its name: a binfmt
	// entry's text, the content that "current" had.
	Detail string `json:"detail,omitempty"`
	// Builder is the builder that the thing is a part of, and goes with.
	Builder string `json:"builder,omitempty"`
}

// kind is a kind of thing that setup makes.
type kind string

const (
	kindBuilder     kind = "builder"      // ID is a builder of the store at Where that the run uses
	kindCurrent     kind = "current"      // ID is the builder that was made current in the store at Where; Detail is the file before
	kindContainer   kind = "container"    // ID is a container of the engine at Where
	kindVolume      kind = "volume"       // ID is a volume of the engine at Where
	kindDirectory   kind = "directory"    // ID is a directory with the nonce in a file
	kindProcess     kind = "process"      // ID is the directory of a buildkitd whose environment has the nonce
	kindMount       kind = "mount"        // ID is a mount point of binfmt_misc
	kindBinfmt      kind = "binfmt"       // ID is an entry of the host's binfmt_misc; Detail is the line that registered it
	kindRemoved     kind = "registration" // ID is an entry of the host's binfmt_misc that was removed; Detail is the line that registers it
	kindContext     kind = "context"      // ID is a docker context of the directory Where, whose description has the nonce
	kindCertificate kind = "certificate"  // ID is a file whose first line has the nonce
	kindBinfmtImage kind = "binfmt-image" // ID is an entry that the image Detail registered through the engine at Where
)

var kinds = []kind{
	kindBuilder, kindCurrent, kindContainer, kindVolume, kindDirectory,
	kindProcess, kindMount, kindBinfmt, kindBinfmtImage, kindRemoved, kindCertificate, kindContext,
}

var noncePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// NewStatePath is a path for a state file that no other run has, in a directory
// of its own below the job's temporary one: RUNNER_TEMP, TMPDIR or the system's.
func NewStatePath(environ map[string]string) (string, error) {
	base := os.TempDir()
	for _, variable := range []string{"RUNNER_TEMP", "TMPDIR"} {
		if dir := environ[variable]; filepath.IsAbs(dir) {
			base = dir
			break
		}
	}
	dir, err := os.MkdirTemp(base, "hullwright-")
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "make a directory for the state file: %w", err)
	}
	// Its name is taken; OpenState makes the directory its own.
	return filepath.Join(dir, "state.json"), os.Remove(dir)
}

// OpenState opens a state file, or makes it where there is none, with its
// directory. It is an errdefs.BadInput of input "state" where the file is no
// state that this program wrote.
func OpenState(path string) (*State, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s, err := readState(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	s = &State{path: path, doc: document{Version: stateVersion, Nonce: newNonce(16), Owner: self(), Made: []entry{}}}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
		}
		s.doc.Directory = true
	}
	if err := s.save(); err != nil {
		return nil, &errdefs.Error{Kind: errdefs.Environment, Input: "state", Err: err}
	}
	return s, nil
}

func readState(path string) (*State, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseState(path, raw)
}

func parseState(path string, raw []byte) (*State, error) {
	s := &State{path: path}
	if err := json.Unmarshal(raw, &s.doc); err != nil {
		return nil, errdefs.BadInputf("state", 0, "%s is no state file: %w", path, err)
	}
	if err := s.doc.check(); err != nil {
		return nil, errdefs.BadInputf("state", 0, "%s is no state file that this version wrote: %w", path, err)
	}
	return s, nil
}

// check refuses a document before anything is done by it.
func (d *document) check() error {
	if d.Version != stateVersion {
		return errdefs.New(errdefs.BadInput, "version %d, expected %d", d.Version, stateVersion)
	}
	if !noncePattern.MatchString(d.Nonce) {
		return errdefs.New(errdefs.BadInput, "nonce %q", d.Nonce)
	}
	for _, e := range d.Made {
		if !slices.Contains(kinds, e.Kind) {
			return errdefs.New(errdefs.BadInput, "unknown kind %q", e.Kind)
		}
		if e.ID == "" {
			return errdefs.New(errdefs.BadInput, "a %s without an id", e.Kind)
		}
	}
	return nil
}

// Path is the state file's path.
func (s *State) Path() string { return s.path }

// Empty is whether nothing is there to undo.
func (s *State) Empty() bool { return s.length() == 0 }

// Note keeps a value in the state file for whoever reads it after a failure,
// as the tags that a canceled run wrote.
func (s *State) Note(key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doc.Notes == nil {
		s.doc.Notes = map[string]json.RawMessage{}
	}
	s.doc.Notes[key] = raw
	return s.save()
}

// record writes an entry before its thing is made.
func (s *State) record(e entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc.Made = append(s.doc.Made, e)
	return s.save()
}

// made is a copy of the entries from position mark on, oldest first.
func (s *State) made(mark int) []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.doc.Made[mark:])
}

// has is whether there is an entry of a kind and id.
func (s *State) has(k kind, id string) bool {
	return slices.ContainsFunc(s.made(0), func(e entry) bool { return e.Kind == k && e.ID == id })
}

// forget drops the newest entry that is e: it was undone.
func (s *State) forget(e entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.doc.Made) - 1; i >= 0; i-- {
		if s.doc.Made[i] == e {
			s.doc.Made = slices.Delete(s.doc.Made, i, i+1)
			return s.save()
		}
	}
	return nil
}

// forgetFirst drops the oldest entry that is e: newer ones tell more of it.
func (s *State) forgetFirst(e entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.doc.Made, e)
	if i < 0 {
		return nil
	}
	s.doc.Made = slices.Delete(s.doc.Made, i, i+1)
	return s.save()
}

// length is the mark for what will be made from now on.
func (s *State) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.doc.Made)
}

func (s *State) nonce() string { return s.doc.Nonce }

// save must be called with mu held, or before s is shared.
func (s *State) save() error {
	raw, err := json.MarshalIndent(s.doc, "", "  ")
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(s.path, append(raw, '\n'), 0o600)
}

// discard removes the file, and its directory where that was made for it and
// nothing else is in it.
func (s *State) discard() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.doc.Directory {
		// What a write that was cut off left beside it.
		cut, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".tmp-"+filepath.Base(s.path)+"*"))
		for _, file := range cut {
			os.Remove(file)
		}
		os.Remove(filepath.Dir(s.path)) // fails where it is not empty, as it should
	}
	return nil
}

// newNonce is n random bytes in hexadecimal.
func newNonce(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
