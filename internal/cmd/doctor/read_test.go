package doctor

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/buildpush"
	"github.com/hullwright/hullwright/internal/doctor"
	"github.com/hullwright/hullwright/internal/input"
)

// own are the inputs that build-push does not have.
var own = []string{"only", "format", "timeout"}

// TestInputs has every input of build-push be one of doctor's, by the same flag
// and variables, of the same type and default; and no input but its own beside.
func TestInputs(t *testing.T) {
	taken := map[string]input.Input{}
	for _, in := range Verb().Inputs() {
		taken[in.Name] = in
	}
	for _, in := range buildpush.Verb().Inputs() {
		if diff := cmp.Diff(in, taken[in.Name]); diff != "" {
			t.Errorf("%s is another input (-build-push +doctor):\n%s", in.Name, diff)
		}
		delete(taken, in.Name)
	}
	if left := slices.Sorted(maps.Keys(taken)); !slices.Equal(left, slices.Sorted(slices.Values(own))) {
		t.Errorf("of doctor alone are %v, want %v", left, own)
	}
}

// TestCommandLine gives doctor a command line of build-push with every flag that
// there is, and every variable, and has all of it arrive.
func TestCommandLine(t *testing.T) {
	var args []string
	environ := map[string]string{}
	for _, in := range buildpush.Verb().Inputs() {
		if in.Flag() == "" {
			environ[in.Shell()] = sample(in)
			continue
		}
		args = append(args, "--"+in.Flag()+"="+sample(in))
	}
	var want buildpush.Options
	var got Options
	if err := input.Bind(&want, environ, args); err != nil {
		t.Fatal(err)
	}
	if err := input.Bind(&got, environ, args); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Options); diff != "" {
		t.Error(diff)
	}
	blank(t, reflect.ValueOf(got.Options))
}

// sample is a value that an input takes and that is not its default.
func sample(in input.Input) string {
	switch {
	case in.Choices != nil:
		return in.Choices[slices.IndexFunc(in.Choices, func(c string) bool { return c != in.Default })]
	case in.Type == "bool" && in.Default == "true":
		return "false"
	case in.Type == "bool":
		return "true"
	case in.Type == "int":
		return "42"
	case in.Type == "duration":
		return "42m"
	}
	return "key=value"
}

// blank fails where an input has no value, unless false is not its default.
func blank(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		_, isInput := sf.Tag.Lookup("env")
		switch {
		case isInput && v.Field(i).IsZero() && sf.Tag.Get("envDefault") != "true":
			t.Errorf("%s did not arrive", sf.Name)
		case !isInput && sf.IsExported() && sf.Type.Kind() == reflect.Struct:
			blank(t, v.Field(i))
		}
	}
}

// subject is what would be checked of a command line, in a directory with a
// Dockerfile.
func subject(t *testing.T, args ...string) doctor.Subject {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	env := &cli.Env{Stdout: &out, Stderr: &out, Dir: dir, Now: time.Now, Environ: map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir}}
	provider, err := ci.Detect(ci.Host{Environ: env.Environ, Stdout: &out, Stderr: &out, Dir: dir}, "")
	if err != nil {
		t.Fatal(err)
	}
	env.CI = provider
	var o Options
	if err := input.Bind(&o, env.Environ, append(args, ".")); err != nil {
		t.Fatal(err)
	}
	_, s := read(t.Context(), env, o)
	return s
}

// TestDestinations has registries asked about a push that may come, and not about
// one that will not.
func TestDestinations(t *testing.T) {
	for line, want := range map[string]int{
		"--tags r.example/app:1":                                         1,
		"--tags r.example/app:1 --push":                                  1,
		"--tags r.example/app:1 --tags r.example/app:2,s.example/x:1":    2,
		"--tags r.example/app:1 --push=false":                            0,
		"--tags r.example/app:1 --load":                                  0,
		"--tags r.example/app:1 --load --push":                           1,
		"--tags r.example/app:1 --outputs type=cacheonly":                0,
		"--tags r.example/app:1 --outputs type=registry":                 1,
		"--outputs type=image,push=true,name=r.example/app:1":            1,
		"--outputs type=image,push=true,push-by-digest=true,name=r.io/a": 1,
		"--tags r.example/app:1 --call check":                            0,
		"--load":                                                         0,
	} {
		s := subject(t, strings.Fields(line)...)
		for _, err := range s.Faults {
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if len(s.Push) != want {
			t.Errorf("%s: asked are %v, want %d", line, s.Push, want)
		}
		if s.Load != strings.Contains(line, "--load") {
			t.Errorf("%s: load %t", line, s.Load)
		}
	}
}

// TestFaultsOfInputs has inputs that only build-push looks at be read all the same.
func TestFaultsOfInputs(t *testing.T) {
	for line, want := range map[string]string{
		"--push=perhaps":          `input "push": "perhaps" is no boolean`,
		"--ulimit nofile":         `input "ulimit"`,
		"--call chek":             `input "call"`,
		"--annotations :x":        `input "annotations"`,
		"--guard-moving-tags=far": `input "guard-moving-tags"`,
	} {
		var text strings.Builder
		for _, err := range subject(t, strings.Fields(line)...).Faults {
			if err != nil {
				text.WriteString(err.Error())
			}
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s: faults %q, want %q", line, text.String(), want)
		}
	}
}
