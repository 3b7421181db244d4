// Package binfmt makes the kernel run programs of other architectures through
// emulators, and proves that it does.
//
// Begin with [Emulators], which finds the emulators that a machine has,
// [Registry.Register], and [Check], a program that shows whether a registration
// works: one that is there may still be wrong.
package binfmt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is where Linux shows its registrations.
const Dir = "/proc/sys/fs/binfmt_misc"

// Registry is a machine's binfmt_misc file system.
type Registry struct {
	Dir string // empty is Dir
}

func (r Registry) dir() string {
	if r.Dir == "" {
		return Dir
	}
	return r.Dir
}

// Mounted is whether the file system is there.
func (r Registry) Mounted() bool {
	_, err := os.Stat(filepath.Join(r.dir(), "register"))
	return err == nil
}

// Entries are all registrations, by name.
func (r Registry) Entries() ([]Entry, error) {
	files, err := os.ReadDir(r.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, f := range files {
		if f.Name() == "register" || f.Name() == "status" {
			continue
		}
		e, err := r.Entry(f.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed just now
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Entry is the registration of a name; fs.ErrNotExist where there is none.
func (r Registry) Entry(name string) (Entry, error) {
	if !validName(name) {
		return Entry{}, fmt.Errorf("%q is no name of a registration", name)
	}
	raw, err := os.ReadFile(filepath.Join(r.dir(), name))
	if err != nil {
		return Entry{}, err
	}
	return ParseEntry(name, string(raw))
}

func validName(name string) bool {
	return name != "" && name != "register" && name != "status" && !strings.ContainsAny(name, "/\x00") && name != "." && name != ".."
}

// Handler is the entry that runs an architecture's programs; false where there
// is none.
func (r Registry) Handler(arch string) (Entry, bool, error) {
	file, ok := Check(arch)
	if !ok {
		return Entry{}, false, nil
	}
	entries, err := r.Entries()
	if err != nil {
		return Entry{}, false, err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.handles(file) })
	if i < 0 {
		return Entry{}, false, nil
	}
	return entries[i], true, nil
}

// Register adds an entry and reads it back. It is fs.ErrExist where the name is
// taken: an entry is never overwritten.
func (r Registry) Register(l Line) error {
	if !validName(l.Name) {
		return fmt.Errorf("%q is no name of a registration", l.Name)
	}
	if _, err := r.Entry(l.Name); err == nil {
		return fmt.Errorf("register %s: %w", l.Name, fs.ErrExist)
	}
	if err := os.WriteFile(filepath.Join(r.dir(), "register"), []byte(l.String()), 0o200); err != nil {
		return fmt.Errorf("register %s: %w", l.Name, err)
	}
	e, err := r.Entry(l.Name)
	if err != nil {
		return fmt.Errorf("register %s: read back: %w", l.Name, err)
	}
	if !e.Enabled || !e.Same(l) {
		return fmt.Errorf("register %s: the kernel has interpreter %s with flags %q, expected %s with %q",
			l.Name, e.Interpreter, e.Flags, l.Interpreter, l.Flags)
	}
	return nil
}

// Remove removes the entry that a line registered. It is fs.ErrNotExist where
// there is none of its name, and [ErrOther] where that is another one.
func (r Registry) Remove(l Line) error {
	e, err := r.Entry(l.Name)
	if err != nil {
		return err
	}
	if !e.Same(l) {
		return fmt.Errorf("remove %s: %w", l.Name, ErrOther)
	}
	return os.WriteFile(filepath.Join(r.dir(), l.Name), []byte("-1"), 0o200)
}

// Disable turns an entry off; it stays.
func (r Registry) Disable(name string) error {
	if _, err := r.Entry(name); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir(), name), []byte("0"), 0o200)
}

// ErrOther is that an entry is not the one that was meant.
var ErrOther = errors.New("the registration of that name is another one")
