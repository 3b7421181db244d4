package buildpush

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// defaultContext is what context means where nothing is given: where actions
// run the event's commit straight from git, as build-push-action has it, so that no
// checkout is needed; elsewhere the working directory. prHead takes the commit
// that a pull request's author wrote.
func defaultContext(e ci.Event, prHead bool) string {
	commit := e.SHA
	if prHead && e.Request != nil && e.HeadSHA != "" {
		commit = e.HeadSHA
	}
	if !e.Actions() || e.ServerURL == "" || e.Repository.Slug == "" || commit == "" {
		return "."
	}
	return e.ServerURL + "/" + e.Repository.Slug + ".git#" + commit
}

// defaultContextForm is how inputs name the default context; docker's action
// has it as a Handlebars expression, which may hold blanks.
var defaultContextForm = regexp.MustCompile(`\{\{\s*defaultContext\s*\}\}(:?)`)

// fillContext puts the default context in where an address names it. What
// follows a colon is a directory in it, also where it is one itself.
func (j *job) fillContext(address string) string {
	context := defaultContext(j.event, j.options.ContextPRHead)
	return defaultContextForm.ReplaceAllStringFunc(address, func(named string) string {
		switch {
		case !strings.HasSuffix(named, ":"):
			return context
		case context == ".":
			return "./"
		}
		return context + ":"
	})
}

// parseContext finds the build context and its Dockerfile.
func (j *job) parseContext(context.Context) error {
	address := j.options.Context
	if address == "" {
		address = defaultContext(j.event, j.options.ContextPRHead)
	}
	bc, login, err := parseContext(j.fillContext(address), j.options.File, j.env.Dir)
	j.request.Context = bc
	j.login(login)
	return err
}

// parseContext reads a context and its Dockerfile; login is what the address
// says of who asks. dir is the working directory, to which paths are relative.
func parseContext(address, file, dir string) (bc builder.BuildContext, login hostLogin, err error) {
	root := absolute(address, dir)
	switch {
	case address == "-":
		bc = builder.BuildContext{Stdin: true}
	case isDir(root): // first, as docker has it: a directory may be called github.com/owner/repo
		bc = builder.BuildContext{Dir: root}
	case isRemote(address):
		bc.URL, login, err = parseRemote(address)
		if err != nil {
			return bc, login, errdefs.BadInputf("context", 0, "%w", err)
		}
	default:
		return bc, login, noDirectory(root, address)
	}
	return bc, login, placeDockerfile(&bc, file, dir)
}

// placeDockerfile says where the Dockerfile of a context is.
func placeDockerfile(bc *builder.BuildContext, file, dir string) error {
	switch {
	case file == "-" && bc.Stdin:
		return errdefs.BadInputf("file", 0, "standard input can't be both the context and the Dockerfile").
			WithHint("a Dockerfile alone needs context - only; give a tar with the Dockerfile in it, or name a file")
	case file == "-":
		bc.DockerfileStdin, bc.Dockerfile = true, "Dockerfile"
	case isHTTP(file):
		if hasLogin(file) {
			return errdefs.BadInputf("file", 0, "an address with a password; expected one without").
				WithHint("fetch it in a step before, and name the file")
		}
		bc.DockerfileURL, bc.Dockerfile = file, "Dockerfile"
	case bc.Dir == "" && file == "":
		bc.Dockerfile = "Dockerfile"
	case bc.Dir == "" && (bc.Stdin || !filepath.IsAbs(file)):
		bc.Dockerfile = file // in the context itself
	default:
		return localDockerfile(bc, file, dir)
	}
	return nil
}

// localDockerfile finds a Dockerfile on this machine. Its path is relative to
// the working directory, not to the context, as docker build has it.
func localDockerfile(bc *builder.BuildContext, file, dir string) error {
	path := filepath.Join(bc.Dir, "Dockerfile")
	if file != "" {
		path = absolute(file, dir)
	}
	found, err := findDockerfile(path)
	if err != nil {
		shown := path
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			shown = rel
		}
		return errdefs.BadInputf("file", 0, "no Dockerfile at %s", shown).
			WithHint("file is relative to the working directory %s, not to the context", dir)
	}
	bc.DockerfileDir, bc.Dockerfile = filepath.Dir(found), filepath.Base(found)
	return nil
}

func noDirectory(root, address string) error {
	_, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errdefs.BadInputf("context", 0, "no directory %s", address).
			WithHint("context is a directory, or a git address as https://host/owner/repo.git#branch:dir; on CI, check the repository out first")
	case err != nil:
		return errdefs.BadInputf("context", 0, "%w", err)
	}
	return errdefs.BadInputf("context", 0, "%s is a file; expected a directory or a git address", address)
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

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
