package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// npmTool is a program of npm's. Its folder in tools pins it and all that it
// depends on; it is installed in the folder of the same name in the environment.
type npmTool struct{ name, program string }

var (
	gitlabRunner = npmTool{"gitlab", "gitlab-ci-local"}
	azurite      = npmTool{"azurite", "azurite-blob"}
)

// npmFiles are what pins a program.
var npmFiles = []string{"package.json", "package-lock.json"}

// npmBin is where npm puts a tool's program.
func (l layout) npmBin(t npmTool) string { return l.path(t.name, "node_modules", ".bin") }

// npmPins reads a tool's files, in the order of npmFiles.
func (w *world) npmPins(t npmTool) ([][]byte, error) {
	var pins [][]byte
	for _, name := range npmFiles {
		raw, err := os.ReadFile(filepath.Join(w.repo, "tools", t.name, name))
		if err != nil {
			return nil, err
		}
		pins = append(pins, raw)
	}
	return pins, nil
}

// npmInstalled is whether the program is there as it is pinned.
func (w *world) npmInstalled(t npmTool) (string, bool) {
	pins, err := w.npmPins(t)
	if err != nil {
		return err.Error(), false
	}
	program := filepath.Join(w.npmBin(t), t.program)
	if _, err := os.Stat(program); err != nil || !w.stamped(t.name, recipeOf(pins...)) {
		return "not installed, or another version", false
	}
	return program, true
}

func (w *world) npmInstall(ctx context.Context, t npmTool) error {
	pins, err := w.npmPins(t)
	if err != nil {
		return err
	}
	for i, name := range npmFiles {
		if err := writeFile(w.path(t.name, name), pins[i], 0o644); err != nil {
			return err
		}
	}
	c := w.cmd(ctx, nil, "npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--no-progress")
	c.Dir = w.path(t.name)
	if _, err := w.run(c); err != nil {
		return fmt.Errorf("install %s: %w", t.program, err)
	}
	return w.stamp(t.name, recipeOf(pins...))
}

func gitlabReady(_ context.Context, w *world) (string, bool) { return w.npmInstalled(gitlabRunner) }

func gitlabUp(ctx context.Context, w *world) error { return w.npmInstall(ctx, gitlabRunner) }
