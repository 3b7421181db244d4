package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes the index, its platforms, its tags and how the build went, as a
// person at a terminal or in a CI log reads them: without color, and in 80
// columns where the names allow. The index's digest is whole; other digests are
// their first letters.
func (b Build) Text(w io.Writer) error {
	v := b.view()
	if v.Digest != "" {
		// Outside of the table, whose columns it would push apart.
		if _, err := fmt.Fprintf(w, "index  %s\n", v.Digest); err != nil {
			return err
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range v.Platforms {
		if p.Digest != "" {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", p.Name, algorithm(p.Digest), p.Size)
		}
	}
	if v.Attested != "" {
		count, types, _ := strings.Cut(v.Attested, ": ")
		fmt.Fprintf(tw, "attested\t%s\n", strings.TrimPrefix(types+" in "+count, " in "))
	}
	for _, o := range v.Outputs {
		fmt.Fprintf(tw, "output\t%s\n", o)
	}
	fmt.Fprintf(tw, "steps\t%d of %d cached\t%s\n", v.Cached, v.Steps, v.Took)
	if err := tw.Flush(); err != nil { // tags have a table of their own
		return err
	}
	for _, t := range v.Tags {
		fmt.Fprintf(tw, "%s\t%s\n", t.Name, t.result())
	}
	return tw.Flush()
}

// result is what became of a tag: "written, was 0123456789ab".
func (t tag) result() string {
	if t.Was == "" {
		return t.Status
	}
	return t.Status + ", was " + t.Was
}

// algorithm is a digest's first letters with its algorithm before them.
func algorithm(digest string) string {
	if name, _, ok := strings.Cut(digest, ":"); ok {
		return name + ":" + short(digest)
	}
	return short(digest)
}
