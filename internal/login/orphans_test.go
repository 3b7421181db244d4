package login

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/setup"
)

// dead is a process that is over: this one's number, with another start.
func dead() *setup.Owner {
	o := *setup.Self()
	o.Start = "1"
	return &o
}

// TestOrphans has a login that is killed at each point of its work: what it left
// goes, and what a login that lives put stays.
func TestOrphans(t *testing.T) {
	own := func(t *testing.T, l left) *Directory {
		d, err := OwnDirectory(map[string]string{"DOCKER_CONFIG": l.home}, "/", l.temp, noWarning(t))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	record := func(t *testing.T, l left, d *Directory) {
		if err := l.state.Record(d); err != nil {
			t.Fatal(err)
		}
	}
	putInto := func(t *testing.T, l left, d *Directory) {
		record(t, l, d)
		if err := d.PutBy(deadline(t), l.state, credentials(t, "ghcr.io", "ci", "p")); err != nil {
			t.Fatal(err)
		}
	}
	scoped := func(t *testing.T, l left) *Directory {
		a := account(t, "ghcr.io")
		a.Scope = "team/app@push"
		d, err := ScopedDirectory(l.buildx, a)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct {
		name string
		kill func(t *testing.T, l left)
		why  string // empty is that it stays
	}{
		{"before it made a directory", func(*testing.T, left) {}, "its login was killed"},
		{"before it told of the directory", func(t *testing.T, l left) { own(t, l) }, "its login was killed"},
		{"before it filled the directory", func(t *testing.T, l left) {
			d := own(t, l)
			if err := os.Remove(filepath.Join(d.Path, journal)); err != nil {
				t.Fatal(err)
			}
		}, "its login was killed"},
		{"before it put anything", func(t *testing.T, l left) { record(t, l, own(t, l)) }, "its login was killed"},
		{"before it handed over", func(t *testing.T, l left) { putInto(t, l, own(t, l)) }, "its login was killed"},
		{"in a scope", func(t *testing.T, l left) { putInto(t, l, scoped(t, l)) }, "its login was killed"},
		{"before it put anything into a scope", func(t *testing.T, l left) {
			d := scoped(t, l)
			record(t, l, d)
			put(t, filepath.Join(d.Path, cutPrefix+journal+"12"), "{", 0o600)
		}, "its login was killed"},
		{"as it wrote", func(t *testing.T, l left) {
			d := scoped(t, l)
			putInto(t, l, d)
			put(t, filepath.Join(d.Path, cutPrefix+configFile+"12"), "{", 0o600)
			put(t, filepath.Join(filepath.Dir(l.state.Path()), cutPrefix+stateFile+"3"), "{", 0o600)
		}, "its login was killed"},
		{"before its state file was there", func(t *testing.T, l left) {
			if err := os.Rename(l.state.Path(), filepath.Join(filepath.Dir(l.state.Path()), cutPrefix+stateFile+"3")); err != nil {
				t.Fatal(err)
			}
		}, "its login was killed before it was done"},
		{"with its job, long ago", func(t *testing.T, l left) {
			l.state.doc.Ends = time.Now().Add(-time.Second)
			putInto(t, l, own(t, l))
			if err := l.state.HandOver(); err != nil {
				t.Fatal(err)
			}
		}, "its lifetime ended at"},
		{"with its job, and its state file is lost", func(t *testing.T, l left) {
			l.state.doc.Ends = time.Now().Add(-time.Second)
			putInto(t, l, own(t, l))
			if err := os.RemoveAll(filepath.Dir(l.state.Path())); err != nil {
				t.Fatal(err)
			}
		}, "its lifetime ended at"},
		{"not at all", func(t *testing.T, l left) {
			l.state.doc.Owner = setup.Self()
			putInto(t, l, own(t, l))
		}, ""},
		{"not at all, and it handed over", func(t *testing.T, l left) {
			l.state.doc.Ends = time.Now().Add(time.Hour)
			putInto(t, l, own(t, l))
			if err := l.state.HandOver(); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := left{temp: t.TempDir(), home: t.TempDir(), buildx: t.TempDir()}
			put(t, filepath.Join(l.home, configFile), ours, 0o600)
			before := tree(t, l.home)
			path, err := NewStatePath(l.temp)
			if err != nil {
				t.Fatal(err)
			}
			if l.state, err = NewState(path, time.Now(), 0); err != nil {
				t.Fatal(err)
			}
			l.state.doc.Owner = dead()
			if err := l.state.save(); err != nil {
				t.Fatal(err)
			}
			tt.kill(t, l)
			age(t, l.temp)

			there := l.tree(t)
			listed := l.orphans(t, setup.OrphanOptions{DryRun: true})
			if diff := cmp.Diff(there, l.tree(t)); diff != "" {
				t.Errorf("a list changed something (-before +after):\n%s", diff)
			}
			found := l.orphans(t, setup.OrphanOptions{})
			if len(listed) != len(found) || (tt.why == "") != (len(found) == 0) {
				t.Fatalf("listed %v, removed %v", listed, found)
			}
			for _, o := range found {
				if o.Err != nil || !strings.HasPrefix(o.Why, tt.why) {
					t.Errorf("%s: %s (%v), want %s", o.ID, o.Why, o.Err, tt.why)
				}
			}
			if got := l.tree(t); (tt.why == "") != (len(got) > 0) {
				t.Errorf("left: %v", got)
			}
			if diff := cmp.Diff(before, tree(t, l.home)); diff != "" {
				t.Errorf("the user's own changed (-before +after):\n%s", diff)
			}
		})
	}
}

// left is what a login that was killed may have touched.
type left struct {
	state              *State
	temp, home, buildx string
}

func (l left) tree(t *testing.T) map[string]string {
	all := tree(t, l.temp)
	maps.Copy(all, tree(t, l.buildx))
	return all
}

// orphans are those of the test: others of this user's may be on the machine.
func (l left) orphans(t *testing.T, o setup.OrphanOptions) []setup.Orphan {
	t.Helper()
	all, err := Orphans(deadline(t), setup.Host{
		Environ: map[string]string{"DOCKER_CONFIG": l.home, "BUILDX_CONFIG": l.buildx, "RUNNER_TEMP": l.temp},
		Dir:     "/", Now: time.Now,
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(o setup.Orphan) bool {
		text := o.ID + strings.Join(o.Things, " ")
		return !strings.Contains(text, l.temp) && !strings.Contains(text, l.buildx)
	})
}

// age has what is in a directory be older than what a login is about to use.
func age(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * unusedAge)
	for _, path := range paths {
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
}
