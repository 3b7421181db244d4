package buildpush

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
)

func TestParsePolicies(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.rego", "b.rego"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	strict := true
	got, err := parsePolicies(records(t, "filename=a.rego,filename=b.rego,strict=true,log-level=debug\nreset=true,filename=a.rego\ndisabled=true"), dir)
	want := []builder.Policy{
		{Files: []string{filepath.Join(dir, "a.rego"), filepath.Join(dir, "b.rego")}, Strict: &strict, LogLevel: "debug"},
		{Files: []string{filepath.Join(dir, "a.rego")}, Reset: true},
		{Disabled: true},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for text, want := range map[string]string{
		"a.rego":             `expected key=value, found "a.rego"`,
		"filename=none.rego": `no policy at "none.rego"`,
		"filename=":          "no policy at",
		"strict=2":           `strict="2"`,
		"x\nlevel=debug":     `line 2: unknown key "level"`,
		"log-level=loud":     `unknown log-level "loud"`,
	} {
		_, err := parsePolicies(records(t, text), dir)
		wantFault(t, err, want)
	}
}
