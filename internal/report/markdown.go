package report

import (
	"fmt"
	"slices"
	"strings"
)

// foldLines is from how many lines on an error is folded.
const foldLines = 10

// pageCap is how large a summary may be, in bytes. GitHub's runner takes 1 MiB a
// step, for which several commands may write.
const pageCap = 512 << 10

// Markdown is the summary for a job's page. What a build or a person named is
// escaped: it may come from a stranger's Dockerfile. It is never larger than
// half a MiB: what does not fit is left out, with a note.
func (b Build) Markdown() string {
	v := b.view()
	page := &markdown{}
	for _, section := range []func(*markdown, view){
		(*markdown).headline, (*markdown).failures, (*markdown).image, (*markdown).tags, (*markdown).warnings,
		(*markdown).cache, (*markdown).chain, (*markdown).inputs,
	} {
		m := &markdown{}
		section(m, v)
		if page.Len()+m.Len() > pageCap {
			page.WriteString("*A part is left out here: it is too large for this page.*\n\n")
			continue
		}
		page.WriteString(m.String())
	}
	return page.String()
}

// markdown is a summary in the making.
type markdown struct{ strings.Builder }

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(m, format, args...) }

// headline is what was built, how it ended and how long that took.
func (m *markdown) headline(v view) {
	m.printf("### hullwright: %s%s\n\n", v.State, spaced(code(v.Name)))
	facts := []string{fmt.Sprintf("%d of %s cached", v.Cached, count(v.Steps, "step")), v.Took}
	if v.Builder != "" {
		facts = append(facts, "builder "+escape(v.Builder))
	}
	if v.Source.Commit != "" {
		facts = append(facts, "commit "+link(v.Source.Commit, v.Source.CommitURL))
	}
	if v.Source.Ref != "" {
		facts = append(facts, code(v.Source.Ref))
	}
	if v.Source.Job != "" {
		facts = append(facts, link("job", v.Source.Job))
	}
	m.printf("%s\n\n", strings.Join(facts, " · "))
}

// failures are the errors with their hints; a long one is folded under its first line.
func (m *markdown) failures(v view) {
	for _, f := range v.Failures {
		first, rest, _ := strings.Cut(f.Message, "\n")
		m.printf("**error:** %s\n\n", escape(clip(first, lineCap)))
		lines := strings.Count(rest, "\n") + 1
		switch {
		case rest == "":
		case lines > foldLines:
			m.fold(count(lines, "line")+" more", func() { m.block("", rest) })
		default:
			m.block("", rest)
		}
		for _, h := range f.Hints {
			m.printf("**hint:** %s\n\n", escape(h))
		}
	}
}

// image is the index and its platforms.
func (m *markdown) image(v view) {
	if v.Digest != "" {
		m.printf("Index %s\n\n", code(v.Digest))
	}
	if len(v.Repositories) > 1 {
		m.printf("In %s\n\n", code(strings.Join(v.Repositories, ", ")))
	}
	if len(v.Platforms) > 0 && v.Platforms[0].Digest != "" {
		m.table([]string{"platform", "digest", "size"}, len(v.Platforms), func(i int) []string {
			p := v.Platforms[i]
			return []string{escape(p.Name), code(p.Digest), p.Size}
		})
	}
	for _, o := range v.Outputs {
		m.printf("Output %s\n\n", code(o))
	}
	if v.Attested != "" {
		m.printf("With %s\n\n", escape(v.Attested))
	}
}

func (m *markdown) tags(v view) {
	if len(v.Tags) == 0 {
		return
	}
	m.table([]string{"tag", "result", "was"}, len(v.Tags), func(i int) []string {
		was := code(v.Tags[i].Was)
		if v.Tags[i].New {
			was = "new"
		}
		return []string{code(v.Tags[i].Name), escape(v.Tags[i].Status), was}
	})
}

// cache is what it did not have, and what of its transfers went wrong.
func (m *markdown) cache(v view) {
	var lines []string
	for _, miss := range v.Cache.Missed {
		line := "Not cached: " + code(strings.TrimSpace(miss.Place+" "+miss.Name)) + ", since " + escape(miss.Why)
		if miss.After != "" {
			line += "; " + escape(miss.After)
		}
		lines = append(lines, line)
	}
	for _, s := range slices.Concat(v.Cache.Imports, v.Cache.Exports) {
		if s.State == stateFailed {
			lines = append(lines, escape(s.Name)+": "+escape(s.Error))
		}
	}
	m.list(lines)
}

func (m *markdown) warnings(v view) {
	var lines []string
	for _, w := range v.Warnings {
		line := "**warning:** "
		if w.Place != "" {
			line += code(w.Place) + " "
		}
		line += escape(w.Message)
		if w.URL != "" {
			line += " (" + link("why", w.URL) + ")"
		}
		lines = append(lines, line)
	}
	m.list(lines)
}

// chain is the critical path, folded.
func (m *markdown) chain(v view) {
	if len(v.Chain.Steps) == 0 {
		return
	}
	m.fold(fmt.Sprintf("Longest chain of steps: %s of %s", v.Chain.Took, v.Took), func() {
		m.table([]string{"step", "time", "state"}, len(v.Chain.Steps), func(i int) []string {
			s := v.Chain.Steps[i]
			return []string{code(strings.TrimSpace(s.Place + " " + s.Name)), s.Took, escape(s.State)}
		})
		if v.Chain.Small > 0 {
			m.printf("And %s that took %s together.\n\n", count(v.Chain.Small, "step"), v.Chain.Rest)
		}
	})
}

func (m *markdown) inputs(v view) {
	if v.Inputs != "" {
		m.fold("Inputs", func() { m.block("yaml", v.Inputs) })
	}
}

// table writes n rows of cells that are escaped already, or as many as a page takes.
func (m *markdown) table(head []string, n int, row func(int) []string) {
	m.printf("| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for i := range min(n, rowCap) {
		m.printf("| %s |\n", strings.Join(row(i), " | "))
	}
	m.WriteString("\n")
	m.more(n)
}

func (m *markdown) list(lines []string) {
	for _, line := range lines[:min(len(lines), rowCap)] {
		m.printf("* %s\n", line)
	}
	if len(lines) > 0 {
		m.WriteString("\n")
	}
	m.more(len(lines))
}

// more says that rows are left out.
func (m *markdown) more(n int) {
	if n > rowCap {
		m.printf("*%d more are not shown here.*\n\n", n-rowCap)
	}
}

func (m *markdown) fold(title string, body func()) {
	m.printf("<details><summary>%s</summary>\n\n", escape(title))
	body()
	m.WriteString("</details>\n\n")
}

// block is lines that nothing in them can end: the fence is longer than any run
// of backticks within.
func (m *markdown) block(language, text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	m.printf("%s%s\n%s\n%s\n\n", fence, language, strings.TrimRight(text, "\n"), fence)
}

// code is text as inline code that nothing in it can leave: no backtick ends
// it, no pipe ends its cell, no line break its row.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s) + "</code>"
}

// link is text that leads to an address, which may be empty.
func link(text, address string) string {
	if address == "" {
		return code(text)
	}
	return `<a href="` + escape(address) + `">` + escape(text) + "</a>"
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

// escape is text without a meaning in Markdown or HTML. "@" and "://" go too:
// forges make a mention of the one and a link of the other.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case strings.ContainsRune("&<>|`*_[]()\\~#!\"'@", r), r == ':' && strings.HasPrefix(s[i:], "://"):
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
