package buildpush

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

const referenceHint = "a reference reads registry/repository:tag, in lower case, as ghcr.io/owner/app:1.4.2; rules, as type=sha, need images"

// parseReferences reads full references, several of which may share a line. A
// repository without a tag means latest, as everywhere; a digest can't be
// written to.
func parseReferences(in string, records input.Records) ([]name.Tag, error) {
	var tags []name.Tag
	var errs []error
	seen := map[string]bool{}
	for _, r := range records {
		for _, field := range r.Fields {
			tag, err := parseReference(field)
			switch {
			case err != nil:
				errs = append(errs, errdefs.BadInputf(in, r.Line, "%w", err).WithHint(referenceHint))
			case !seen[tag.Name()]:
				seen[tag.Name()] = true
				tags = append(tags, tag)
			}
		}
	}
	return tags, errors.Join(errs...)
}

func parseReference(field input.Field) (name.Tag, error) {
	if field.Key != "" {
		return parseTag(field.Key + "=" + field.Value)
	}
	return parseTag(field.Value)
}

func parseTag(text string) (name.Tag, error) {
	if err := checkName(text); err != nil {
		return name.Tag{}, fmt.Errorf("%q is no image reference: %w", text, err)
	}
	tag, err := name.NewTag(text)
	if err != nil {
		return tag, fmt.Errorf("%q is no image reference: %w", text, unwrapName(err))
	}
	return tag, nil
}

// checkName refuses what a registry's client would take for a host and ask the
// network about: a scheme, a port that can't be.
func checkName(text string) error {
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		return fmt.Errorf("it has the scheme %q", scheme)
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return err
	}
	if _, port, ok := strings.Cut(reference.Domain(named), "]:"); ok {
		return checkPort(port)
	}
	if _, port, ok := strings.Cut(reference.Domain(named), ":"); ok && !strings.HasPrefix(reference.Domain(named), "[") {
		return checkPort(port)
	}
	return nil
}

func checkPort(port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

// unwrapName is the reason within a reference's parse error, without the words
// that repeat the reference.
func unwrapName(err error) error {
	var bad *name.ErrBadName
	if errors.As(err, &bad) {
		return errors.New(strings.TrimPrefix(bad.Error(), "could not parse reference: "))
	}
	return err
}
