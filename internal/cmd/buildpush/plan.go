package buildpush

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
)

// printPlan plans for the nodes that there will be; it asks nobody.
func (j *job) printPlan() error {
	plan, err := builder.NewPlan(j.request, nil)
	if err != nil {
		return err
	}
	out := ci.NewRedactor(j.env.Stdout)
	for _, value := range j.hidden {
		out.Redact(value)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plan); err != nil {
		return err
	}
	_, err = out.Write(inertJSON(b.Bytes()))
	return errors.Join(err, out.Flush())
}

// inertJSON is the same JSON without what a CI system obeys in the middle of a
// line: a build argument may be a stranger's branch.
func inertJSON(raw []byte) []byte {
	return bytes.ReplaceAll(raw, []byte("##"), []byte(`#\u0023`))
}

func (j *job) makePlan(context.Context) error {
	var err error
	j.plan, err = builder.NewPlan(j.request, j.builder.Nodes)
	told := map[string]bool{}
	for i := range j.plan.Solves {
		s := &j.plan.Solves[i]
		s.CacheImports = j.present(s.CacheImports, told)
	}
	return err
}

// present leaves out local caches that are not there yet, as in every first
// run; BuildKit's client would make an empty directory of each. Each is told
// once, however many nodes were to import it.
func (j *job) present(caches []builder.Cache, told map[string]bool) []builder.Cache {
	var kept []builder.Cache
	for _, c := range caches {
		if src := c.Attrs["src"]; c.Type == "local" {
			if _, err := os.Stat(filepath.Join(src, "index.json")); err != nil {
				if !told[src] {
					fmt.Fprintf(j.env.Stderr, "cache-from: left out, %s holds no cache\n", src)
				}
				told[src] = true
				continue
			}
		}
		kept = append(kept, c)
	}
	return kept
}
