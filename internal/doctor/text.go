package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// width is what a line fits in, terminals being 80 wide.
const width = 79

// marks begin a line.
var marks = map[Severity]string{OK: "✓", Note: "·", Warning: "!", Failure: "✗"}

// margin is where the text of a line begins: after its mark and its check.
const margin = 16

// Text writes the report for a person: a line a finding, and below those that
// need something done what was expected and what to do.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	check := ""
	for _, f := range r.Findings {
		shown := f.Check
		if f.Check == check {
			shown = ""
		}
		check = f.Check
		f.write(&b, shown)
	}
	fmt.Fprintf(&b, "\n%s, in %s\n", r.sum(), r.Took.Round(10*time.Millisecond))
	_, err := io.WriteString(w, b.String())
	return err
}

// String is what was found, and where.
func (f Finding) String() string {
	if f.On == "" {
		return f.Found
	}
	return f.On + ": " + f.Found
}

func (f Finding) write(b *strings.Builder, check string) {
	paragraph(b, fmt.Sprintf("%s %-*s", marks[f.Severity], margin-2, check), f.String())
	if f.Severity == OK || f.Severity == Note {
		if f.Severity == Note && f.Next != "" {
			paragraph(b, detail("to do"), f.Next)
		}
		return
	}
	paragraph(b, detail("finding"), f.ID)
	if f.Expected != "" {
		paragraph(b, detail("expected"), f.Expected)
	}
	if f.Next != "" {
		paragraph(b, detail("to do"), f.Next)
	}
}

// detail is a heading of a line below a finding.
func detail(heading string) string { return fmt.Sprintf("%*s  ", margin-2, heading) }

// paragraph writes head and then text, whose further lines begin below its first
// word. A word is never broken: addresses and commands are copied.
func paragraph(b *strings.Builder, head, text string) {
	b.WriteString(head)
	at := margin
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", margin))
			at = margin
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
}

// Markdown is the report for a job's page; escape makes text plain there.
func (r Report) Markdown(escape func(string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Checks before the build: %s\n\n", r.sum())
	rows := 0
	for _, f := range r.Findings {
		if f.Severity != Failure && f.Severity != Warning {
			continue
		}
		if rows++; rows == 1 {
			b.WriteString("| | finding | what was found | what to do |\n|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Severity, f.ID, escape(f.String()), escape(f.Next))
	}
	return b.String()
}
