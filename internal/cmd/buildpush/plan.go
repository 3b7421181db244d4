package buildpush

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/builder"
)

// printPlan plans for the nodes that there will be; it asks nobody.
func (j *job) printPlan() error {
	plan, err := builder.NewPlan(j.request, nil)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(j.env.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(plan)
}

func (j *job) makePlan(context.Context) error {
	j.request.CacheFrom = j.present(j.request.CacheFrom)
	var err error
	j.plan, err = builder.NewPlan(j.request, j.builder.Nodes)
	return err
}

// present leaves out local caches that are not there yet, as in every first
// run; BuildKit's client would make an empty directory of each.
func (j *job) present(caches []builder.Cache) []builder.Cache {
	var kept []builder.Cache
	for _, c := range caches {
		if src := c.Attrs["src"]; c.Type == "local" {
			if _, err := os.Stat(filepath.Join(src, "index.json")); err != nil {
				fmt.Fprintf(j.env.Stderr, "cache-from: left out, %s holds no cache\n", src)
				continue
			}
		}
		kept = append(kept, c)
	}
	return kept
}
