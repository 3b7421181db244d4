package builder

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// noExporter is what BuildKit says where it can't open a place to export cache
// to. It opens Azure's container, and reads the Actions cache's token, before it
// builds anything, and fails the solve whatever ignore-error says:
// https://github.com/moby/buildkit/blob/v0.33.1/control/control.go#L485
var noExporter = regexp.MustCompile(`failed to configure (\w+) cache exporter: `)

// withoutCache leaves out the cache exports that err says can't be opened, where
// all of them may fail. It gives the steps to show in their place, and false
// where err is about something else.
func (s Solve) withoutCache(err error, now time.Time) (Solve, *client.SolveStatus, bool) {
	text := err.Error()
	m := noExporter.FindStringSubmatchIndex(text)
	if m == nil {
		return s, nil, false
	}
	kind := text[m[2]:m[3]]
	of := func(c Cache) bool { return c.Type == kind }
	must := func(c Cache) bool { return of(c) && c.Attrs["ignore-error"] != "true" }
	if !slices.ContainsFunc(s.CacheExports, of) || slices.ContainsFunc(s.CacheExports, must) {
		return s, nil, false
	}
	s.CacheExports = slices.DeleteFunc(slices.Clone(s.CacheExports), of)
	name := "exporting cache to " + kind
	// What follows the first line is the answer's every header.
	reason, _, _ := strings.Cut(text[m[1]:], "\n")
	return s, &client.SolveStatus{Vertexes: []*client.Vertex{{
		Digest: digest.FromString(name), Name: name, Started: &now, Completed: &now, Error: reason,
	}}}, true
}
