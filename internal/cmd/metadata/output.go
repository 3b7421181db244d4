package metadata

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/meta"
)

// writer gives a result away, in the order in which its parts are made: what
// was given before a later part fails stays given.
type writer struct {
	env     *cli.Env
	options Options
	exports bool
}

func (w *writer) tags(r meta.Result) error {
	names := r.Names()
	return errors.Join(
		w.show("Docker image version", r.Version),
		w.set("version", r.Version),
		w.show("Docker tags", strings.Join(r.References(), "\n")),
		w.set("tags", strings.Join(r.References(), separator(w.options.SepTags))),
		w.set("tag-names", strings.Join(names, separator(w.options.SepTags))),
	)
}

func (w *writer) labels(r meta.Result) error {
	var lines []string
	for _, l := range r.Labels {
		lines = append(lines, l.Key+"="+l.Value)
	}
	return errors.Join(
		w.show("Docker labels", strings.Join(lines, "\n")),
		w.set("labels", strings.Join(lines, separator(w.options.SepLabels))),
	)
}

// rest gives annotations, and everything once more for programs.
func (w *writer) rest(r meta.Result) error {
	annotations := r.LevelAnnotations()
	err := errors.Join(
		w.show("Annotations", strings.Join(annotations, "\n")),
		w.set("annotations", strings.Join(annotations, separator(w.options.SepAnnotations))),
		w.set("json", r.JSON()),
	)
	for _, n := range r.Notes {
		note(w.env, "%s", n)
	}
	if err != nil || !w.wantsFiles() {
		return err
	}
	return w.bakeFiles(r)
}

// wantsFiles: on a person's own machine nobody would ever remove them.
func (w *writer) wantsFiles() bool {
	return w.env.CI.Name() != "git" || w.options.OutputsFile != "" || w.options.DotenvFile != ""
}

// bakeFiles writes the bake files to a directory of their own, which the
// runner removes with its other temporary files.
func (w *writer) bakeFiles(r meta.Result) error {
	parent := w.env.Environ["RUNNER_TEMP"]
	if parent == "" {
		parent = w.env.Environ["TMPDIR"]
	}
	if parent == "" {
		parent = os.TempDir()
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return errdefs.New(errdefs.Environment, "bake files: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "docker-actions-toolkit-")
	if err != nil {
		return errdefs.New(errdefs.Environment, "bake files: %w", err)
	}
	for _, f := range r.BakeFiles(w.options.BakeTarget...) {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
			return errdefs.New(errdefs.Environment, "bake files: %w", err)
		}
		if err := w.set(f.Output, path); err != nil {
			return err
		}
	}
	return nil
}

var notInNames = regexp.MustCompile(`[^A-Z0-9_]`)

// set gives an output, and where the system can also an environment variable.
func (w *writer) set(name, value string) error {
	if err := w.env.Output(name, value); err != nil {
		return err
	}
	exporter, ok := w.env.CI.(ci.Exporter)
	if !w.exports || !ok {
		return nil
	}
	variable := "DOCKER_METADATA_OUTPUT_" + notInNames.ReplaceAllString(strings.ToUpper(name), "_")
	err := exporter.ExportEnv(variable, value)
	var none *ci.Inexpressible
	if errors.As(err, &none) { // a courtesy that nobody asked for
		return nil
	}
	return err
}

// show prints a part to the log, under a fold, where the system has folds.
// Names in it are strangers': they may look like commands.
func (w *writer) show(title, text string) error {
	if _, folds := w.env.CI.(ci.Grouper); !folds {
		return nil
	}
	return w.env.Group(title, func() error {
		log, err := ci.Foreign(w.env.CI, w.env.Stderr)
		if err != nil {
			return err
		}
		_, err = io.WriteString(log, text+"\n")
		return errors.Join(err, log.Close())
	})
}
