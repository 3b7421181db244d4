package input

import (
	"fmt"
	"strings"
)

// width is what a line of --help fits in, terminals being 80 wide.
const width = 79

// Help is the inputs as --help shows them, under the headings of their groups:
// a flag and its help, the default and the environment name.
func Help(inputs []Input) string {
	var b strings.Builder
	group := ""
	for _, in := range inputs {
		if in.NoFlag {
			continue
		}
		if in.Group != group {
			group = in.Group
			fmt.Fprintf(&b, "\n%s:\n", group)
		}
		fmt.Fprintf(&b, "  %s\n", in.heading())
		for _, line := range wrap(in.Help+in.notes(), width-len("        ")) {
			fmt.Fprintf(&b, "        %s\n", line)
		}
	}
	return b.String()
}

func (i Input) heading() string {
	switch {
	case i.Flag() == "":
		return i.Shell() + "=" + i.Placeholder + " (environment only)"
	case i.Type == "bool" && i.Default == "true":
		return "--" + i.Flag() + "[=false]"
	case i.Bare != "" && i.Type != "bool":
		return "--" + i.Flag() + "[=" + i.Placeholder + "]"
	case i.Type == "bool":
		return "--" + i.Flag()
	default:
		return "--" + i.Flag() + " " + i.Placeholder
	}
}

func (i Input) notes() string {
	var notes []string
	if i.Choices != nil {
		notes = append(notes, "one of "+strings.Join(i.Choices, ", "))
	}
	if i.Default != "" && i.Default != "false" {
		notes = append(notes, fmt.Sprintf("default %q", i.Default))
	}
	if i.Flag() != "" {
		notes = append(notes, i.Shell())
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, "; ") + ")"
}

// Shell is the environment name for shells: HULLWRIGHT_CACHE_FROM.
func (i Input) Shell() string {
	for _, name := range i.Env {
		if strings.HasPrefix(name, "HULLWRIGHT_") {
			return name
		}
	}
	return ""
}

// wrap breaks text at blanks into lines of at most n bytes, where words allow.
func wrap(text string, n int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last < 0 || len(lines[last])+1+len(word) > n {
			lines = append(lines, word)
			continue
		}
		lines[last] += " " + word
	}
	return lines
}
