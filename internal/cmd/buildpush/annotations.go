package buildpush

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/platforms"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseLabels reads KEY=value lines; a bare KEY has an empty value.
func parseLabels(lines []string) (map[string]string, error) {
	labels := map[string]string{}
	var errs []error
	for i, line := range lines {
		k, v, _ := strings.Cut(line, "=")
		if k == "" {
			errs = append(errs, errdefs.BadInputf("labels", i+1, "%q has no name; expected KEY=value", line))
			continue
		}
		labels[k] = v
	}
	return labels, errors.Join(errs...)
}

// levelPattern is a place of an annotation, as buildx reads it.
var levelPattern = regexp.MustCompile(`^(manifest|index|manifest-descriptor|index-descriptor)(?:\[([A-Za-z0-9_/-]+)\])?$`)

// parseAnnotations reads [level[,level]:]key=value lines, a level being
// manifest, index, manifest-descriptor or index-descriptor, with a platform in
// brackets or none. Without a level it is manifest.
func parseAnnotations(lines []string) ([]builder.Annotation, error) {
	var annotations []builder.Annotation
	var errs []error
	for i, line := range lines {
		a, err := parseAnnotation(line)
		if err != nil {
			errs = append(errs, errdefs.BadInputf("annotations", i+1, "%w", err))
			continue
		}
		annotations = append(annotations, a)
	}
	return annotations, errors.Join(errs...)
}

func parseAnnotation(line string) (builder.Annotation, error) {
	key, value, ok := strings.Cut(line, "=")
	if !ok || key == "" {
		return builder.Annotation{}, fmt.Errorf("%q is no annotation; expected [level:]key=value", line)
	}
	a := builder.Annotation{Levels: []builder.Level{{Type: "manifest"}}, Key: key, Value: value}
	levels, rest, ok := strings.Cut(key, ":")
	if !ok {
		return a, nil
	}
	a.Key, a.Levels = rest, nil
	for _, l := range strings.Split(levels, ",") {
		level, err := parseLevel(l)
		if err != nil {
			return a, fmt.Errorf("annotation %q: %w", rest, err)
		}
		a.Levels = append(a.Levels, level)
	}
	if a.Key == "" {
		return a, fmt.Errorf("%q has no key; expected [level:]key=value", line)
	}
	return a, nil
}

// parseLevel reads a level; its platform comes in the form that BuildKit
// compares.
func parseLevel(text string) (builder.Level, error) {
	m := levelPattern.FindStringSubmatch(text)
	if m == nil {
		return builder.Level{}, fmt.Errorf("unknown level %q; expected manifest, index, manifest-descriptor or index-descriptor, with [os/arch] or without", text)
	}
	if m[2] == "" {
		return builder.Level{Type: m[1]}, nil
	}
	p, err := platforms.Parse(m[2])
	if err != nil {
		return builder.Level{}, fmt.Errorf("level %q: %w", text, err)
	}
	return builder.Level{Type: m[1], Platform: platforms.Format(p)}, nil
}
