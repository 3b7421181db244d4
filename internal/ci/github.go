package ci

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// summaryCap is the size of a step's summary that the runner takes; it drops a
// larger one whole.
const summaryCap = 1 << 20

// github is GitHub Actions, and act. Gitea's and Forgejo's Actions speak as it
// does, but for what gitea.go says.
type github struct {
	host Host
	name string
}

func onGitHub(environ map[string]string) bool { return environ["GITHUB_ACTIONS"] == "true" }

func newGitHub(h Host) Provider { return &github{host: h, name: "github"} }

func (g *github) Name() string { return g.name }

var shaForm = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Event reads GITHUB_* and the payload. The environment is the runner's own
// word and is believed; the payload may come from anywhere, so what it says of
// commits and numbers is checked.
func (g *github) Event(context.Context) (Event, error) {
	env := g.host.Environ
	e := Event{
		Provider:  g.Name(),
		Name:      env["GITHUB_EVENT_NAME"],
		Ref:       GitRef(env["GITHUB_REF"]),
		SHA:       env["GITHUB_SHA"],
		Actor:     first(env["GITHUB_TRIGGERING_ACTOR"], env["GITHUB_ACTOR"]),
		ServerURL: strings.TrimRight(env["GITHUB_SERVER_URL"], "/"),
		RunID:     env["GITHUB_RUN_ID"],
		Workspace: env["GITHUB_WORKSPACE"],
	}
	if e.SHA != "" && !shaForm.MatchString(e.SHA) {
		return Event{}, errdefs.New(errdefs.BadInput, "GITHUB_SHA %q: not a commit's hash", e.SHA)
	}
	e.readPayload(env["GITHUB_EVENT_PATH"])
	repository, err := g.repository(e)
	if err != nil {
		return Event{}, err
	}
	e.Repository, e.Described = repository, described(e.Payload)
	e.HeadSHA = e.SHA
	g.request(&e)
	e.Kind = g.kind(e)
	e.BaseRef = strings.TrimPrefix(text(e.Payload, "base_ref"), "refs/heads/")
	e.JobURL = g.jobURL(e)
	e.CommitTime, _ = e.CommitTimeAt(e.SHA)
	if err := e.give(env); err != nil {
		return Event{}, err
	}
	return e, nil
}

// readPayload sets Payload. An event that can't be read is no reason to stop:
// the environment tells the most of it, and the notice what is missing.
func (e *Event) readPayload(path string) {
	payload, err := readPayload(path)
	switch {
	case err != nil:
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: fmt.Sprintf("event payload not used: %v", err)})
	case payload == nil && path != "":
		e.Notices = append(e.Notices, Notice{Level: Info, Message: fmt.Sprintf("event payload not used: %s does not exist", path)})
	}
	e.Payload = payload
}

func (g *github) repository(e Event) (Repository, error) {
	payload := func(path ...string) string { return text(e.Payload, append([]string{"repository"}, path...)...) }
	r := Repository{
		Slug:          g.host.Environ["GITHUB_REPOSITORY"],
		Description:   payload("description"),
		License:       payload("license", "spdx_id"),
		DefaultBranch: payload("default_branch"),
		Visibility:    g.visibility(e),
	}
	told := payload("full_name")
	if told == "" && payload("owner", "login") != "" && payload("name") != "" {
		told = payload("owner", "login") + "/" + payload("name")
	}
	if r.Slug == "" {
		r.Slug = told
	} else if told != "" && !strings.EqualFold(told, r.Slug) && !g.renamed(e) {
		return Repository{}, errdefs.New(errdefs.BadInput, "GITHUB_REPOSITORY is %q, but the event payload is of %q", r.Slug, told).
			WithHint("the payload does not belong to this run: check what GITHUB_EVENT_PATH points to")
	}
	r.Name = first(payload("name"), lastSegment(r.Slug))
	r.URL = withoutUser(payload("html_url"))
	if r.URL == "" && e.ServerURL != "" && r.Slug != "" {
		r.URL = e.ServerURL + "/" + r.Slug
	}
	return r, nil
}

// described is whether a payload has the repository whole, as a webhook has it.
// Those of some events have only the name.
func described(payload map[string]any) bool {
	repository, _ := payload["repository"].(map[string]any)
	for _, key := range []string{"name", "description", "html_url", "license", "default_branch"} {
		if _, ok := repository[key]; !ok {
			return false
		}
	}
	return true
}

// renamed says whether environment and payload name one repository by its old
// and its new name, as a run that is started again after a rename sees it.
func (g *github) renamed(e Event) bool {
	told := id(e.Payload, "repository", "id")
	return told != "" && told == g.host.Environ["GITHUB_REPOSITORY_ID"]
}

func (g *github) visibility(e Event) Visibility {
	switch v := Visibility(text(e.Payload, "repository", "visibility")); v {
	case Public, Internal, Private:
		return v
	}
	switch private, ok := value(e.Payload, "repository", "private").(bool); {
	case ok && private:
		return Private
	case ok:
		return Public
	}
	return ""
}

// request sets what only a pull request has.
func (g *github) request(e *Event) {
	if !strings.HasPrefix(e.Name, "pull_request") {
		return
	}
	r := ChangeRequest{
		Source: first(g.host.Environ["GITHUB_HEAD_REF"], text(e.Payload, "pull_request", "head", "ref")),
		Target: first(g.host.Environ["GITHUB_BASE_REF"], text(e.Payload, "pull_request", "base", "ref")),
		Fork:   g.fork(*e),
	}
	told := first(id(e.Payload, "pull_request", "number"), id(e.Payload, "number"), refNumber(e.Ref))
	if told != "" {
		n, err := number(told)
		if err != nil {
			e.Notices = append(e.Notices, Notice{Level: Warning, Message: err.Error()})
		}
		r.Number = n
	}
	e.Request = &r
	if head := text(e.Payload, "pull_request", "head", "sha"); shaForm.MatchString(head) {
		e.HeadSHA = head
	} else if head != "" {
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: fmt.Sprintf("event payload: head %q is not a commit's hash", head)})
	}
}

// fork is true too where the payload does not say: code whose origin nobody
// knows (a deleted fork has a null repository) is not to be trusted.
func (g *github) fork(e Event) bool {
	head, base := id(e.Payload, "pull_request", "head", "repo", "id"), id(e.Payload, "pull_request", "base", "repo", "id")
	if head != "" && base != "" {
		return head != base
	}
	from := text(e.Payload, "pull_request", "head", "repo", "full_name")
	return from == "" || !strings.EqualFold(from, g.host.Environ["GITHUB_REPOSITORY"])
}

func (g *github) kind(e Event) Kind {
	switch {
	case e.Name == "schedule":
		return Schedule
	case e.Name == "merge_group":
		return MergeQueue
	case e.Request != nil:
		return Request
	}
	return refKind(e.Ref)
}

func (g *github) jobURL(e Event) string {
	if e.ServerURL == "" || e.Repository.Slug == "" || e.RunID == "" {
		return ""
	}
	u := e.ServerURL + "/" + e.Repository.Slug + "/actions/runs/" + e.RunID
	if attempt := g.host.Environ["GITHUB_RUN_ATTEMPT"]; attempt != "" {
		u += "/attempts/" + attempt
	}
	return u
}

// Output appends to GITHUB_OUTPUT, and writes to the dotenv file where one is
// named. Without that file the value is printed and
// an errdefs.Environment returned: whoever asked for an output must not be
// told that all is well.
func (g *github) Output(name, value string) error {
	if err := g.fileCommand("GITHUB_OUTPUT", name, value); err != nil {
		if outputKey.MatchString(name) {
			io.WriteString(g.host.Stdout, printedOutput(name, value))
		}
		return err
	}
	if g.host.DotenvFile == "" {
		return nil
	}
	return dotenv{path: within(g.host.Dir, g.host.DotenvFile)}.set(name, value)
}

// SaveState appends to GITHUB_STATE.
func (g *github) SaveState(name, value string) error {
	return g.fileCommand("GITHUB_STATE", name, value)
}

// ExportEnv appends to GITHUB_ENV.
func (g *github) ExportEnv(name, value string) error {
	if !exportable(name) {
		return fmt.Errorf("environment variable %q: not one that hullwright exports", name)
	}
	if g.host.Environ["GITHUB_ENV"] == "" {
		return &Inexpressible{Name: name, Reason: "GITHUB_ENV is not set"}
	}
	return g.fileCommand("GITHUB_ENV", name, value)
}

func (g *github) fileCommand(variable, name, value string) error {
	entry, err := fileCommand(name, value)
	if err != nil {
		return err
	}
	path := g.host.Environ[variable]
	if path == "" { // Gitea and Forgejo may have names of their own beside
		for _, forge := range []string{"GITEA_", "FORGEJO_"} {
			path = first(path, g.host.Environ[strings.Replace(variable, "GITHUB_", forge, 1)])
		}
	}
	if path == "" {
		return errdefs.New(errdefs.Environment, "output %s: %s is not set", name, variable).
			WithHint("off GitHub, give --provider git")
	}
	if err := appendFile(path, entry); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err)
	}
	return nil
}

// Mask registers each line with the runner. The command's own line is not
// shown in the log.
func (g *github) Mask(value string) {
	g.host.redact(value)
	for _, line := range maskLines(value) {
		g.host.maskCommand("::add-mask::" + escapeData(line) + "\n")
	}
}

// StartGroup folds what follows.
func (g *github) StartGroup(w io.Writer, title string) {
	fmt.Fprintf(w, "::group::%s\n", escapeData(Clean(title)))
}

// EndGroup ends the fold.
func (g *github) EndGroup(w io.Writer) { io.WriteString(w, "::endgroup::\n") }

// Notice marks a line of code, or the run.
func (g *github) Notice(n Notice) {
	var properties []string
	add := func(key, value string) {
		if value != "" {
			properties = append(properties, key+"="+escapeProperty(value))
		}
	}
	add("title", n.Title)
	add("file", n.File)
	if n.Line > 0 {
		add("line", fmt.Sprint(n.Line))
	}
	command := string(n.Level)
	if len(properties) > 0 {
		command += " " + strings.Join(properties, ",")
	}
	fmt.Fprintf(g.host.Stderr, "::%s::%s\n", command, escapeData(n.Message))
}

// Summary appends to the step's summary. One that is too large is cut at a
// line, since the runner would drop it whole.
func (g *github) Summary(markdown string) error {
	path := g.host.Environ["GITHUB_STEP_SUMMARY"]
	if path == "" {
		return &Inexpressible{Name: "summary", Reason: "GITHUB_STEP_SUMMARY is not set"}
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	markdown = cutLines(markdown, summaryCap-int(min(size, summaryCap)))
	if err := appendFile(path, markdown); err != nil {
		return errdefs.New(errdefs.Environment, "summary: %w", err)
	}
	return nil
}

// Fence stops workflow commands in what is written to it.
func (g *github) Fence(w io.Writer) (io.WriteCloser, error) { return newFence(w) }

// cutLines is markdown, or as many of its lines as room holds, and a last one
// that says so.
func cutLines(markdown string, room int) string {
	const mark = "\n*The summary is cut here: it is larger than what the runner takes.*\n"
	if !strings.HasSuffix(markdown, "\n") {
		markdown += "\n"
	}
	if len(markdown) <= room {
		return markdown
	}
	if room < len(mark) {
		return ""
	}
	head := markdown[:room-len(mark)]
	for len(head) > 0 && !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	return head[:strings.LastIndex(head, "\n")+1] + mark
}

// escapeData escapes a workflow command's text,
// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// escapeProperty escapes a workflow command's property.
func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
