package ci

import (
	"context"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const wholeHistory = "with actions/checkout give fetch-depth: 0; on GitLab set GIT_DEPTH to 0"

// CommitCount is how many commits led to sha in the repository in the host's
// directory. A shallow checkout can't tell, which is an errdefs.Environment.
func CommitCount(ctx context.Context, h Host, sha string) (int, error) {
	shallow, err := runGit(ctx, h, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return 0, err
	}
	if shallow != "false" {
		return 0, errdefs.New(errdefs.Environment, "{{commit_count}}: the checkout is shallow").WithHint(wholeHistory)
	}
	counted, err := runGit(ctx, h, "rev-list", "--count", "--end-of-options", sha, "--")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(counted)
}

// GitTags are the names of the tags of the repository in the host's directory.
// Runners fetch none but the
// one that is built, and latest would then move to whatever that is: a checkout
// that has no other is taken only where it is whole.
func GitTags(ctx context.Context, h Host) ([]string, error) {
	shallow, err := runGit(ctx, h, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	listed, err := runGit(ctx, h, "for-each-ref", "--format=%(refname)", "refs/tags/")
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
