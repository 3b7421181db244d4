package ci

import (
	"context"
	"strings"
)

// jenkins is Jenkins: multibranch jobs, and others with the git, ghprb or
// gitlab plugin.
type jenkins struct{ system }

// onJenkins: JENKINS_URL is set only where an administrator configured it.
func onJenkins(environ map[string]string) bool {
	return (environ["JENKINS_URL"] != "" || environ["JENKINS_HOME"] != "") && environ["BUILD_ID"] != ""
}

func newJenkins(h Host) Provider { return jenkins{system{name: "jenkins", host: h}} }

// Event reads what the branch API, the git plugin and the two request plugins
// set. GIT_URL may hold credentials; they are dropped.
func (j jenkins) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:       "push",
		SHA:        j.env("GIT_COMMIT"),
		Actor:      j.env("CHANGE_AUTHOR", "ghprbPullAuthorLogin", "gitlabUserUsername", "BUILD_USER_ID"),
		JobURL:     j.env("BUILD_URL", "RUN_DISPLAY_URL"),
		RunID:      j.env("BUILD_TAG", "BUILD_ID"),
		Workspace:  j.env("WORKSPACE"),
		Repository: Repository{URL: j.env("GIT_URL", "GIT_URL_1", "gitlabTargetRepoHttpUrl")},
	}
	if err := j.ref(&e); err != nil {
		return Event{}, err
	}
	if j.isTrue("BRANCH_IS_PRIMARY") {
		e.Repository.DefaultBranch = e.Branch()
	}
	if j.env("BUILD_CAUSE") == "TIMERTRIGGER" || j.isTrue("BUILD_CAUSE_TIMERTRIGGER") { // envinject plugin
		e.Name, e.Kind = "schedule", Schedule
	}
	return j.settle(ctx, e, "GIT_COMMIT")
}

// ref sets what is built. In a multibranch job BRANCH_NAME is the job's name:
// PR-42 for a request, the tag's name for a tag.
func (j jenkins) ref(e *Event) error {
	switch {
	case j.env("CHANGE_ID") != "":
		e.Name = "pull_request"
		return e.onRequest("CHANGE_ID", j.env("CHANGE_ID"), ChangeRequest{
			Source: j.env("CHANGE_BRANCH"), Target: j.env("CHANGE_TARGET"), Fork: j.env("CHANGE_FORK") != "",
		})
	case j.env("ghprbPullId") != "":
		e.Name, e.HeadSHA = "pull_request", j.env("ghprbActualCommit")
		return e.onRequest("ghprbPullId", j.env("ghprbPullId"), ChangeRequest{
			Source: j.env("ghprbSourceBranch"), Target: j.env("ghprbTargetBranch"),
			Fork: !sameRepository(j.env("ghprbAuthorRepoGitUrl"), j.env("GIT_URL")),
		})
	case j.env("gitlabMergeRequestIid") != "":
		e.Name, e.HeadSHA = "merge_request", j.env("gitlabMergeRequestLastCommit")
		return e.onRequest("gitlabMergeRequestIid", j.env("gitlabMergeRequestIid"), ChangeRequest{
			Source: j.env("gitlabSourceBranch"), Target: j.env("gitlabTargetBranch"),
			Fork: !sameRepository(j.env("gitlabSourceRepoHttpUrl"), j.env("gitlabTargetRepoHttpUrl")),
		})
	}
	tag, branch := j.env("TAG_NAME"), j.env("BRANCH_NAME")
	if tag == "" && branch == "" {
		tag, branch = j.gitPlugin()
	}
	if e.onTagOrBranch(tag, branch); e.Kind == Tag {
		e.Name = "tag"
	}
	return nil
}

// gitPlugin tells tag or branch of a job without branch API: GIT_BRANCH is
// "origin/main", or what the job's configuration spells it.
func (j jenkins) gitPlugin() (tag, branch string) {
	name := j.env("GIT_LOCAL_BRANCH", "GIT_BRANCH", "gitlabBranch")
	for _, prefix := range []string{"refs/remotes/", "remotes/", "origin/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	for _, prefix := range []string{"refs/tags/", "tags/"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest, ""
		}
	}
	if name == "detached" || name == "HEAD" {
		return "", ""
	}
	return "", name
}

// Output writes hullwright.properties in the working directory, for
// readProperties of the Pipeline Utility Steps plugin.
func (j jenkins) Output(name, value string) error {
	if err := (propertiesFile{path: within(j.host.Dir, "hullwright.properties")}).set(name, value); err != nil {
		return err
	}
	return j.alsoDotenv(name, value)
}
