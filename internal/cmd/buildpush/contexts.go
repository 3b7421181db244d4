package buildpush

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseContexts reads the named contexts.
func (j *job) parseContexts(context.Context) error {
	named := map[string]builder.NamedContext{}
	var errs []error
	for i, line := range j.options.BuildContexts {
		name, address, err := splitContext(j.fillContext(line))
		var c builder.NamedContext
		if err == nil {
			c, err = j.parseNamedContext(address)
		}
		if err != nil {
			errs = append(errs, at("build-contexts", i+1, err))
			continue
		}
		named[name] = c
	}
	if len(named) > 0 {
		j.request.Named = named
	}
	return errors.Join(errs...)
}

// splitContext gives a context's name as a Dockerfile writes it: an image's
// familiar name, without the tag latest.
func splitContext(line string) (name, address string, err error) {
	name, address, ok := strings.Cut(line, "=")
	if !ok || address == "" {
		plain, _ := takeLogin(line)
		return "", "", fmt.Errorf("%q is no context; expected name=value", plain)
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", fmt.Errorf("%q is no name of a context: %w", name, err)
	}
	return strings.TrimSuffix(reference.FamiliarString(ref), ":latest"), address, nil
}

func (j *job) parseNamedContext(address string) (builder.NamedContext, error) {
	kind, rest, _ := strings.Cut(address, ":")
	switch {
	case kind == "target":
		return builder.NamedContext{}, errdefs.New(errdefs.BadInput, "%q is a target of a bake file, and there is none here", rest).
			WithHint("name a directory, an image or an address here")
	case strings.HasPrefix(address, "docker-image://"):
		ref := strings.TrimPrefix(address, "docker-image://")
		if _, err := reference.ParseNormalizedNamed(ref); err != nil {
			return builder.NamedContext{}, fmt.Errorf("%q is no image reference: %w", ref, err)
		}
		return builder.NamedContext{Image: ref}, nil
	case strings.HasPrefix(address, "oci-layout://"):
		layout, err := parseLayout(strings.TrimPrefix(address, "oci-layout://"), j.env.Dir)
		return builder.NamedContext{Layout: layout}, err
	case isRemote(address) && !isDir(absolute(address, j.env.Dir)):
		plain, login, err := parseRemote(address)
		j.login(login)
		return builder.NamedContext{URL: plain}, err
	}
	dir := absolute(address, j.env.Dir)
	if !isDir(dir) {
		return builder.NamedContext{}, errdefs.New(errdefs.BadInput, "no directory %s", address).
			WithHint("a directory, a git or http address, docker-image://REFERENCE or oci-layout://DIR")
	}
	return builder.NamedContext{Dir: dir}, nil
}

var layoutTag = regexp.MustCompile(`:(` + reference.TagRegexp.String() + `)$`)

// parseLayout reads DIR[:TAG][@DIGEST], of which a part that is no tag or no
// digest belongs to the directory.
func parseLayout(text, dir string) (builder.OCILayout, error) {
	var l builder.OCILayout
	if i := strings.LastIndex(text, "@"); i >= 0 && reference.DigestRegexp.MatchString(text[i+1:]) {
		d, err := digest.Parse(text[i+1:])
		if err != nil {
			return l, fmt.Errorf("%q is no digest: %w", text[i+1:], err)
		}
		text, l.Digest = text[:i], d.String()
	}
	if m := layoutTag.FindStringSubmatch(text); m != nil {
		text, l.Tag = strings.TrimSuffix(text, m[0]), m[1]
	}
	l.Dir = absolute(text, dir)
	if !isDir(l.Dir) {
		return l, fmt.Errorf("no directory %s", text)
	}
	return l, nil
}

// at gives a fault its place.
func at(in string, line int, err error) error {
	fault, ok := err.(*errdefs.Error)
	if !ok {
		return errdefs.BadInputf(in, line, "%w", err)
	}
	placed := *fault
	placed.Input, placed.Line = in, line
	return &placed
}
