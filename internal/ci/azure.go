package ci

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// azure is Azure Pipelines.
type azure struct{ system }

func onAzure(environ map[string]string) bool { return strings.EqualFold(environ["TF_BUILD"], "true") }

func newAzure(h Host) Provider { return azure{system{name: "azure", host: h}} }

// Event reads BUILD_* and SYSTEM_*.
func (a azure) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      a.env("BUILD_REASON"),
		SHA:       a.env("BUILD_SOURCEVERSION"),
		Actor:     a.env("BUILD_REQUESTEDFOR"),
		JobURL:    a.jobURL(),
		RunID:     a.env("BUILD_BUILDID"),
		Workspace: a.env("BUILD_SOURCESDIRECTORY"),
		Repository: Repository{
			Slug: a.env("BUILD_REPOSITORY_NAME"),
			URL:  a.env("BUILD_REPOSITORY_URI"),
		},
	}
	if project := a.env("SYSTEM_TEAMPROJECT"); a.env("BUILD_REPOSITORY_PROVIDER") == "TfsGit" && project != "" {
		e.Repository.Slug = project + "/" + e.Repository.Slug // the name alone is not unique in Azure Repos
	}
	// BUILD_SOURCEBRANCHNAME is not read: it is only the last part of the name.
	e.Ref = GitRef(a.env("BUILD_SOURCEBRANCH"))
	if told := first(a.env("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"), refNumber(e.Ref)); told != "" {
		if err := e.onRequest("SYSTEM_PULLREQUEST_PULLREQUESTID", told, ChangeRequest{
			Source: a.env("SYSTEM_PULLREQUEST_SOURCEBRANCH"), // long or short
			Target: a.env("SYSTEM_PULLREQUEST_TARGETBRANCH"), // long in Azure Repos, short on GitHub
			Fork:   !strings.EqualFold(a.env("SYSTEM_PULLREQUEST_ISFORK"), "false"),
		}); err != nil {
			return Event{}, err
		}
		e.HeadSHA = a.env("SYSTEM_PULLREQUEST_SOURCECOMMITID")
	}
	if e.Ref != "" && !strings.HasPrefix(string(e.Ref), "refs/") { // TFVC, or a run that another pipeline started
		e.Ref = "refs/heads/" + e.Ref
	}
	if e.Name == "Schedule" {
		e.Kind = Schedule
	}
	return a.settle(ctx, e, "BUILD_SOURCEVERSION")
}

func (a azure) jobURL() string {
	collection, project, id := a.env("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"), a.env("SYSTEM_TEAMPROJECT"), a.env("BUILD_BUILDID")
	if collection == "" || project == "" || id == "" {
		return ""
	}
	return strings.TrimRight(collection, "/") + "/" + url.PathEscape(project) + "/_build/results?buildId=" + url.QueryEscape(id)
}

// Output sets an output variable of the step. It carries every value. As an
// output variable it has the step's name before it, so that no value becomes
// a variable that steers programs.
func (a azure) Output(name, value string) error {
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	a.command("task.setvariable variable="+vsoProperty(dotenvKey(name))+";isOutput=true", value)
	return a.alsoDotenv(name, value)
}

// Mask registers each line with the agent.
func (a azure) Mask(value string) {
	a.host.redact(value)
	for _, line := range maskLines(value) {
		a.host.maskCommand("##vso[task.setsecret]" + vsoData(line) + "\n")
	}
}

// StartGroup folds what follows.
func (a azure) StartGroup(w io.Writer, title string) {
	fmt.Fprintf(w, "##[group]%s\n", strings.ReplaceAll(Clean(title), "\n", " "))
}

// EndGroup ends the fold.
func (a azure) EndGroup(w io.Writer) { io.WriteString(w, "##[endgroup]\n") }

// Notice logs an issue of the run; the system knows warnings and errors only.
func (a azure) Notice(n Notice) {
	message := n.Message
	if n.Title != "" {
		message = n.Title + ": " + message
	}
	if n.Level == Info {
		fmt.Fprintf(a.host.Stderr, "%s: %s\n", n.Level, Clean(message))
		return
	}
	command := "task.logissue type=" + string(n.Level)
	if n.File != "" {
		command += ";sourcepath=" + vsoProperty(n.File)
	}
	if n.Line > 0 {
		command += fmt.Sprintf(";linenumber=%d", n.Line)
	}
	a.command(command, message)
}

// Summary uploads a file, shown on the run's page.
func (a azure) Summary(markdown string) error {
	dir := a.env("AGENT_TEMPDIRECTORY")
	if dir == "" {
		return &Inexpressible{Name: "summary", Reason: "AGENT_TEMPDIRECTORY is not set"}
	}
	token, err := randomToken() // a file a summary: it is uploaded when the step ends
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "hullwright-"+token+".md")
	if err := os.WriteFile(path, []byte(markdown), 0o600); err != nil {
		return errdefs.New(errdefs.Environment, "summary: %w", err)
	}
	a.command("task.uploadsummary", path)
	return nil
}

func (a azure) command(command, value string) {
	fmt.Fprintf(a.host.Stderr, "##vso[%s]%s\n", command, vsoData(value))
}

// vsoData escapes a logging command's text,
// https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands.
func vsoData(s string) string {
	return strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// vsoProperty escapes a logging command's property.
func vsoProperty(s string) string {
	return strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A", ";", "%3B", "]", "%5D").Replace(s)
}
