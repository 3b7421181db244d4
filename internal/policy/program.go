package policy

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// programName is that of the program that evaluates policies.
const programName = "hullwright-policy"

// program is the path of the program that evaluates policies.
func (r *Rules) program() (string, error) {
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
			return path, nil
		}
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
