package input

import (
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseArgs reads a command line into texts by input name. Flags and
// positional arguments may be mixed; "--" ends flags. A list's flag may be
// repeated, each time with a line or more; of another's the last one counts.
func parseArgs(fields []field, args []string) (map[string]source, []error) {
	p := argParser{flags: map[string]field{}, given: map[string]source{}, args: args}
	for _, f := range fields {
		if f.Arg != "" {
			p.positional = append(p.positional, f)
		}
		if f.secret() {
			p.secret = append(p.secret, f)
		}
		if f.Flag() == "" {
			continue
		}
		p.flags[f.Flag()] = f
		p.names = append(p.names, f.Flag())
	}
	for len(p.args) > 0 {
		p.next()
	}
	return p.given, p.faults
}

type argParser struct {
	flags      map[string]field
	names      []string
	secret     []field
	positional []field // not given yet
	args       []string
	verbatim   bool // after "--"
	given      map[string]source
	faults     []error
}

func (p *argParser) next() {
	arg := p.args[0]
	p.args = p.args[1:]
	switch {
	case p.verbatim || arg == "-" || !strings.HasPrefix(arg, "-"):
		p.argument(arg)
	case arg == "--":
		p.verbatim = true
	default:
		p.flag(arg)
	}
}

func (p *argParser) argument(arg string) {
	if len(p.positional) == 0 {
		p.faults = append(p.faults, errdefs.New(errdefs.BadInput, "unexpected argument %q", arg).
			WithHint("inputs are given as --name=value; --help lists them"))
		return
	}
	f := p.positional[0]
	if !f.list() {
		p.positional = p.positional[1:]
	}
	p.give(f, f.Arg, arg)
}

func (p *argParser) flag(arg string) {
	dashed, value, hasValue := strings.Cut(arg, "=")
	f, known := p.flags[strings.TrimPrefix(dashed, "--")]
	if !known || !strings.HasPrefix(dashed, "--") {
		p.faults = append(p.faults, p.unknown(dashed))
		if !hasValue && len(p.args) > 0 && !strings.HasPrefix(p.args[0], "-") {
			p.args = p.args[1:] // most likely its value, and no fault of its own
		}
		return
	}
	switch {
	case hasValue:
	case f.Bare != "":
		value = f.Bare
		// "--push false" would push, and take "false" for the next argument.
		if len(p.args) > 0 && (p.args[0] == "true" || p.args[0] == "false") {
			p.faults = append(p.faults, errdefs.BadInputf(dashed, 0, "%q after a space is not its value", p.args[0]).
				WithHint("write %s=%s", dashed, p.args[0]))
			p.args = p.args[1:]
		}
	case len(p.args) == 0 || p.isFlag(p.args[0]):
		p.faults = append(p.faults, errdefs.BadInputf(dashed, 0, "has no value").
			WithHint("write %s=%s", dashed, f.Placeholder))
		return
	default:
		value = p.args[0]
		p.args = p.args[1:]
	}
	p.give(f, dashed, value)
}

func (p *argParser) isFlag(arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	_, known := p.flags[strings.TrimPrefix(name, "--")]
	return known && strings.HasPrefix(name, "--")
}

func (p *argParser) give(f field, name, text string) {
	before, again := p.given[f.Name]
	switch {
	case again && f.list():
		text = before.text + "\n" + text
	case again && (name == f.Arg) != (before.name == f.Arg):
		p.faults = append(p.faults, errdefs.BadInputf(f.Arg, 0, "given twice, as an argument and as --%s", f.Flag()))
	}
	p.given[f.Name] = source{field: f, name: name, text: text}
}

func (p *argParser) unknown(dashed string) error {
	fault := errdefs.New(errdefs.BadInput, "unknown flag %s", dashed)
	name := strings.TrimLeft(dashed, "-")
	for _, f := range p.secret {
		if f.Name == name {
			hint := "a command line is not private: set " + f.Shell()
			if _, ok := p.flags[name+"-stdin"]; ok {
				hint += ", or give it on standard input with --" + name + "-stdin"
			}
			return fault.WithHint("%s", hint)
		}
	}
	if near := errdefs.Nearest(name, p.names); near != "" {
		return fault.WithHint("did you mean --%s?", near)
	}
	return fault.WithHint("--help lists the flags")
}

// list is whether a value is made of entries, so that several flags make one.
func (f field) list() bool {
	switch f.Type {
	case "lines", "words", "records":
		return true
	}
	return false
}
