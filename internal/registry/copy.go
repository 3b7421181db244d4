package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Copy makes repository to hold the index or image with a digest that from
// holds, whole: what to lacks of it is copied, by a mount where both are in one
// registry. It writes no tag. What is there already costs a HEAD.
func (c *Client) Copy(ctx context.Context, from, to name.Repository, digest v1.Hash) error {
	source, err := c.remote(ctx, from, pull)
	if err != nil {
		return err
	}
	target, err := c.remote(ctx, to, push)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("copy %s@%s to %s", from, digest, to)
	desc, err := remote.Get(source.repo.Digest(digest.String()), source.options...)
	if err != nil {
		return explain(what, from.RegistryStr(), "repository:"+from.RepositoryStr()+":"+pull, err)
	}
	ref := target.repo.Digest(digest.String())
	if desc.MediaType.IsIndex() {
		var index v1.ImageIndex
		if index, err = desc.ImageIndex(); err == nil {
			err = remote.WriteIndex(ref, index, target.options...)
		}
	} else {
		var image v1.Image
		if image, err = desc.Image(); err == nil {
			err = remote.Write(ref, image, target.options...)
		}
	}
	return explain(what, to.RegistryStr(), "repository:"+to.RepositoryStr()+":"+push, err)
}

// place is a repository as go-containerregistry's remote package reaches it
// through a session of ours.
type place struct {
	repo    name.Repository
	options []remote.Option
}

// remote opens a session for go-containerregistry. The session logs in and the
// transport below it tries again, so that package's own ways of both are off.
func (c *Client) remote(ctx context.Context, repo name.Repository, actions string) (place, error) {
	s := c.session(repo, actions)
	if err := s.open(ctx); err != nil {
		return place{}, err
	}
	var options []name.Option
	if s.scheme == "http" {
		options = append(options, name.Insecure)
	}
	reached, err := name.NewRepository(repo.Name(), options...)
	if err != nil {
		return place{}, err
	}
	return place{repo: reached, options: []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(s),
		remote.WithJobs(perRepository / 4),
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}}, nil
}
