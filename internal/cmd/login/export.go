package login

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/registry"
)

// export has later steps use the directory: by the CI system's own way where it
// has one, else by lines that a shell takes. BUILDX_CONFIG stays what was in
// force, since buildx would else look for its builders below DOCKER_CONFIG.
func (j *job) export(d *login.Directory) error {
	if err := j.env.Output("docker-config", d.Path); err != nil {
		return err
	}
	if d.Path == registry.ConfigDirectory(j.env.Environ, j.env.Dir) && j.env.Environ["DOCKER_CONFIG"] == d.Path {
		return nil // later steps look there already
	}
	buildx := j.buildx()
	if d.Source != "" && j.env.Environ["BUILDX_CONFIG"] == "" {
		buildx = registry.BuildxDirectory(map[string]string{"DOCKER_CONFIG": d.Source}, j.env.Dir)
	}
	var printed []string
	for _, v := range [][2]string{{"BUILDX_CONFIG", buildx}, {"DOCKER_CONFIG", d.Path}} {
		done, err := j.exported(v[0], v[1])
		if err != nil {
			return err
		}
		if !done {
			printed = append(printed, fmt.Sprintf("export %s=%s", v[0], quoted(v[1])))
		}
	}
	if len(printed) == 0 {
		return nil
	}
	fmt.Fprintln(j.env.Stdout, strings.Join(printed, "\n"))
	fmt.Fprintln(j.env.Stderr, `login: programs of this job find the credentials where these variables are set: eval "$(hullwright login ...)" sets them`)
	return nil
}

// exported sets a variable for later steps; false is that the system can't.
func (j *job) exported(name, value string) (bool, error) {
	exporter, ok := j.env.CI.(ci.Exporter)
	if !ok {
		return false, nil
	}
	err := exporter.ExportEnv(name, value)
	var inexpressible *ci.Inexpressible
	if errors.As(err, &inexpressible) {
		return false, nil
	}
	return err == nil, err
}

// quoted is text as one word of a POSIX shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
