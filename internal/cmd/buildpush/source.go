package buildpush

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseSource reads whether labels say which revision the context is.
func (j *job) parseSource(context.Context) (err error) {
	j.gitLabels, err = parseGitLabels(j.options.GitLabels)
	return err
}

// describeSource says which revision a local context is, in the provenance and,
// on request, in labels. A checkout speaks for itself; of a directory that is
// none any more, as in an image of the sources, the event tells.
func (j *job) describeSource(ctx context.Context) {
	r := &j.request
	if r.Context.Dir == "" || !j.gitLabels && !j.options.GitInfo {
		return // of a git context BuildKit knows it
	}
	vcs := builder.VCS{Source: j.event.Repository.URL, Revision: j.event.SHA}
	host := j.gitHost()
	host.Dir = r.Context.Dir
	if checkout, err := ci.ReadCheckout(ctx, host); err == nil {
		vcs = builder.VCS{Source: checkout.Remote, Revision: checkout.SHA, Root: checkoutRoot(r.Context.Dir)}
		if j.options.GitCheckDirty && ci.IsDirty(ctx, host) {
			vcs.Revision += "-dirty"
		}
	}
	if j.options.GitInfo {
		r.VCS = vcs
	}
	if j.gitLabels {
		j.labelSource(vcs)
	}
}

// labelSource adds the labels that are not given.
func (j *job) labelSource(vcs builder.VCS) {
	r := &j.request
	dockerfile := ""
	if vcs.Root != "" && r.Context.DockerfileDir != "" {
		path := filepath.Join(r.Context.DockerfileDir, r.Context.Dockerfile)
		if rel, err := filepath.Rel(vcs.Root, path); err == nil && filepath.IsLocal(rel) {
			dockerfile = filepath.ToSlash(rel)
		}
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		"org.opencontainers.image.revision":  vcs.Revision,
		"org.opencontainers.image.source":    vcs.Source,
		"com.docker.image.source.entrypoint": dockerfile,
	} {
		if value != "" && r.Labels[key] == "" {
			r.Labels[key] = value
		}
	}
}

// parseGitLabels reads a boolean; full is what docker buildx called true before.
func parseGitLabels(text string) (bool, error) {
	if text == "" || strings.EqualFold(text, "full") {
		return text != "", nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, errdefs.BadInputf("git-labels", 0, "%q is neither true nor false", text)
	}
	return on, nil
}

// checkoutRoot is the directory of the checkout that dir lies in, as dir's own
// path has it.
func checkoutRoot(dir string) string {
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil {
			return root
		}
		if root == filepath.Dir(root) {
			return ""
		}
	}
}
