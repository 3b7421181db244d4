package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		names []string
		want  string
	}{
		{nil, "packages tools registry binfmt engine images bases gitlab s3 azure"},
		{[]string{"tools"}, "tools"},
		{[]string{"registry"}, "tools registry"},
		{[]string{"gitlab", "registry"}, "packages tools registry gitlab"},
		{[]string{"images"}, "packages tools registry engine images"},
	}
	for _, tt := range tests {
		chosen, err := choose(steps(), tt.names)
		if err != nil {
			t.Fatalf("choose(%q): %v", tt.names, err)
		}
		if got := strings.Join(partNames(chosen), " "); got != tt.want {
			t.Errorf("choose(%q) = %q, want %q", tt.names, got, tt.want)
		}
	}
}

func TestChooseUnknown(t *testing.T) {
	_, err := choose(steps(), []string{"tools", "regisry"})
	if errdefs.KindOf(err) != errdefs.BadInput {
		t.Fatalf("choose: %v, want a bad input", err)
	}
	if !strings.Contains(err.Error(), `"regisry"`) {
		t.Errorf("error %q does not name the part", err)
	}
}

// A part must come after all that it needs, or up would run it too early.
func TestStepsAreInOrder(t *testing.T) {
	var before []string
	for _, s := range steps() {
		for _, need := range s.needs {
			if !slices.Contains(before, need) {
				t.Errorf("%s needs %s, which does not come before it", s.name, need)
			}
		}
		if s.ready == nil || s.up == nil {
			t.Errorf("%s can't be asked for or brought up", s.name)
		}
		before = append(before, s.name)
	}
}

func TestAbsent(t *testing.T) {
	all := []pkg{{name: "docker.io", proof: "dockerd", engine: true}, {name: "rsync", proof: "rsync"}, {name: "git", proof: "git"}}
	onlyGit := func(proof string) bool { return proof == "git" }
	tests := []struct {
		engine bool
		want   []string
	}{
		{false, []string{"docker.io", "rsync"}},
		{true, []string{"rsync"}},
	}
	for _, tt := range tests {
		var got []string
		for _, p := range absent(all, onlyGit, tt.engine) {
			got = append(got, p.name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("absent with an engine %v = %q, want %q", tt.engine, got, tt.want)
		}
	}
}

// What the machine lacks is named at once, by each step that lacks it.
func TestRequireAll(t *testing.T) {
	w := &world{environ: map[string]string{}, out: &strings.Builder{}}
	lacking := func(things ...string) step {
		s := step{name: things[0]}
		s.missing = missingOf(things[1:])
		return s
	}
	err := requireAll(t.Context(), w, []step{lacking("one", "a", "b"), {name: "two"}, lacking("three", "c")})
	if got := errdefs.KindOf(err).ExitCode(); got != errdefs.ExitEnvironment {
		t.Errorf("exit code %d, want %d", got, errdefs.ExitEnvironment)
	}
	want := "one: missing a\none: missing b\nthree: missing c"
	if hints := errdefs.Hints(err); len(hints) != 1 {
		t.Errorf("hints %q, want one for all", hints)
	}
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if err := requireAll(t.Context(), w, []step{{name: "two"}}); err != nil {
		t.Errorf("nothing missing, and yet %v", err)
	}
}
