package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// nothingLeft checks that nothing is on the machine, in the script's temporary
// directory or in its builder store that has one of the words in its name or in
// its command line; negated, that something is.
//
//	nothing-left WORD...
func nothingLeft(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || slices.Contains(args, "") {
		ts.Fatalf("usage: nothing-left WORD...")
	}
	there, err := machine()
	ts.Check(err)
	var things []string
	for thing := range there {
		things = append(things, thing)
	}
	for kind, pattern := range map[string]string{
		"temporary file": filepath.Join(ts.Getenv("TMPDIR"), "hullwright-*"),
		"builder":        filepath.Join(ts.Getenv("BUILDX_CONFIG"), "instances", "*"),
		"note":           filepath.Join(ts.Getenv("BUILDX_CONFIG"), "activity", "*"),
	} {
		names, err := filepath.Glob(pattern)
		ts.Check(err)
		for _, name := range names {
			things = append(things, kind+" "+name)
		}
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && dir != filepath.Join("/proc", itoa(os.Getpid())) { // else it ended
			things = append(things, "process "+filepath.Base(dir)+" "+strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	slices.Sort(things)
	left := slices.DeleteFunc(things, func(thing string) bool {
		return !slices.ContainsFunc(args, func(word string) bool { return strings.Contains(thing, word) })
	})
	if neg != (len(left) > 0) {
		ts.Fatalf("left: %d\n  %s", len(left), strings.Join(left, "\n  "))
	}
}
