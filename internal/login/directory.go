package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// The files of a directory of credentials.
const (
	configFile = "config.json"
	journal    = "hullwright-logins.json"
)

// ownPrefix begins the name of a job's own directory.
const ownPrefix = "hullwright-docker-"

// Directory is a docker configuration with credentials that we put there. A
// journal beside config.json says which, of which run, and what was there
// before: [Directory.Drop] takes away exactly what one run put.
type Directory struct {
	Path string
	// own is whether it is a job's own, made as a copy of Source.
	own bool
	// Source is the directory that the user had in force; empty where this is it.
	Source string
	// base ends what is removed with the last credentials: directories above
	// Path, where they are empty, up to base. Empty is none.
	base string
	made bool // Path was made for credentials, and goes with the last of them
}

// journalDoc is the journal's content.
type journalDoc struct {
	Version int `json:"version"`
	// Own is whether the directory was made for the job, as a copy of Source.
	Own    bool   `json:"own,omitempty"`
	Source string `json:"source,omitempty"`
	// Made is whether config.json is ours.
	Made bool `json:"made,omitempty"`
	// MadeDirectory is whether the directory is.
	MadeDirectory bool `json:"madeDirectory,omitempty"`

	Logins []loginEntry      `json:"logins"`
	Before map[string]before `json:"before"`
}

// loginEntry is what one run put: the last of a key is in force.
type loginEntry struct {
	Run string `json:"run"`
	// State is the run's state file, which is of no use once all is undone.
	State   string          `json:"state,omitempty"`
	Key     string          `json:"key"`
	Auth    json.RawMessage `json:"auth"`
	Expires *time.Time      `json:"expires,omitempty"`
	Renewal *Renewal        `json:"renewal,omitempty"`
	// Made and Ends are the run's, for who finds it without its state file.
	Made time.Time `json:"made,omitzero"`
	Ends time.Time `json:"ends,omitzero"`
}

// before is what config.json had of a key before our first entry of it.
type before struct {
	Auth   json.RawMessage `json:"auth,omitempty"`
	Helper json.RawMessage `json:"helper,omitempty"`
}

const journalVersion = 1

// OwnDirectory is the job's own: the one in force where that is one already, else
// a new one, below temp, that is as the one in force: its config.json is copied,
// and all else there is linked to, so that contexts, plugins and certificates stay
// what they are. warn is told of what is odd about the one in force.
func OwnDirectory(environ map[string]string, dir, temp string, warn func(string)) (*Directory, error) {
	source := registry.ConfigDirectory(environ, dir)
	doc, err := readJournal(source)
	if err != nil {
		return nil, err
	}
	if doc != nil && doc.Own {
		return &Directory{Path: source, own: true, Source: doc.Source}, nil
	}
	raw, err := readSource(filepath.Join(source, configFile), warn)
	if err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(temp, ownPrefix) // of mode 0700
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "make a directory for credentials: %w", err)
	}
	d := &Directory{Path: path, own: true, Source: source}
	if err := d.fill(raw); err != nil {
		return nil, errors.Join(errdefs.New(errdefs.Environment, "fill %s: %w", path, err), os.RemoveAll(path))
	}
	return d, nil
}

// fill makes the directory as its source is.
func (d *Directory) fill(config []byte) error {
	if err := os.WriteFile(filepath.Join(d.Path, configFile), config, 0o600); err != nil {
		return err
	}
	if err := d.save(&journalDoc{Version: journalVersion, Own: true, Source: d.Source, Logins: []loginEntry{}}); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.Source)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case configFile, journal:
			continue
		}
		if err := os.Symlink(filepath.Join(d.Source, e.Name()), filepath.Join(d.Path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// readSource is the configuration that the user had in force; {} where there is
// none. One that somebody else could have written is refused: it names programs
// that run as us.
func readSource(path string, warn func(string)) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("{}\n"), nil
	}
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "%w", err)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "%w", err)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{}\n"), nil
	}
	if info.Mode().Perm()&0o077 != 0 && bytes.Contains(raw, []byte(`"auth"`)) {
		warn(fmt.Sprintf("%s has mode %04o: others may read the credentials in it; chmod 600 keeps them out", path, info.Mode().Perm()))
	}
	return raw, registry.CheckConfig(path, raw)
}

// NamedDirectory is one that a person named; it is made where it is not there.
func NamedDirectory(path string) (*Directory, error) {
	doc, err := readJournal(path)
	if err != nil {
		return nil, err
	}
	d := &Directory{Path: path}
	if doc != nil {
		d.own, d.Source = doc.Own, doc.Source
	}
	return d, nil
}

// ScopedDirectory is that of a registry's scope in buildx's directory, where
// buildx and build-push look before they look elsewhere. The error is an
// errdefs.BadInput of a scope that is none.
func ScopedDirectory(buildx string, a Account) (*Directory, error) {
	repository, actions, has := strings.Cut(a.Scope, "@")
	if !scopeRepository(repository) || has && !scopeActions(actions) {
		return nil, a.faultf("%q is no scope", a.Scope).
			WithHint("a repository, actions after an @, or both: team/app@push; actions are pull, push and others in lower case, with commas between")
	}
	return &Directory{
		Path: registry.ScopeDirectory(buildx, a.Registry.RegistryStr(), a.Scope),
		base: filepath.Join(buildx, "config"),
	}, nil
}

func scopeRepository(text string) bool {
	return text == "" || !strings.ContainsAny(text, "\\\x00\n:") && filepath.IsLocal(text) && text != "." && !strings.Contains(text, "//")
}

func scopeActions(text string) bool {
	for word := range strings.SplitSeq(text, ",") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}

// Put writes credentials under the name of a run. What config.json had of the
// same registry is kept for [Directory.Drop]. A config.json that is a symbolic
// link, or somebody else's, is an errdefs.Environment, and nothing is written.
func (d *Directory) Put(ctx context.Context, run string, credentials []Credentials) error {
	return d.PutBy(ctx, &State{doc: stateDoc{Run: run}}, credentials)
}

// PutBy is Put for the run of a state file, which is removed with the last that
// the run put anywhere.
func (d *Directory) PutBy(ctx context.Context, by *State, credentials []Credentials) error {
	for try := 1; ; try++ {
		err := d.put(ctx, by, credentials)
		// Another run may have taken the directory away, with the last of its own
		// credentials, just as it was made.
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			return err
		}
	}
}

func (d *Directory) put(ctx context.Context, by *State, credentials []Credentials) error {
	made := !exists(d.Path)
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	return d.change(ctx, func(c *configDoc, doc *journalDoc) error {
		doc.MadeDirectory = doc.MadeDirectory || made
		for _, credential := range credentials {
			key := registry.ConfigKey(credential.Registry.RegistryStr())
			if !slices.ContainsFunc(doc.Logins, func(l loginEntry) bool { return l.Key == key }) {
				doc.Before[key] = c.before(key)
			}
			auth, err := json.Marshal(map[string]string{
				"auth": base64.StdEncoding.EncodeToString([]byte(credential.Username + ":" + credential.Password)),
			})
			if err != nil {
				return err
			}
			entry := loginEntry{Run: by.Run(), State: by.path, Key: key, Auth: auth, Renewal: credential.Renewal, Made: by.doc.Made, Ends: by.doc.Ends}
			if !credential.Expires.IsZero() {
				entry.Expires = &credential.Expires
			}
			doc.Logins = append(doc.Logins, entry)
			c.set(key, auth)
		}
		return nil
	})
}

// ErrNotOurs is in the chain of the error of Drop where a run put nothing.
var ErrNotOurs = errors.New("holds nothing that this login wrote")

// Drop takes away what a run put: another run's credentials of the same registry
// are in force again, or else what was there before. What somebody else wrote in
// the meantime stays. With the last credentials goes the directory, where it is a
// job's own. It is an errdefs.Environment with [ErrNotOurs] where the run put
// nothing there.
func (d *Directory) Drop(ctx context.Context, run string) error {
	return d.drop(ctx, func(l loginEntry) bool { return l.Run == run })
}

// DropRegistry takes away the credentials of a registry that are in force.
func (d *Directory) DropRegistry(ctx context.Context, host string) error {
	doc, err := readJournal(d.Path)
	if err != nil {
		return err
	}
	key, run := registry.ConfigKey(host), ""
	if doc != nil {
		for _, l := range doc.Logins {
			if l.Key == key {
				run = l.Run
			}
		}
	}
	return d.drop(ctx, func(l loginEntry) bool { return l.Key == key && l.Run == run })
}

// DropAll takes away all that was put.
func (d *Directory) DropAll(ctx context.Context) error {
	return d.drop(ctx, func(loginEntry) bool { return true })
}

func (d *Directory) drop(ctx context.Context, gone func(loginEntry) bool) error {
	doc, err := readJournal(d.Path)
	if err != nil {
		return err
	}
	if doc == nil || !slices.ContainsFunc(doc.Logins, gone) {
		return errdefs.New(errdefs.Environment, "%s: %w", d.Path, ErrNotOurs)
	}
	d.own = doc.Own
	err = d.change(ctx, func(c *configDoc, doc *journalDoc) error {
		var keys []string
		last := map[string]json.RawMessage{}
		for _, l := range doc.Logins {
			last[l.Key] = l.Auth
			if gone(l) && !slices.Contains(keys, l.Key) {
				keys = append(keys, l.Key)
			}
		}
		doc.Logins = slices.DeleteFunc(doc.Logins, gone)
		for _, key := range keys {
			c.putBack(key, last[key], doc)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.discardStates(slices.DeleteFunc(doc.Logins, func(l loginEntry) bool { return !gone(l) }))
}

// discardStates removes the state files of logins that were taken away, where the
// run put nothing else.
func (d *Directory) discardStates(gone []loginEntry) error {
	var faults []error
	for _, l := range gone {
		if l.State == "" {
			continue
		}
		s, err := OpenState(l.State)
		if err != nil || s.Run() != l.Run || !slices.Equal(s.doc.Directories, []string{d.Path}) {
			continue // not the run's any more, or still needed
		}
		if doc, err := readJournal(d.Path); err != nil || doc != nil && slices.ContainsFunc(doc.Logins, func(o loginEntry) bool { return o.Run == l.Run }) {
			continue
		}
		faults = append(faults, s.discard())
	}
	return errors.Join(faults...)
}

// change reads both files, has them changed, and writes them: the journal first,
// so that what is put can be taken away again whenever we end.
func (d *Directory) change(ctx context.Context, edit func(*configDoc, *journalDoc) error) (err error) {
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	doc, err := readJournal(d.Path)
	if err != nil {
		return err
	}
	if doc == nil {
		doc = &journalDoc{Version: journalVersion}
	}
	c, there, err := readConfig(filepath.Join(d.Path, configFile))
	if err != nil {
		return err
	}
	if doc.Before == nil {
		doc.Before, doc.Made = map[string]before{}, !there
	}
	putting := len(doc.Logins)
	if err := edit(c, doc); err != nil {
		return err
	}
	if len(doc.Logins) == 0 {
		return d.end(c, doc)
	}
	// A login is told of before it is there, and gone before that is told.
	steps := []func() error{func() error { return d.save(doc) }, func() error { return c.write(filepath.Join(d.Path, configFile)) }}
	if len(doc.Logins) < putting {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return errdefs.New(errdefs.Environment, "%w", err)
		}
	}
	return nil
}

// end leaves the directory as it was before the first credentials.
func (d *Directory) end(c *configDoc, doc *journalDoc) error {
	err := d.removeCut()
	d.made = doc.MadeDirectory
	switch path := filepath.Join(d.Path, configFile); {
	case doc.Own && strings.HasPrefix(filepath.Base(d.Path), ownPrefix):
		err = os.RemoveAll(d.Path) // links in it are removed, and not followed
	case doc.Made && c.empty():
		err = errors.Join(err, removed(path), os.Remove(filepath.Join(d.Path, journal)))
	default:
		err = errors.Join(err, c.write(path), os.Remove(filepath.Join(d.Path, journal)))
	}
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", err)
	}
	return nil
}

// removed removes a file; one that is not there is no error: a run that was killed
// told of it before it was.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeCut removes what a writer left that was killed over one of our files.
func (d *Directory) removeCut() error { return removeCut(d.Path, configFile, journal) }

// lock keeps other runs out until it is given back, or its holder is killed.
func (d *Directory) lock(ctx context.Context) (func() error, error) {
	lock := lockOf(d.Path)
	for {
		free, err := lock.TryLock()
		switch {
		case err != nil:
			return nil, errdefs.New(errdefs.Environment, "lock: %w", err)
		case free && inPlace(lock):
			return func() error { return d.unlock(lock) }, nil
		case free:
			if err := lock.Unlock(); err != nil {
				return nil, errdefs.New(errdefs.Environment, "unlock: %w", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// inPlace is whether what is locked is what stands at its path. Who had the lock
// before may have removed it, and the next run looks at what was made there since.
func inPlace(lock *flock.Flock) bool {
	held, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(lock.Path())
	return err == nil && os.SameFile(held, there)
}

// unlock gives the lock back, and removes directories that nothing is in any more.
func (d *Directory) unlock(lock *flock.Flock) error {
	if d.made && d.base == "" {
		os.Remove(d.Path) // fails where it is not empty, as it should
	}
	for dir := d.Path; d.base != "" && strings.HasPrefix(dir+string(filepath.Separator), d.base+string(filepath.Separator)); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break // not empty
		}
	}
	if err := lock.Unlock(); err != nil {
		return errdefs.New(errdefs.Environment, "unlock: %w", err)
	}
	if lock.Path() != d.Path {
		os.Remove(lock.Path()) // fails where another run has it open, as it should
	}
	return nil
}

func (d *Directory) save(doc *journalDoc) error {
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(filepath.Join(d.Path, journal), append(raw, '\n'), 0o600)
}

// readJournal is a directory's journal; nil where it has none.
func readJournal(dir string) (*journalDoc, error) {
	path := filepath.Join(dir, journal)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "%w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, errdefs.New(errdefs.Environment, "%s is no file of ours", path)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "%w", err)
	}
	doc := &journalDoc{}
	if err := json.Unmarshal(raw, doc); err != nil || doc.Version != journalVersion {
		return nil, errdefs.New(errdefs.Environment, "%s is no journal that this version wrote", path)
	}
	return doc, nil
}
