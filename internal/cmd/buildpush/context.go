package buildpush

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// defaultContext is what context means where nothing is given: where actions
// run the event's commit straight from git, as build-push-action has it, so that no
// checkout is needed; elsewhere the working directory.
func defaultContext(e ci.Event) string {
	if !e.Actions() || e.ServerURL == "" || e.Repository.Slug == "" || e.SHA == "" {
		return "."
	}
	return e.ServerURL + "/" + e.Repository.Slug + ".git#" + e.SHA
}

// parseContext finds the build context and its Dockerfile. dir is the working
// directory, to which paths are relative.
func parseContext(context, file, dir string, e ci.Event) (builder.BuildContext, error) {
	def := defaultContext(e)
	if context == "" {
		context = def
	}
	context = strings.ReplaceAll(context, "{{defaultContext}}", def)
	if _, isGit, err := dfgitutil.ParseGitRef(context); isGit {
		if err != nil {
			return builder.BuildContext{}, errdefs.BadInputf("context", 0, "git address: %w", err)
		}
		return gitContext(context, file), nil
	}
	return localContext(context, file, dir)
}

func gitContext(url, file string) builder.BuildContext {
	switch {
	case file == "":
		return builder.BuildContext{URL: url, Dockerfile: "Dockerfile"}
	case filepath.IsAbs(file):
		return builder.BuildContext{URL: url, DockerfileDir: filepath.Dir(file), Dockerfile: filepath.Base(file)}
	default:
		return builder.BuildContext{URL: url, Dockerfile: file}
	}
}

func localContext(context, file, dir string) (builder.BuildContext, error) {
	root := absolute(context, dir)
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return builder.BuildContext{}, errdefs.BadInputf("context", 0, "no directory %s", context).
			WithHint("context is a directory, or a git address as https://host/owner/repo.git#branch:dir; on CI, check the repository out first")
	case err != nil:
		return builder.BuildContext{}, errdefs.BadInputf("context", 0, "%w", err)
	case !info.IsDir():
		return builder.BuildContext{}, errdefs.BadInputf("context", 0, "%s is a file; expected a directory or a git address", context)
	}
	dockerfile := filepath.Join(root, "Dockerfile")
	if file != "" {
		dockerfile = absolute(file, dir)
	}
	found, err := findDockerfile(dockerfile)
	if err != nil {
		shown := file
		if shown == "" {
			shown = filepath.Join(context, "Dockerfile")
		}
		return builder.BuildContext{}, errdefs.BadInputf("file", 0, "no Dockerfile at %s", shown).
			WithHint("file is relative to the working directory %s, not to the context", dir)
	}
	return builder.BuildContext{Dir: root, DockerfileDir: filepath.Dir(found), Dockerfile: filepath.Base(found)}, nil
}

// findDockerfile is path, or the same with its name in lower case, which docker
// accepts for a plain Dockerfile too.
func findDockerfile(path string) (string, error) {
	if err := isFile(path); err == nil {
		return path, nil
	} else if filepath.Base(path) != "Dockerfile" {
		return "", err
	}
	lower := filepath.Join(filepath.Dir(path), "dockerfile")
	return lower, isFile(lower)
}

func isFile(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return errors.New("is a directory")
	}
	return err
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
