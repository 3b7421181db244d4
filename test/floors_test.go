// Package test holds what is true of the whole: the floors of the house, the
// journeys, the recorded events and the environment that they need.
package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hullwright/hullwright/"

// floors are the packages' heights; a package imports only from lower ones.
// The longest pattern that matches wins.
var floors = map[string]int{
	"cmd":                      7,
	"internal/cmd/doctor":      6, // it reads what build-push would do by build-push's own door
	"internal/cmd":             5,
	"internal/derive":          4,
	"internal/report":          4,
	"internal/builder":         3,
	"internal/doctor":          3,
	"internal/login":           3,
	"internal/meta":            3,
	"internal/cli":             3,
	"internal/meta/handlebars": 2,
	"internal/meta/moment":     2,
	"internal/registry":        2,
	"internal/setup":           2,
	"internal/ci":              2,
	"internal/input":           2,
	"internal/policy":          2,
	"internal/policy/wire":     1,
	"internal/progress":        1,
	"internal/setup/binfmt":    1,
	"internal/errdefs":         0, // what everything may say
}

func floor(pkg string) (int, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		if f, ok := floors[p]; ok {
			return f, true
		}
	}
	return 0, false
}

func TestPackagesImportDownward(t *testing.T) {
	imports := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "test" || d.Name() == "tools" || d.Name() == "examples") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		from, _ := filepath.Rel("..", filepath.Dir(file))
		from = filepath.ToSlash(from)
		here, ok := floor(from)
		if !ok {
			t.Errorf("%s: package %s has no floor; give it one in test/floors_test.go", file, from)
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			imports++
			if there, ok := floor(to); !ok || there >= here {
				t.Errorf("%s (floor %d) imports %s (floor %d): a package imports only downward", file, here, to, there)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports < 20 {
		t.Fatalf("only %d imports were looked at: the walk misses the packages", imports)
	}
}
