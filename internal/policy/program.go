package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// programName is that of the program that evaluates policies.
const programName = "hullwright-policy"

// fetchVariable has the command, as JSON, that gets the program beside this one.
// The action sets it where none is there that it vouches for: the program is
// large, and few builds have policies.
const fetchVariable = "HULLWRIGHT_POLICY_FETCH"

// fetchLimit is how long that may take: the action's own limit for all its tries,
// which is five minutes, and a moment.
const fetchLimit = 6 * time.Minute

// program is the path of the program that evaluates policies. It is got first
// where an action knows how, so that none of another release is taken for it.
func (r *Rules) program(ctx context.Context) (string, error) {
	if err := r.fetch(ctx); err != nil {
		return "", err
	}
	if path := r.find(); path != "" {
		return path, nil
	}
	where := "not in PATH"
	if r.opt.Executable != "" {
		where = "neither beside " + r.opt.Executable + " nor in PATH"
	}
	return "", &errdefs.Error{
		Kind: errdefs.Environment, Input: "policy",
		Err:  fmt.Errorf("%s is in force, and %s, the program that evaluates it, is %s", strings.Join(r.Names(), ", "), programName, where),
		Hint: "put the one of the same release there, or go install github.com/hullwright/hullwright/cmd/" + programName + "@latest; disabled=true builds without policies",
	}
}

// fetch runs the command that gets the program, if there is one.
func (r *Rules) fetch(ctx context.Context) error {
	text := r.opt.Environ[fetchVariable]
	if text == "" {
		return nil
	}
	var argv []string
	if err := json.Unmarshal([]byte(text), &argv); err != nil || len(argv) == 0 || !filepath.IsAbs(argv[0]) {
		return errdefs.New(errdefs.Environment, "%s holds no command", fetchVariable)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	for name, value := range r.opt.Environ { // the action's inputs, and proxies
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n"); first != "" {
		err = errors.New(strings.TrimPrefix(first, "hullwright: error: "))
	}
	return &errdefs.Error{
		Kind: errdefs.Environment, Input: "policy",
		Err: fmt.Errorf("%s is in force, and %s, the program that evaluates it, is not to be had: %w", strings.Join(r.Names(), ", "), programName, err),
	}
}

// find looks for the program beside this one and in PATH; empty is that it is
// nowhere.
func (r *Rules) find() string {
	var dirs []string
	if r.opt.Executable != "" {
		dirs = append(dirs, filepath.Dir(r.opt.Executable))
	}
	dirs = append(dirs, filepath.SplitList(r.opt.Environ["PATH"])...)
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue // it would run what a checkout holds
		}
		if path, err := exec.LookPath(filepath.Join(dir, programName)); err == nil {
			return path
		}
	}
	return ""
}

// passed are the variables that the program gets: to reach the services that
// signatures are verified with. The rest stays here: a job's environment is full
// of secrets.
var passed = []string{
	"HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"RUNNER_TRACKING_ID", // GitHub's runner ends what is left of a job by it
}

func (r *Rules) environ() []string {
	env := []string{} // nil would be all of ours
	for _, name := range passed {
		if value, ok := r.opt.Environ[name]; ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
