package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
)

var update = flag.Bool("update", false, "write what is made from the declared inputs")

// root is the repository, as this package's tests see it.
const root = "../.."

// action is one of the actions: a folder with an action.yml, and what that has
// besides the command's own inputs.
type action struct {
	dir  string
	verb string
	// defaults are expressions that GitHub fills in. No other default is
	// written: a runner would set it, and it would then beat HULLWRIGHT_* and
	// the older names, which people set for a whole job.
	defaults map[string]string
	post     bool // whether the command makes things that the end of the job undoes
}

var actions = []action{
	{dir: ".", verb: "build-push", defaults: tokenDefault, post: true},
	{dir: "setup", verb: "setup", post: true},
	{dir: "login", verb: "login", defaults: tokenDefault, post: true},
	{dir: "metadata", verb: "metadata", defaults: tokenDefault},
	{dir: "build-push", verb: "build-push", defaults: tokenDefault, post: true},
}

var tokenDefault = map[string]string{"github-token": "${{ github.token }}"}

// actionInputs are the inputs of every action: those that shim/action.js reads.
var actionInputs = []input.Input{
	{Name: "binary", Type: "string", Help: "Program to run, instead of the released one that this action pins."},
	{Name: "download-template", Type: "string", Help: "Address of the released programs, for a mirror: {version} and {file} are put in. What comes from there is held against the SHA-256 that this action pins."},
}

// TestGenerated holds docs/inputs.md and every action.yml against the declared
// inputs. With -update, which go generate gives, it writes them.
func TestGenerated(t *testing.T) {
	files := map[string]func(old []byte) ([]byte, error){
		"docs/inputs.md": func([]byte) ([]byte, error) { return inputsPage(verbs()), nil },
	}
	for _, a := range actions {
		files[filepath.Join(a.dir, "action.yml")] = func(old []byte) ([]byte, error) { return a.file(old, verbs()) }
	}
	for name, render := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(root, name)
			old, err := os.ReadFile(path)
			if err != nil && !(os.IsNotExist(err) && *update) {
				t.Fatal(err)
			}
			want, err := render(old)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(old, want) {
				return
			}
			if !*update {
				t.Fatalf("%s is stale, run go generate ./... (-there +wanted):\n%s", name, gocmp.Diff(string(old), string(want)))
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// The marks between which an action.yml is generated.
const (
	generated    = "# From here on made by go generate ./... of the command's declared inputs and outputs.\n"
	generatedEnd = "# Up to here.\n"
)

// file puts inputs and outputs between the marks of an action.yml.
func (a action) file(old []byte, verbs []cli.Verb) ([]byte, error) {
	head, rest, ok := bytes.Cut(old, []byte(generated))
	_, tail, closed := bytes.Cut(rest, []byte(generatedEnd))
	if !ok || !closed {
		return nil, fmt.Errorf("the lines %q and %q must be there", generated, generatedEnd)
	}
	i := slices.IndexFunc(verbs, func(v cli.Verb) bool { return v.Name == a.verb })
	if i < 0 {
		return nil, fmt.Errorf("no command %s", a.verb)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(generated)
	b.WriteString("inputs:\n")
	for _, in := range append(slices.Clone(verbs[i].Inputs()), actionInputs...) {
		fmt.Fprintf(&b, "  %s:\n    description: %s\n    required: false\n", in.Name, scalar(described(in)))
		if value, ok := a.defaults[in.Name]; ok {
			fmt.Fprintf(&b, "    default: %s\n", value)
		}
	}
	b.WriteString("outputs:\n")
	for _, out := range verbs[i].Outputs {
		fmt.Fprintf(&b, "  %s:\n    description: %s\n", out.Name, scalar(out.Help))
	}
	b.WriteString(generatedEnd)
	b.Write(tail)
	return b.Bytes(), nil
}

// described is an input's help with what GitHub shows nowhere else.
func described(in input.Input) string {
	text := in.Help
	if in.Choices != nil {
		text += " One of " + strings.Join(in.Choices, ", ") + "."
	}
	if in.Default != "" {
		text += fmt.Sprintf(" The default is %s.", shown(in.Default))
	}
	return text
}

// scalar is text as YAML has it on one line.
func scalar(text string) string {
	raw, err := yaml.Marshal(text)
	if err != nil {
		panic(err) // a string can always be written
	}
	return strings.TrimSpace(string(raw))
}

// programNote says what shim/action.js does.
const programNote = `
An action runs the first of these programs that is there: the input ` + "`binary`; the variable `HULLWRIGHT_BINARY`" + `; the runner's
tool cache; ` + "`bin/OS-ARCH/`" + ` in the action's own tree, for a fork that works offline; a download. Of the last three only what
has the SHA-256 that the action's tree pins is run. Behind a proxy set ` + "`NODE_USE_ENV_PROXY: 1` beside `HTTPS_PROXY`" + `, which
node 24 needs to heed it. Beside a program of the last three it is the same with ` + "`hullwright-policy`" + `, which evaluates the
source policies of a build, and is got once a build has one; a program that you name has its own beside it, or in ` + "`PATH`" + `.
`

// inputsPage is docs/inputs.md.
func inputsPage(verbs []cli.Verb) []byte {
	var b bytes.Buffer
	b.WriteString(`<!-- Made by go generate ./... of the declared inputs: change those, in internal/cmd. -->
# Inputs and outputs

Every input can be given in several ways. The first of these that is not blank counts:

1. the flag, as ` + "`--cache-from=VALUE` or `--cache-from VALUE`" + `; a list's flag can be repeated;
2. the environment as CI runners set an action's inputs: ` + "`INPUT_CACHE-FROM` or `INPUT_CACHE_FROM`" + `;
3. the environment for a shell: ` + "`HULLWRIGHT_CACHE_FROM`" + `, then older names where the table has them;
4. the default.

| type | is |
|---|---|
| string | text; blanks around it do not count |
| text | text as it is |
| bool | true or false, also True, TRUE, 1, t, False, FALSE, 0 and f; a flag without a value is true |
| int | a whole number |
| duration | a number with its unit, as 90s or 5m |
| lines | a list, one entry a line |
| words | a list, split at line breaks and commas |
| records | a list of key=value,key=value, one a line |
| secrets | lines that no flag gives, since a command line is not private |
| secret | text that no flag gives either; blanks around it do not count |

An entry of a list that begins with a double quote runs to the closing one, over commas and line breaks, with ` + "`\"\"`" + ` for a
quote within. Blank lines do not count.
`)
	for _, v := range verbs {
		fmt.Fprintf(&b, "\n## hullwright %s\n\n%s.\n\n", v.Name, capitalized(v.Summary))
		b.WriteString("| input | flag | environment | type | default | help |\n|---|---|---|---|---|---|\n")
		for _, in := range v.Inputs() {
			b.WriteString(inputRow(in))
		}
		if len(v.Outputs) > 0 {
			b.WriteString("\n| output | is |\n|---|---|\n")
		}
		for _, out := range v.Outputs {
			fmt.Fprintf(&b, "| `%s` | %s |\n", out.Name, cell(out.Help))
		}
	}
	b.WriteString("\n## The actions\n\nEach action has the inputs of its command, and these:\n\n| input | help |\n|---|---|\n")
	for _, in := range actionInputs {
		fmt.Fprintf(&b, "| `%s` | %s |\n", in.Name, cell(in.Help))
	}
	b.WriteString(programNote)
	return b.Bytes()
}

func inputRow(in input.Input) string {
	var flags []string
	if in.Flag() != "" {
		flags = append(flags, "`--"+in.Flag()+"`")
	}
	if in.Arg != "" {
		flags = append(flags, "or the argument "+in.Arg)
	}
	var names []string
	for _, name := range in.Env {
		if !strings.HasPrefix(name, "INPUT_") {
			names = append(names, "`"+name+"`")
		}
	}
	help := in.Help
	if in.Choices != nil {
		help += " One of " + strings.Join(in.Choices, ", ") + "."
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", in.Name, cmp.Or(strings.Join(flags, " "), "none"),
		strings.Join(names, ", "), in.Type, code(in.Default), cell(help))
}

// shown is a default as one can read it: a line break has a name.
func shown(value string) string {
	if value == "\n" {
		return "a line break"
	}
	return value
}

func code(value string) string {
	switch value {
	case "":
		return ""
	case "\n":
		return shown(value)
	default:
		return "`" + cell(value) + "`"
	}
}

// cell keeps text within one cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

func capitalized(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
