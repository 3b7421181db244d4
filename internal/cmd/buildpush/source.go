package buildpush

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// describeSource says which revision a local context is, in the provenance and,
// on request, in labels.
func (j *job) describeSource(context.Context) error {
	r := &j.request
	if r.Context.Dir == "" {
		return nil // of a git context BuildKit knows it
	}
	if j.options.GitInfo {
		r.VCS = builder.VCS{Source: j.event.Repository.URL, Revision: j.event.SHA}
	}
	labels, err := parseGitLabels(j.options.GitLabels)
	if err != nil || !labels {
		return err
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		"org.opencontainers.image.revision":  j.event.SHA,
		"org.opencontainers.image.source":    j.event.Repository.URL,
		"com.docker.image.source.entrypoint": pathInCheckout(r.Context.DockerfileDir, r.Context.Dockerfile),
	} {
		if value != "" && r.Labels[key] == "" {
			r.Labels[key] = value
		}
	}
	return nil
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

// pathInCheckout is a file's path in the checkout that holds its directory, with
// slashes; empty where none does.
func pathInCheckout(dir, file string) string {
	if dir == "" {
		return ""
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil {
			rel, err := filepath.Rel(root, filepath.Join(dir, file))
			if err != nil {
				return ""
			}
			return filepath.ToSlash(rel)
		}
		if root == filepath.Dir(root) {
			return ""
		}
	}
}
