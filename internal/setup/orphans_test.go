package setup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMarkLabels(t *testing.T) {
	want := origin{
		Nonce: goodNonce, State: "/tmp/s", Store: "/b", Builder: "ci", Run: "job 1",
		Expires: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	got, ok := markOfLabels(want.labels())
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Error(ok, diff)
	}
	for name, change := range map[string]func(map[string]string){
		"another user":   func(l map[string]string) { l[labelUser] = "4711" },
		"no user":        func(l map[string]string) { delete(l, labelUser) },
		"no nonce":       func(l map[string]string) { delete(l, labelNonce) },
		"garbled expiry": func(l map[string]string) { l[labelExpires] = "soon" },
	} {
		labels := want.labels()
		change(labels)
		if _, ok := markOfLabels(labels); ok {
			t.Errorf("%s: taken for ours", name)
		}
	}
	if got := (origin{}).labels(); got != nil {
		t.Errorf("a builder of somebody else's gets %v", got)
	}
}

func TestOutlived(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := New(Host{Now: func() time.Time { return now }})
	for name, c := range map[string]struct {
		mark  origin
		older time.Duration
		want  string
	}{
		"for ever":     {origin{Created: now.Add(-1000 * time.Hour)}, 0, ""},
		"not yet":      {origin{Expires: now.Add(time.Second)}, 0, ""},
		"just now":     {origin{Expires: now}, 0, "its lifetime ended"},
		"old":          {origin{Created: now.Add(-2 * time.Hour), Expires: now.Add(time.Hour)}, time.Hour, "longer ago than 1h"},
		"young":        {origin{Created: now.Add(-time.Minute)}, time.Hour, ""},
		"age unknown":  {origin{}, time.Hour, ""},
		"both is fine": {origin{Created: now, Expires: now.Add(-time.Hour)}, time.Hour, "its lifetime ended"},
	} {
		if got := m.outlived(c.mark, c.older); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// emptyHost is a machine of its own for a search: no engine, no store.
func emptyHost(t *testing.T) (*Manager, string) {
	t.Helper()
	dir := t.TempDir()
	return New(Host{
		Environ: map[string]string{
			"TMPDIR": dir, "HOME": dir, "BUILDX_CONFIG": filepath.Join(dir, "buildx"), "DOCKER_HOST": "unix://" + dir + "/none.sock",
		},
		Stderr: testLog{t}, Dir: dir, Now: time.Now,
	}), dir
}

// stateIn makes a run's state file in a directory of its own below dir.
func stateIn(t *testing.T, dir, name string, change func(*document)) *State {
	t.Helper()
	s, err := OpenState(filepath.Join(dir, "hullwright-"+name, "state.json"))
	check(t, err)
	if change != nil {
		change(&s.doc)
	}
	check(t, s.save())
	return s
}

// TestOrphansOfStates has state files that count and that don't.
func TestOrphansOfStates(t *testing.T) {
	m, dir := emptyHost(t)
	dead := func(d *document) {
		o := *d.Owner
		o.Start = "1"
		d.Owner = &o
	}
	left := map[string]bool{} // by name, whether it is to stay
	for name, c := range map[string]struct {
		stays  bool
		change func(*document)
	}{
		"dead":     {false, dead},
		"rebooted": {false, func(d *document) { d.Owner.Boot = "another" }},
		"expired":  {false, func(d *document) { d.Owner = nil; d.Expires = time.Now().Add(-time.Second) }},
		"alive":    {true, func(d *document) { d.Expires = time.Now().Add(-time.Hour) }},
		"handed":   {true, func(d *document) { d.Owner = nil; d.Expires = time.Now().Add(time.Hour) }},
		"forever":  {true, func(d *document) { d.Owner = nil }},
		"away":     {true, func(d *document) { d.Owner.Host = "another" }},
		"inside":   {true, func(d *document) { d.Owner.Namespace = "pid:[1]" }},
		"record":   {true, func(d *document) { dead(d); d.Notes = map[string]json.RawMessage{"tags": json.RawMessage(`["a:1"]`)} }},
	} {
		stateIn(t, dir, name, c.change)
		left[name] = c.stays
	}
	// What was cut off before its state file was there, and what may be just now.
	for name, age := range map[string]time.Duration{"100": time.Hour, "101": time.Hour, "102": 0, "103": time.Hour} {
		cut := filepath.Join(dir, "hullwright-"+name)
		check(t, os.MkdirAll(cut, 0o700))
		switch name {
		case "101":
			check(t, os.WriteFile(filepath.Join(cut, ".tmp-state.json1"), nil, 0o600))
		case "103":
			check(t, os.WriteFile(filepath.Join(cut, "precious"), nil, 0o600))
		}
		check(t, os.Chtimes(cut, time.Time{}, time.Now().Add(-age)))
	}
	// Others' directories of such a name.
	foreign := filepath.Join(dir, "hullwright-foreign")
	check(t, os.MkdirAll(foreign, 0o700))
	check(t, os.WriteFile(filepath.Join(foreign, "state.json"), []byte("{}"), 0o600))
	check(t, os.Symlink(filepath.Join(dir, "hullwright-dead"), filepath.Join(dir, "hullwright-link")))

	ours := func(list []Orphan) (names []string) {
		for _, o := range list {
			if o.Kind == "state" && strings.HasPrefix(o.ID, dir) {
				names = append(names, strings.TrimPrefix(filepath.Base(filepath.Dir(o.ID)), "hullwright-"))
				check(t, o.Err)
			}
		}
		return names
	}
	want := []string{"dead", "expired", "rebooted"}
	found, err := m.Orphans(t.Context(), OrphanOptions{DryRun: true})
	check(t, err)
	if diff := cmp.Diff(want, ours(found)); diff != "" {
		t.Error(diff)
	}
	for name := range left {
		if _, err := os.Stat(filepath.Join(dir, "hullwright-"+name, "state.json")); err != nil {
			t.Errorf("a dry run removed %s", name)
		}
	}
	// In earnest only in this test's own directories: /tmp is everybody's.
	s := &sweep{m: m, states: map[string]*State{}, stores: map[string]bool{}}
	for _, name := range []string{"dead", "rebooted", "expired", "alive", "handed", "forever", "away", "inside", "record", "foreign", "link", "100", "101", "102", "103"} {
		if path := filepath.Join(dir, "hullwright-"+name); mine(path) {
			s.directory(path)
		}
	}
	s.sweepStates(t.Context())
	s.sweepStrays(t.Context())
	for name, stays := range map[string]bool{"100": false, "101": false, "102": true, "103": true} {
		if got := exists(filepath.Join(dir, "hullwright-"+name)); got != stays {
			t.Errorf("directory %s stays is %t, want %t", name, got, stays)
		}
	}
	s.found = slices.DeleteFunc(s.found, func(o Orphan) bool { return o.Kind != "state" })
	if diff := cmp.Diff(want, ours(s.found)); diff != "" {
		t.Error(diff)
	}
	for name, stays := range left {
		_, err := os.Stat(filepath.Join(dir, "hullwright-"+name, "state.json"))
		if (err == nil) != stays {
			t.Errorf("%s: stays is %t, want %t", name, err == nil, stays)
		}
	}
}
