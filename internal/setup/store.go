package setup

import (
	"context"
	"crypto/sha256"
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

	"github.com/gofrs/flock"
	"github.com/moby/sys/atomicwriter"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// store is buildx's directory of builders. The shapes of its files are those
// of github.com/docker/buildx/store as of v0.37.0, which reads them back with
// encoding/json and so ignores what we add.
type store struct {
	dir string
	now func() time.Time
}

// group is a builder as the store keeps it, in instances/NAME.
type group struct {
	Name    string
	Driver  string
	Nodes   []groupNode
	Dynamic bool
	// Made is ours: it tells who may remove the builder. buildx drops it when
	// it rewrites the file (create --append), and the builder is then buildx's.
	Made *maker `json:"Hullwright,omitempty"`

	start *processNode  // of a process builder that is yet to be started
	certs []certificate // that are yet to be written
}

// groupNode is one buildkitd of a group.
type groupNode struct {
	Name       string
	Endpoint   string
	Platforms  []ocispecs.Platform
	DriverOpts map[string]string
	Flags      []string
	Files      map[string][]byte // below /etc/buildkit
}

// maker is the mark of a builder that hullwright made.
type maker struct {
	Nonce  string
	Driver string // process where buildx's word for it is remote
	State  string // path of the state file
	// Nodes are those in containers of a builder that has remote ones too, by
	// name: what buildx's driver remote does not take.
	Nodes map[string]groupNode `json:",omitempty"`
	// The rest is for who finds the builder when its run is gone.
	Run     string    `json:",omitempty"`
	Place   string    `json:",omitempty"` // where its processes can be seen
	Created time.Time `json:",omitzero"`
	Expires time.Time `json:",omitzero"` // zero is never
	// Before is what the file of the current builder had, to be put back.
	Before string `json:",omitempty"`
	// Users are the runs that use the builder; it goes with the last of them.
	Users []builderUser `json:",omitempty"`
}

// current is the file of that name: the builder that buildx uses for a key,
// which is an engine's address or a docker context.
type current struct {
	Key    string
	Name   string // empty is the engine's own builder, for buildx
	Global bool
}

// engineFile is ours: a current that says by its name that the engine's own
// builder was asked for, where that of buildx's file is empty. buildx rewrites
// its file at any time, without what it does not know.
const engineFile = "hullwright-engine"

// A container's name is made of the builder's, so its length is held down too.
var namePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]{0,63}$`)

// validName is the name as the store keeps it, in lower case.
func validName(input, name string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", errdefs.BadInputf(input, 0, "%q is no builder name", name).
			WithHint("a letter, then up to 63 letters, digits, dots, underscores and hyphens")
	}
	if name = strings.ToLower(name); name == defaultBuilder {
		return "", errdefs.BadInputf(input, 0, "%q is the name of the engine's own builder", name).
			WithHint("that one is there: it is neither made nor removed; driver %s uses it", Docker)
	}
	return name, nil
}

// locked runs do while no other process, buildx or hullwright, changes the store.
func (s *store) locked(ctx context.Context, do func() error) error {
	for _, d := range []string{"instances", "defaults", "activity"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return errdefs.New(errdefs.Environment, "open builder store: %w", err)
		}
	}
	lock := flock.New(filepath.Join(s.dir, ".lock"))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return errdefs.New(errdefs.Environment, "lock builder store %s: %w", s.dir, err)
	}
	err := do()
	return errors.Join(err, lock.Close())
}

func (s *store) path(kind, name string) string { return filepath.Join(s.dir, kind, name) }

// read gives a builder; fs.ErrNotExist where there is none of the name.
func (s *store) read(name string) (*group, error) {
	raw, err := os.ReadFile(s.path("instances", name))
	if err != nil {
		return nil, err
	}
	var g group
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, errdefs.New(errdefs.Environment, "builder store: %s: %w", s.path("instances", name), err).
			WithHint("docker buildx rm %s, or remove that file", name)
	}
	return &g, nil
}

func (s *store) write(g *group) error {
	raw, err := json.Marshal(g)
	if err != nil {
		return err
	}
	stamp := s.now().UTC().Format(time.RFC3339)
	return errors.Join(
		atomicwriter.WriteFile(s.path("activity", g.Name), []byte(stamp), 0o600),
		atomicwriter.WriteFile(s.path("instances", g.Name), raw, 0o600),
	)
}

// remove forgets a builder. What is not there is no error.
func (s *store) remove(name string) error {
	return errors.Join(
		os.RemoveAll(s.path("activity", name)),
		os.RemoveAll(s.path("refs", name)), // buildx's notes on the builder's builds
		os.RemoveAll(s.path("instances", name)),
		s.sweep(name),
	)
}

// sweep removes what a writer that was killed left of a builder's files, and of
// those that say which one is current: what it
// had written so far, which atomicwriter puts beside the file and gives a number.
// Writers hold the lock, as the caller must.
func (s *store) sweep(name string) error {
	var faults []error
	for dir, names := range map[string][]string{"activity": {name}, "instances": {name}, ".": {"current", engineFile}} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		faults = append(faults, err)
		for _, e := range entries {
			if slices.ContainsFunc(names, func(name string) bool { return isHalf(e.Name(), name) }) {
				faults = append(faults, os.Remove(filepath.Join(s.dir, dir, e.Name())))
			}
		}
	}
	return errors.Join(faults...)
}

// isHalf is whether a file is what atomicwriter has written so far of one of a name.
func isHalf(file, name string) bool {
	number, ok := strings.CutPrefix(file, ".tmp-"+name)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// use makes name the current builder of key.
func (s *store) use(key, name string) error {
	return s.writeCurrent("current", current{Key: key, Name: name})
}

// useEngine makes the engine's own builder, called name, the current one of key.
func (s *store) useEngine(key, name string) error {
	if err := s.use(key, ""); err != nil {
		return err
	}
	return s.writeCurrent(engineFile, current{Key: key, Name: name})
}

func (s *store) writeCurrent(file string, c current) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(filepath.Join(s.dir, file), raw, 0o600)
}

// restore puts back what the file of the current builder had; before is empty
// where there was none. It is errGone where another was chosen since.
func (s *store) restore(name, before string) error {
	c, err := s.readCurrent()
	if err != nil {
		return err
	}
	engine, err := s.readCurrentIn(engineFile)
	if err != nil {
		return err
	}
	own := engine.Name != "" && engine.Name == name
	if own {
		if err := os.Remove(filepath.Join(s.dir, engineFile)); err != nil {
			return err
		}
	}
	if c.Name != name && !(own && c.Name == "") {
		return errGone
	}
	path := filepath.Join(s.dir, "current")
	var was current
	if err := json.Unmarshal([]byte(before), &was); err != nil || was.Name != "" && !exists(s.path("instances", was.Name)) {
		return os.Remove(path) // there was none, or its builder is gone since
	}
	return atomicwriter.WriteFile(path, []byte(before), 0o600)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readCurrentRaw is the content of the file; nil where there is none.
func (s *store) readCurrentRaw() ([]byte, error) { return s.readRaw("current") }

func (s *store) readRaw(file string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

func (s *store) readCurrent() (current, error) { return s.readCurrentIn("current") }

func (s *store) readCurrentIn(file string) (current, error) {
	raw, err := s.readRaw(file)
	if err != nil || raw == nil {
		return current{}, err
	}
	var c current
	if err := json.Unmarshal(raw, &c); err != nil {
		return current{}, errdefs.New(errdefs.Environment, "builder store: %s/%s: %w", s.dir, file, err)
	}
	return c, nil
}

// currentEngine is the engine's own builder where that was asked for as the one
// to use for key, else empty.
func (s *store) currentEngine(key string) (string, error) {
	c, err := s.readCurrent()
	if err != nil || c.Name != "" && (c.Global || c.Key == key) {
		return "", err
	}
	engine, err := s.readCurrentIn(engineFile)
	if err != nil || engine.Key != key {
		return "", err
	}
	return engine.Name, nil
}

// currentName is the name of the builder that buildx uses for key; empty where
// it uses the engine's own.
func (s *store) currentName(key string) (string, error) {
	c, err := s.readCurrent()
	if err != nil {
		return "", err
	}
	if c.Name != "" && (c.Global || c.Key == key) {
		if _, err := os.Stat(s.path("instances", c.Name)); err == nil {
			return c.Name, nil
		}
	}
	// `buildx use --default` keeps one builder per key beside the last choice.
	sum := sha256.Sum256([]byte(key))
	raw, err := os.ReadFile(s.path("defaults", hex.EncodeToString(sum[:])[:20]))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

// defaultConfig is the buildkitd.toml for builders that name none; nil where
// there is none.
func (s *store) defaultConfig() ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, "buildkitd.default.toml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}
