package buildpush

import (
	"context"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/ci"
)

// answer prints what the frontend was asked for, and shows what a check found
// where a person looks.
func (j *job) answer(context.Context) error {
	call := j.request.Call
	if call.Method == "" {
		return nil
	}
	findings, err := call.Findings(j.result)
	if err != nil {
		return err
	}
	name, file := j.dockerfile()
	if n, ok := j.env.CI.(ci.Noticer); ok {
		for _, f := range findings {
			n.Notice(notice(f, file))
		}
	}
	return call.Print(j.env.Stdout, j.result, name)
}

func notice(f builder.Finding, file string) ci.Notice {
	n := ci.Notice{Level: ci.Warning, Title: f.Rule, Message: ci.Clean(f.Text), File: file, Line: f.Line}
	if f.URL != "" {
		n.Message += "\nmore at " + ci.Clean(f.URL)
	}
	return n
}

// dockerfile is the Dockerfile's name as a person knows it, and its path from
// the checkout on, empty where it is in none.
func (j *job) dockerfile() (name, file string) {
	c := j.request.Context
	switch {
	case c.DockerfileURL != "":
		return c.DockerfileURL, ""
	case c.DockerfileStdin, c.Stdin && c.Dockerfile == "Dockerfile":
		return "stdin", ""
	case c.DockerfileDir == "":
		return c.Dockerfile, c.Dockerfile // from the root of a git context
	}
	path := filepath.Join(c.DockerfileDir, c.Dockerfile)
	file = pathInCheckout(c.DockerfileDir, c.Dockerfile)
	if rel, err := filepath.Rel(j.env.Dir, path); err == nil && filepath.IsLocal(rel) {
		return rel, file
	}
	return path, file
}
