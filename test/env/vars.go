package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// vars are the environment's variables.
func (w *world) vars() (map[string]string, error) {
	registry, err := w.registryDaemon()
	if err != nil {
		return nil, err
	}
	facts := facts{registry: registry.Address, engine: w.engineHost()}
	if registry.Address == "" {
		return nil, errdefs.New(errdefs.Environment, "the environment is not up").WithHint("go run ./test/env up")
	}
	if facts.s3, err = w.store(s3); err != nil {
		return nil, err
	}
	if facts.azure, err = w.store(azure); err != nil {
		return nil, err
	}
	return w.varsOf(facts), nil
}

// facts are what is up.
type facts struct {
	registry, engine string
	s3, azure        store
}

// varsOf leaves out what a part gives that is not up: the demo runs without an
// engine and object stores, tests do not.
func (w *world) varsOf(f facts) map[string]string {
	vars := map[string]string{
		"PATH":                           prefixPath(w.environ["PATH"], w.path("bin"), w.npmBin(gitlabRunner)),
		"DOCKER_CONFIG":                  w.dockerConfig(),
		"BUILDX_CONFIG":                  w.buildxConfig(),
		"HULLWRIGHT_TEST_REGISTRY":       f.registry,
		"HULLWRIGHT_TEST_BUILDKITD_TOML": w.buildkitdConfig(),
	}
	if f.engine != "" {
		vars["DOCKER_HOST"] = f.engine
		vars["HULLWRIGHT_TEST_ENV"] = "1"
	}
	if f.s3.url != "" {
		vars["HULLWRIGHT_TEST_S3"] = f.s3.url
		vars["HULLWRIGHT_TEST_S3_KEY"] = f.s3.key
	}
	if f.azure.url != "" {
		vars["HULLWRIGHT_TEST_AZURE"] = f.azure.url
		vars["HULLWRIGHT_TEST_AZURE_KEY"] = f.azure.key
	}
	return vars
}

// prefixPath puts directories first in a PATH, each once.
func prefixPath(path string, dirs ...string) string {
	rest := slices.DeleteFunc(filepath.SplitList(path), func(d string) bool { return slices.Contains(dirs, d) })
	return strings.Join(append(slices.Clone(dirs), rest...), string(filepath.ListSeparator))
}

// printVars prints the variables for a shell to evaluate.
func printVars(w *world, out io.Writer) error {
	vars, err := w.vars()
	if err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(out, "export %s=%s\n", k, shellQuote(vars[k]))
	}
	return nil
}

// shellQuote makes one word of any text for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// execute becomes a command with the variables, so that signals and the exit
// code are its own. It returns only where it can't.
func execute(w *world, args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return badUsage("exec: no command")
	}
	vars, err := w.vars()
	if err != nil {
		return err
	}
	maps.Copy(w.environ, vars) // and so args[0] is looked up in the new PATH
	program := args[0]
	if !strings.Contains(program, "/") {
		program = w.find(program)
	}
	if program == "" {
		return errdefs.New(errdefs.Environment, "exec: no program %s in PATH", args[0])
	}
	return fmt.Errorf("exec %s: %w", program, syscall.Exec(program, args, mergedEnviron(w.environ)))
}

// mergedEnviron is an environment as exec wants it.
func mergedEnviron(environ map[string]string) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(environ)) {
		list = append(list, k+"="+environ[k])
	}
	return list
}
