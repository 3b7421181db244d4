package ci

import (
	"context"
	"fmt"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// bitbucket is Bitbucket Pipelines.
type bitbucket struct{ system }

func onBitbucket(environ map[string]string) bool { return environ["BITBUCKET_BUILD_NUMBER"] != "" }

func newBitbucket(h Host) Provider { return bitbucket{system{name: "bitbucket", host: h}} }

// Event reads BITBUCKET_*. The commit is often cut to twelve digits; the
// checkout has it whole.
func (b bitbucket) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      "push",
		SHA:       b.env("BITBUCKET_COMMIT"),
		Actor:     b.env("BITBUCKET_STEP_TRIGGERER_UUID"),
		RunID:     b.env("BITBUCKET_PIPELINE_UUID", "BITBUCKET_BUILD_NUMBER"),
		Workspace: b.env("BITBUCKET_CLONE_DIR"),
		Repository: Repository{
			Slug: b.env("BITBUCKET_REPO_FULL_NAME"),
			URL:  strings.Replace(b.env("BITBUCKET_GIT_HTTP_ORIGIN"), "http://bitbucket.org/", "https://bitbucket.org/", 1),
		},
	}
	if e.Repository.Slug != "" {
		e.JobURL = "https://bitbucket.org/" + e.Repository.Slug + "/pipelines/results/" + b.env("BITBUCKET_BUILD_NUMBER")
	}
	e.onTagOrBranch(b.env("BITBUCKET_TAG"), b.env("BITBUCKET_BRANCH"))
	if e.Kind == Tag {
		e.Name = "tag"
	}
	if told := b.env("BITBUCKET_PR_ID"); told != "" {
		e.Name = "pull_request"
		// Requests from forks run no pipelines in the repository they go to:
		// https://support.atlassian.com/bitbucket-cloud/docs/pipeline-start-conditions/
		if err := e.onRequest("BITBUCKET_PR_ID", told, ChangeRequest{
			Source: b.env("BITBUCKET_BRANCH"), Target: b.env("BITBUCKET_PR_DESTINATION_BRANCH"),
		}); err != nil {
			return Event{}, err
		}
	}
	return b.settle(ctx, e, "BITBUCKET_COMMIT")
}

// Output writes KEY=value lines: to the file whose variables the step's
// output-variables hand on, else to hullwright.env in the working directory,
// for artifacts.
func (b bitbucket) Output(name, value string) error {
	path := b.env("BITBUCKET_PIPELINES_VARIABLES_PATH")
	if path == "" {
		return dotenv{path: within(b.host.Dir, first(b.host.DotenvFile, "hullwright.env"))}.set(name, value)
	}
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	line, reason := dotenvLine(name, value)
	if reason != "" {
		return &Inexpressible{Name: name, Reason: reason}
	}
	if err := appendFile(path, line); err != nil { // the runner's own file: it is not replaced
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err)
	}
	return b.alsoDotenv(name, value)
}
