package metadata

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
)

const wholeHistory = "with actions/checkout give fetch-depth: 0; on GitLab set GIT_DEPTH to 0"

// commitCount is how many commits led to sha. A shallow checkout can't tell.
func commitCount(ctx context.Context, env *cli.Env, sha string) (int, error) {
	shallow, err := git(ctx, env, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return 0, err
	}
	if shallow != "false" {
		return 0, errdefs.New(errdefs.Environment, "{{commit_count}}: the checkout is shallow").WithHint(wholeHistory)
	}
	counted, err := git(ctx, env, "rev-list", "--count", "--end-of-options", sha, "--")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(counted)
}

// gitTags are the names of the repository's tags. Runners fetch none but the
// one that is built, and latest would then move to whatever that is: a checkout
// that has no other is taken only where it is whole.
func gitTags(ctx context.Context, env *cli.Env) ([]string, error) {
	shallow, err := git(ctx, env, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	listed, err := git(ctx, env, "for-each-ref", "--format=%(refname)", "refs/tags/")
	if err != nil {
		return nil, err
	}
	var names []string
	for ref := range strings.FieldsSeq(listed) { // a ref name has no blanks
		names = append(names, strings.TrimPrefix(ref, "refs/tags/"))
	}
	if shallow != "false" && len(names) < 2 {
		return nil, errdefs.New(errdefs.Environment, "guard-latest: the checkout is shallow and has no git tags to compare with").WithHint(wholeHistory)
	}
	return names, nil
}

// gitTimeout is how long one git command may take.
const gitTimeout = 30 * time.Second

// git runs git in the working directory, and gives its output without the last
// line break. Like internal/ci's it obeys neither GIT_* nor what a stranger's
// repository is configured to run.
func git(ctx context.Context, env *cli.Env, args ...string) (string, error) {
	path, err := lookPath("git", env.Environ["PATH"])
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	hardened := []string{"-c", "safe.directory=*", "-c", "core.fsmonitor=", "-c", "protocol.ext.allow=never"}
	cmd := exec.CommandContext(ctx, path, append(hardened, args...)...)
	cmd.Dir, cmd.WaitDelay = env.Dir, time.Second
	cmd.Env = []string{"LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "PATH=" + env.Environ["PATH"], "HOME=" + env.Environ["HOME"]}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if said := ci.Clean(strings.TrimSpace(stderr.String())); said != "" {
			err = errors.New(said)
		}
		return "", errdefs.New(errdefs.Environment, "git %s: %w", args[0], err)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// lookPath finds a program in the absolute directories of path.
func lookPath(program, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", errdefs.New(errdefs.Environment, "%s: not found in PATH", program)
}
