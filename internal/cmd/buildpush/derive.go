package buildpush

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/derive"
	"github.com/hullwright/hullwright/internal/derive/published"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/meta"
)

// derive fills in tags, labels and annotations by metadata's rules.
func (j *job) derive(ctx context.Context) error {
	o := j.options
	rules, err := o.Switches.Rules(meta.Options{
		Images:      o.Images.Entries(),
		Tags:        o.Tags.Entries(),
		Flavor:      o.Flavor.Entries(),
		Labels:      meta.Entries(o.Labels),
		Annotations: meta.Entries(o.Annotations),
	})
	if err != nil {
		return err
	}
	facts, err := o.Switches.Facts(ctx, j.env, j.event, rules, derive.Sources{Token: o.token(), List: published.Tags})
	if err != nil {
		return err
	}
	derived, err := meta.Compute(facts, rules)
	if err != nil {
		return err
	}
	for _, w := range derived.Warnings {
		if err := j.warn("tags", "%s", w); err != nil {
			return err
		}
	}
	j.version = derived.Version
	j.request.Labels = derived.LabelMap()
	j.request.Annotations, err = parseAnnotations(derived.LevelAnnotations())
	if err != nil {
		return err
	}
	j.request.Tags, err = derivedTags(derived)
	return err
}

// derivedTags are the references that the rules gave. The tags are valid by
// themselves, so what is wrong with a reference is its image.
func derivedTags(derived meta.Result) ([]name.Tag, error) {
	var errs []error
	for _, image := range derived.Images {
		err := checkName(image)
		if err == nil {
			_, err = name.NewRepository(image)
		}
		if err != nil {
			errs = append(errs, errdefs.BadInputf("images", 0, "%q is no image name: %w", image, unwrapName(err)).
				WithHint("an image name reads registry/repository, without a tag or a scheme, as ghcr.io/owner/app"))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var tags []name.Tag
	for _, reference := range derived.References() {
		tag, err := name.NewTag(reference)
		if err != nil {
			return nil, errdefs.BadInputf("tags", 0, "%q is no image reference: %w", reference, unwrapName(err))
		}
		tags = append(tags, tag)
	}
	return tags, nil
}
