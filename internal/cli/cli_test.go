package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

type options struct {
	Name  string `env:"NAME" arg:"NAME" help:"Whom to greet."`
	Times int    `env:"TIMES" envDefault:"1" help:"How often."`
	Common
}

// greet is a verb small enough to see what the shell around it does.
var greet = NewVerb(Verb{
	Name:    "greet",
	Summary: "say hello",
	Outputs: []Output{{Name: "greeting", Help: "What was said."}},
}, func(_ context.Context, env *Env, o options) error {
	if err := env.Output("greeting", "hello "+o.Name); err != nil {
		return err
	}
	switch o.Name {
	case "denied":
		return errdefs.New(errdefs.Denied, "%s may not come in", o.Name).WithHint("ask for a key")
	case "hostile":
		return errors.New("branch x\n::add-mask::e")
	case "two":
		return errors.Join(errdefs.BadInputf("name", 1, "one"), errdefs.BadInputf("name", 2, "two"))
	}
	return nil
})

// Check finds a name that may not be greeted.
func (o options) Check(_ context.Context, env *Env) error {
	if env.CI == nil {
		return errors.New("there is no CI system")
	}
	if o.Name == "nobody" {
		return errors.Join(errdefs.BadInputf("name", 0, "nobody is there"), errdefs.BadInputf("times", 0, "too few"),
			errdefs.New(errdefs.Environment, "no door"))
	}
	return nil
}

func runGreet(t *testing.T, environ map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if environ == nil {
		environ = map[string]string{}
	}
	env := &Env{Stdout: &out, Stderr: &errs, Environ: environ, Dir: t.TempDir(), Now: time.Now}
	code = Run(context.Background(), env, "hullwright", []Verb{greet}, args)
	return code, out.String(), errs.String()
}

func TestRun(t *testing.T) {
	cases := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"no command", nil, errdefs.ExitDone, "commands:", ""},
		{"help", []string{"help"}, errdefs.ExitDone, "greet", ""},
		{"help of a command", []string{"help", "greet"}, errdefs.ExitDone, "--times", ""},
		{"--help", []string{"greet", "--help"}, errdefs.ExitDone, "greeting", ""},
		{"version", []string{"--version"}, errdefs.ExitDone, "hullwright ", ""},
		{"unknown command", []string{"greeet"}, errdefs.ExitBadInput, "", `hullwright: error: unknown command "greeet"`},
		{"unknown flag", []string{"greet", "--tims", "2"}, errdefs.ExitBadInput, "", "--times"},
		{"bad value", []string{"greet", "--times", "many"}, errdefs.ExitBadInput, "", "many"},
		{"denied", []string{"greet", "denied"}, errdefs.ExitDenied, "", "greet: error: denied may not come in\ngreet: hint: ask for a key\n"},
		{"all faults at once", []string{"greet", "two"}, errdefs.ExitBadInput, "", "greet: error: input \"name\" line 1: one\ngreet: error: input \"name\" line 2: two\n"},
		{"done", []string{"greet", "Ada"}, errdefs.ExitDone, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := runGreet(t, nil, c.args...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit %d, want %d\nstdout:\n%s\nstderr:\n%s", code, c.code, stdout, stderr)
			}
		})
	}
}

// A failed run's outputs are as good as what it did before it failed.
// Faults of values are told together with those of types, but not what follows
// from a fault that is told already, and nothing where a flag is unknown.
func TestFurtherFaults(t *testing.T) {
	code, _, stderr := runGreet(t, nil, "greet", "nobody", "--times", "many")
	if code != errdefs.ExitBadInput || !strings.Contains(stderr, "many") || !strings.Contains(stderr, "nobody is there") ||
		strings.Contains(stderr, "too few") || strings.Contains(stderr, "no door") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if _, _, stderr := runGreet(t, nil, "greet", "nobody", "--tims", "1"); strings.Contains(stderr, "nobody is there") {
		t.Errorf("checked with an unknown flag:\n%s", stderr)
	}
}

func TestOutputsFileIsWrittenAlsoOnFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outputs.json")
	if code, _, stderr := runGreet(t, nil, "greet", "denied", "--outputs-file", file); code != errdefs.ExitDenied {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(raw, &got); err != nil || got["greeting"] != "hello denied" {
		t.Errorf("%s: %v", raw, err)
	}
}

func TestOutputsFileThatCannotBeWritten(t *testing.T) {
	code, _, stderr := runGreet(t, nil, "greet", "Ada", "--outputs-file", filepath.Join(t.TempDir(), "no", "such", "dir.json"))
	if code != errdefs.ExitEnvironment || !strings.Contains(stderr, `input "outputs-file"`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// The inputs are declared in a struct's tag, which can't ask internal/ci.
func TestProviderChoicesAreThoseThatThereAre(t *testing.T) {
	for _, in := range greet.Inputs() {
		if in.Name == "provider" && strings.Join(in.Choices, " ") != strings.Join(ci.Names(), " ") {
			t.Errorf("choices %q, want %q", in.Choices, ci.Names())
		}
	}
}

func TestErrorsCommandNobody(t *testing.T) {
	_, _, stderr := runGreet(t, map[string]string{"GITHUB_ACTIONS": "true"}, "greet", "hostile")
	if strings.Contains(stderr, "\n::add-mask::e") {
		t.Errorf("an error's text became a command:\n%s", stderr)
	}
}
