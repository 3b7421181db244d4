package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// gitlabFiles pin gitlab-ci-local and all that it depends on, in tools/gitlab.
var gitlabFiles = []string{"package.json", "package-lock.json"}

// gitlabBin is where npm puts its program.
func (l layout) gitlabBin() string { return l.path("gitlab", "node_modules", ".bin") }

func (w *world) gitlabRecipe() (string, error) {
	var parts [][]byte
	for _, name := range gitlabFiles {
		raw, err := os.ReadFile(filepath.Join(w.repo, "tools", "gitlab", name))
		if err != nil {
			return "", err
		}
		parts = append(parts, raw)
	}
	return recipeOf(parts...), nil
}

func gitlabReady(_ context.Context, w *world) (string, bool) {
	recipe, err := w.gitlabRecipe()
	if err != nil {
		return err.Error(), false
	}
	program := filepath.Join(w.gitlabBin(), "gitlab-ci-local")
	if _, err := os.Stat(program); err != nil || !w.stamped("gitlab", recipe) {
		return "not installed, or another version", false
	}
	return program, true
}

func gitlabUp(ctx context.Context, w *world) error {
	recipe, err := w.gitlabRecipe()
	if err != nil {
		return err
	}
	for _, name := range gitlabFiles {
		raw, err := os.ReadFile(filepath.Join(w.repo, "tools", "gitlab", name))
		if err != nil {
			return err
		}
		if err := writeFile(w.path("gitlab", name), raw, 0o644); err != nil {
			return err
		}
	}
	c := w.cmd(ctx, nil, "npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--no-progress")
	c.Dir = w.path("gitlab")
	if _, err := w.run(c); err != nil {
		return fmt.Errorf("install gitlab-ci-local: %w", err)
	}
	return w.stamp("gitlab", recipe)
}
