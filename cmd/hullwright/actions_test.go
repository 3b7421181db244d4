package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
)

// TestActions reads every action.yml as a runner does.
func TestActions(t *testing.T) {
	for _, a := range actions {
		t.Run(a.dir, func(t *testing.T) {
			dir := filepath.Join(root, a.dir)
			raw, err := os.ReadFile(filepath.Join(dir, "action.yml"))
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Name, Description, Author string
				Branding                  struct{ Icon, Color string }
				Inputs, Outputs           map[string]struct{ Description, Default string }
				Runs                      map[string]string
			}
			if err := yaml.Unmarshal(raw, &file); err != nil {
				t.Fatal(err)
			}
			if file.Name == "" || file.Description == "" || file.Author == "" || file.Branding.Icon == "" || file.Branding.Color == "" {
				t.Errorf("name, description, author and branding must be there: %+v", file)
			}
			if got := file.Inputs["binary"].Description; got == "" {
				t.Error("no input binary")
			}
			for name, want := range a.defaults {
				if got := file.Inputs[name].Default; got != want {
					t.Errorf("input %s has the default %q, want %q", name, got, want)
				}
			}
			checkScripts(t, dir, a, file.Runs)
		})
	}
}

func checkScripts(t *testing.T, dir string, a action, runs map[string]string) {
	t.Helper()
	if runs["using"] != "node24" {
		t.Errorf("runs by %q, want node24", runs["using"])
	}
	if got := filepath.Base(runs["main"]); got != a.verb+".js" {
		t.Errorf("main is %s, want the script of %s", got, a.verb)
	}
	scripts := []string{runs["main"]}
	if a.post {
		scripts = append(scripts, runs["post"])
		// A job that failed or was canceled leaves a builder, too.
		if runs["post-if"] != "always()" {
			t.Errorf("post-if is %q, want always()", runs["post-if"])
		}
	}
	for _, script := range scripts {
		if _, err := os.Stat(filepath.Join(dir, script)); script == "" || err != nil {
			t.Errorf("script %q: %v", script, err)
		}
	}
	if (runs["post"] != "") != a.post {
		t.Errorf("post is %q, which the table of actions does not say", runs["post"])
	}
}

// TestActionInputsAreFree finds a command whose inputs are named as those of
// the actions, which would hide them.
func TestActionInputsAreFree(t *testing.T) {
	for _, v := range verbs() {
		for _, own := range actionInputs {
			if slices.ContainsFunc(v.Inputs(), func(in input.Input) bool { return in.Name == own.Name }) {
				t.Errorf("%s has an input %s of its own", v.Name, own.Name)
			}
		}
	}
}

// TestHelp finds a command that says nothing of itself.
func TestHelp(t *testing.T) {
	for _, v := range verbs() {
		if v.Summary == "" || len(v.Inputs()) == 0 {
			t.Errorf("%s has no summary or no inputs", v.Name)
		}
		for _, out := range v.Outputs {
			if out == (cli.Output{}) || out.Help == "" {
				t.Errorf("%s: output %q has no help", v.Name, out.Name)
			}
		}
	}
}
