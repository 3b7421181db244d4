package buildpush

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// parsePush reads the input push. auto is what the command does unasked.
func parsePush(push string, auto bool) (bool, error) {
	if push == "auto" {
		return auto, nil
	}
	b, err := strconv.ParseBool(push)
	if err != nil {
		return false, errdefs.BadInputf("push", 0, "%q is no boolean", push).WithHint("one of true, false, auto")
	}
	return b, nil
}

// settleOutputs brings push, outputs, load and tags together: what is pushed,
// where to, and what else becomes of the build.
func (j *job) settleOutputs(context.Context) error {
	r := &j.request
	saidOtherwise := len(j.outputs) > 0 || r.Call.Method != ""
	push, err := parsePush(j.options.Push, len(j.options.Images) > 0 && !saidOtherwise)
	if err != nil {
		return err
	}
	if r.Call.Method != "" {
		return nil // a question leaves nothing behind
	}
	var pushing []builder.Output
	for _, o := range j.outputs {
		switch {
		case o.Type == "cacheonly":
		case o.Type == "image" && (push || isTrue(o.Attrs["push"])):
			pushing = append(pushing, o)
		default:
			r.Outputs = append(r.Outputs, o)
		}
	}
	r.Push = push || len(pushing) > 0
	j.preferOldForm(r.Outputs)
	j.settleAttests()
	if !r.Push {
		return nil
	}
	if err := j.foldPush(pushing); err != nil {
		return err
	}
	if len(r.Tags) == 0 && len(r.Repositories) == 0 {
		return errdefs.BadInputf("tags", 0, "push needs a tag, and there is none").
			WithHint("give tags full references, or images and rules that suit this event; hullwright metadata shows what they give")
	}
	return nil
}

// preferOldForm has attestations stored as older BuildKits do, where that is
// asked for and an output does not say otherwise.
func (j *job) preferOldForm(outputs []builder.Output) {
	if !j.options.NoOCIArtifact {
		return
	}
	j.request.Image = map[string]string{"oci-artifact": "false"}
	for _, o := range outputs {
		if _, said := o.Attrs["oci-artifact"]; !said && (o.Type == "image" || o.Type == "oci" || o.Type == "docker") {
			o.Attrs["oci-artifact"] = "false"
		}
	}
}

// foldPush makes one push of all image outputs that push: hullwright pushes to
// each repository once, whatever the number of outputs and tags.
func (j *job) foldPush(pushing []builder.Output) error {
	if len(pushing) == 0 {
		return nil
	}
	attrs, byDigest := pushAttrs(pushing[0])
	var names []string
	for _, o := range pushing {
		others, digest := pushAttrs(o)
		if !maps.Equal(attrs, others) || digest != byDigest {
			return errdefs.BadInputf("outputs", 0, "two images are pushed, and their attributes differ").
				WithHint("an image is pushed to all its names alike: give the outputs the same attributes, or build twice")
		}
		if o.Attrs["name"] != "" {
			names = append(names, strings.Split(o.Attrs["name"], ",")...)
		}
	}
	if len(attrs) > 0 {
		image := maps.Clone(j.request.Image)
		if image == nil {
			image = map[string]string{}
		}
		maps.Copy(image, attrs)
		j.request.Image = image
	}
	return j.namePush(names, byDigest)
}

// pushAttrs are the attributes of an image that is pushed, without those that
// the push itself is made of.
func pushAttrs(o builder.Output) (attrs map[string]string, byDigest bool) {
	attrs = maps.Clone(o.Attrs)
	for _, key := range []string{"name", "push", "push-by-digest", "name-canonical"} {
		delete(attrs, key)
	}
	return attrs, isTrue(o.Attrs["push-by-digest"])
}

// namePush says where the image goes. Tags count more than an output's name, as
// in docker buildx. By digest, names and tags are repositories.
func (j *job) namePush(names []string, byDigest bool) error {
	r := &j.request
	if len(r.Tags) > 0 && len(names) > 0 {
		fmt.Fprintf(j.env.Stderr, "note: outputs: name=%s is not used, tags name the image\n", strings.Join(names, ","))
		names = nil
	}
	if byDigest {
		return j.pushByDigest(names)
	}
	var errs []error
	for _, n := range names {
		tag, err := parseTag(strings.TrimSpace(n))
		if err != nil {
			errs = append(errs, errdefs.BadInputf("outputs", 0, "name: %w", err).WithHint(referenceHint))
			continue
		}
		r.Tags = append(r.Tags, tag)
	}
	return errors.Join(errs...)
}

// pushByDigest pushes to repositories without writing a tag: a later job makes
// one index of several such images.
func (j *job) pushByDigest(names []string) error {
	r := &j.request
	var errs []error
	for _, tag := range r.Tags {
		if len(j.options.Images) == 0 && strings.HasSuffix(tag.String(), ":"+tag.TagStr()) {
			errs = append(errs, errdefs.BadInputf("tags", 0, "%s has a tag, and outputs push by digest, which writes none", tag).
				WithHint("give the repository alone, %s", strings.TrimSuffix(tag.String(), ":"+tag.TagStr())))
		}
	}
	r.Repositories = r.Destinations()
	r.Tags = nil
	for _, n := range names {
		n = strings.TrimSpace(n)
		err := checkName(n)
		var repo name.Repository
		if err == nil {
			repo, err = name.NewRepository(n)
		}
		if err != nil {
			errs = append(errs, errdefs.BadInputf("outputs", 0, "%q is no repository: %w", n, unwrapName(err)).
				WithHint("push-by-digest needs names without a tag, as name=ghcr.io/owner/app"))
			continue
		}
		r.Repositories = append(r.Repositories, repo)
	}
	r.Repositories = r.Destinations() // each once
	return errors.Join(errs...)
}
