package buildpush

import (
	"context"
	"path/filepath"
)

// answer prints what the frontend was asked for.
func (j *job) answer(context.Context) error {
	call := j.request.Call
	if call.Method == "" {
		return nil
	}
	return call.Print(j.env.Stdout, j.result, j.dockerfile())
}

// dockerfile is the Dockerfile's name as a person knows it.
func (j *job) dockerfile() string {
	c := j.request.Context
	switch {
	case c.DockerfileURL != "":
		return c.DockerfileURL
	case c.DockerfileStdin, c.Stdin && c.Dockerfile == "Dockerfile":
		return "stdin"
	case c.DockerfileDir == "":
		return c.Dockerfile // from the root of a git context
	}
	path := filepath.Join(c.DockerfileDir, c.Dockerfile)
	if rel, err := filepath.Rel(j.env.Dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
