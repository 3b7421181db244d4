package ci_test

import (
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/ci"
)

// TestDocs: docs/ci-systems.md has a row for every system, and one for every
// variable with which an event can be given.
func TestDocs(t *testing.T) {
	doc := read(t, "../../docs/ci-systems.md")
	for _, name := range ci.Names() {
		if !strings.Contains(doc, "| `"+name+"` |") {
			t.Errorf("no row for %s", name)
		}
	}
	for _, g := range ci.Givens() {
		if row := "| `" + g.Name + "` | " + g.Help + " |"; !strings.Contains(doc, row) {
			t.Errorf("no row\n%s", row)
		}
	}
}
