// Package report renders what a build gave: as lines for a log and as Markdown
// for a job's page. It decides nothing and asks nobody.
//
// Begin with [Build], which holds all that is shown, and its two methods.
package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// Build is a finished build. Zero values are left out of what is rendered.
type Build struct {
	Builder  string // its name
	Driver   string
	Digest   string // of the index
	Pushed   []builder.Pushed
	Tags     []registry.Written
	Summary  progress.Summary
	Duration time.Duration // of the whole command
}

// Text writes the index, its platforms and its tags, as a person at a terminal
// or in a CI log reads them.
func (b Build) Text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if b.Digest != "" {
		fmt.Fprintf(tw, "index\t%s\n", b.Digest)
	}
	if len(b.Pushed) > 0 {
		// Every repository holds the same index: one list serves for all.
		for _, p := range b.Pushed[0].Platforms {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", platformName(p), p.Digest, units.HumanSize(float64(p.Size)))
		}
	}
	for _, t := range b.Tags {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", t.Tag, t.After, t.Status)
	}
	cached, total := b.Summary.Cached()
	fmt.Fprintf(tw, "steps\t%d of %d cached\t%s\n", cached, total, b.Duration.Round(time.Millisecond))
	return tw.Flush()
}

// slowest is how many steps a summary names.
const slowest = 5

// Markdown is the summary for a job's page. What a build or a person named is
// escaped: it may come from a stranger's Dockerfile.
func (b Build) Markdown() string {
	var m strings.Builder
	m.WriteString("### hullwright build\n\n")
	if b.Digest != "" {
		fmt.Fprintf(&m, "Index %s\n\n", code(b.Digest))
	}
	if len(b.Pushed) > 0 {
		m.WriteString("| platform | digest | size |\n|---|---|---|\n")
		for _, p := range b.Pushed[0].Platforms {
			fmt.Fprintf(&m, "| %s | %s | %s |\n", escape(platformName(p)), code(p.Digest), units.HumanSize(float64(p.Size)))
		}
		m.WriteString("\n")
	}
	if len(b.Tags) > 0 {
		m.WriteString("| tag | was | result |\n|---|---|---|\n")
		for _, t := range b.Tags {
			fmt.Fprintf(&m, "| %s | %s | %s |\n", code(t.Tag), code(t.Before), escape(t.Status))
		}
		m.WriteString("\n")
	}
	cached, total := b.Summary.Cached()
	fmt.Fprintf(&m, "%d of %d steps came from the cache; %s in all on builder %s (%s).\n\n",
		cached, total, b.Duration.Round(time.Millisecond), code(b.Builder), escape(b.Driver))
	b.steps(&m)
	return m.String()
}

func (b Build) steps(m *strings.Builder) {
	steps := b.Summary.Slowest(slowest)
	if len(steps) == 0 {
		return
	}
	m.WriteString("<details><summary>Slowest steps</summary>\n\n| step | time | cached |\n|---|---|---|\n")
	for _, s := range steps {
		fmt.Fprintf(m, "| %s | %s | %t |\n", code(s.Name), s.Duration().Round(time.Millisecond), s.Cached)
	}
	m.WriteString("\n</details>\n")
}

func platformName(p registry.Platform) string {
	if p.Attestation {
		return "attestation"
	}
	return p.Platform
}

// code is text as inline code that nothing in it can leave: no backtick ends
// it, no pipe ends its cell, no line break its row.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s) + "</code>"
}

// escape is text without a meaning in Markdown or HTML.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune("&<>|`*_[]()\\~#!\"'", r):
			fmt.Fprintf(&b, "&#%d;", r)
		case r < ' ' || r == 0x7f || bidi(r):
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// bidi is whether a rune reorders the text around it, with which a line can be
// made to look like another.
func bidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}
