package meta

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// createdLayout is ISO 8601 to the millisecond.
const createdLayout = "2006-01-02T15:04:05.000Z07:00"

// base are the labels and annotations that every image has. An empty one stays.
func base(f Facts, version string) []Pair {
	const oci = "org.opencontainers.image."
	return []Pair{
		{oci + "title", f.Repository.Name},
		{oci + "description", f.Repository.Description},
		{oci + "url", f.Repository.URL},
		{oci + "source", f.Repository.URL},
		{oci + "version", version},
		{oci + "created", f.Now.UTC().Format(createdLayout)},
		{oci + "revision", f.SHA},
		{oci + "licenses", f.Repository.License},
	}
}

// Label gives the labels for a version, sorted by key.
func (r Rules) Label(f Facts, version string) ([]Pair, error) {
	generated := slices.DeleteFunc(base(f, version), func(p Pair) bool { return slices.Contains(f.ImageLabels, p.Key) })
	return r.pairs(f, generated, r.labels)
}

// Annotate gives the annotations for a version, sorted by key.
func (r Rules) Annotate(f Facts, version string) ([]Pair, error) {
	return r.pairs(f, base(f, version), r.annotations)
}

func (r Rules) pairs(f Facts, pairs []Pair, entries []entry) ([]Pair, error) {
	x := &evaluation{facts: f, rules: r}
	globals := x.expressions()
	var faults []error
	for _, e := range entries {
		text, err := x.render(e.text, globals)
		if err != nil {
			faults = append(faults, wrap(e, 0, err))
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			continue // no pair; dropped there as here
		}
		at := slices.IndexFunc(pairs, func(p Pair) bool { return p.Key == key })
		if at < 0 {
			pairs = append(pairs, Pair{key, value})
			continue
		}
		pairs[at].Value = value
	}
	sortPairs(pairs)
	return pairs, errors.Join(faults...)
}

// sortPairs sorts by key, as people do: a before B, punctuation first.
func sortPairs(pairs []Pair) {
	collator := collate.New(language.Und)
	var buffer collate.Buffer
	keys := make(map[string]string, len(pairs))
	for _, p := range pairs {
		keys[p.Key] = string(collator.KeyFromString(&buffer, p.Key))
		buffer.Reset()
	}
	slices.SortStableFunc(pairs, func(a, b Pair) int { return strings.Compare(keys[a.Key], keys[b.Key]) })
}
