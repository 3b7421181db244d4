package ci

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf16"
)

// teamcity is TeamCity. Its service messages are read on standard output only:
// https://www.jetbrains.com/help/teamcity/service-messages.html
type teamcity struct {
	system
	mu    sync.Mutex
	block string // the title of the group that is open
}

func onTeamCity(environ map[string]string) bool { return environ["TEAMCITY_VERSION"] != "" }

func newTeamCity(h Host) Provider { return &teamcity{system: system{name: "teamcity", host: h}} }

// Event reads the build's configuration parameters, from the file that the
// build's properties file names; the environment has little. Whether a request
// comes from a fork is not told, so each is taken for one.
func (t *teamcity) Event(ctx context.Context) (Event, error) {
	p, notices := t.parameters()
	e := Event{
		Name:      "push",
		SHA:       first(t.env("BUILD_VCS_NUMBER"), p["build.vcs.number"]),
		Actor:     p["teamcity.build.triggeredBy.username"],
		JobURL:    first(t.env("BUILD_URL"), teamcityURL(p)),
		RunID:     p["teamcity.build.id"],
		Workspace: p["teamcity.build.checkoutDir"],
		Repository: Repository{
			URL: p["vcsroot.url"],
		},
		Notices: notices,
	}
	branch := p["teamcity.build.branch"]
	if branch == "<default>" {
		branch = p["vcsroot.branch"]
	}
	if err := t.ref(&e, p, branch); err != nil {
		return Event{}, err
	}
	switch {
	case e.Kind == Branch && p["teamcity.build.branch.is_default"] == "true":
		e.Repository.DefaultBranch = e.Branch()
	case e.Request == nil:
		e.Repository.DefaultBranch = shortBranch(p["vcsroot.branch"])
	}
	if strings.HasPrefix(p["teamcity.build.triggeredBy"], "Schedule Trigger") {
		e.Name, e.Kind = "schedule", Schedule
	}
	return t.settle(ctx, e, "BUILD_VCS_NUMBER")
}

// ref sets what is built. A request is known by the Pull Requests feature, or
// by the form of the branch's name.
func (t *teamcity) ref(e *Event, p map[string]string, branch string) error {
	told := p["teamcity.pullRequest.number"]
	for _, prefix := range []string{"refs/", "pull/", "pull-requests/", "merge-requests/"} {
		rest, ok := strings.CutPrefix(branch, prefix)
		if !ok || prefix == "refs/" && refKind(GitRef(branch)) != Request {
			continue
		}
		if prefix == "refs/" {
			_, rest, _ = strings.Cut(rest, "/")
		}
		rest, _, _ = strings.Cut(rest, "/")
		told = first(told, rest)
	}
	if told != "" {
		e.Name = "pull_request"
		return e.onRequest("teamcity.pullRequest.number", told, ChangeRequest{
			Source: p["teamcity.pullRequest.source.branch"], Target: p["teamcity.pullRequest.target.branch"], Fork: true,
		})
	}
	for _, prefix := range []string{"refs/tags/", "tags/"} {
		if tag, ok := strings.CutPrefix(branch, prefix); ok {
			e.Name = "tag"
			e.onTagOrBranch(tag, "")
			return nil
		}
	}
	e.onTagOrBranch("", branch)
	return nil
}

func (t *teamcity) parameters() (map[string]string, []Notice) {
	var notices []Notice
	read := func(path string) map[string]string {
		if path == "" {
			return nil
		}
		p, err := readProperties(within(t.host.Dir, path))
		if err != nil {
			notices = append(notices, Notice{Level: Warning, Message: "build's parameters not used: " + err.Error()})
		}
		return p
	}
	all := map[string]string{}
	build := read(t.env("TEAMCITY_BUILD_PROPERTIES_FILE"))
	for _, p := range []map[string]string{build, read(build["teamcity.configuration.properties.file"])} {
		for k, v := range p {
			all[k] = v
		}
	}
	return all, notices
}

func teamcityURL(p map[string]string) string {
	if p["teamcity.serverUrl"] == "" || p["teamcity.build.id"] == "" {
		return ""
	}
	return strings.TrimRight(p["teamcity.serverUrl"], "/") + "/viewLog.html?buildId=" + p["teamcity.build.id"]
}

// Output sets the parameter env.NAME, an environment variable of the build's
// later steps. Names are in lower case: those in upper case steer programs.
func (t *teamcity) Output(name, value string) error {
	if !shellName.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, shellName)
	}
	if strings.ContainsRune(value, 0) {
		return &Inexpressible{Name: name, Reason: "holds NUL, which an environment variable can't carry"}
	}
	t.message("setParameter", "name", "env."+dotenvKey(name), "value", value)
	return t.alsoDotenv(name, value)
}

// StartGroup opens a block. It goes to standard output, whatever w is.
func (t *teamcity) StartGroup(_ io.Writer, title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.block = Clean(title)
	t.message("blockOpened", "name", t.block)
}

// EndGroup closes it.
func (t *teamcity) EndGroup(io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.message("blockClosed", "name", t.block)
}

// Notice logs a message; a failure becomes a problem of the build.
func (t *teamcity) Notice(n Notice) {
	text := n.placed()
	if n.Title != "" {
		text = n.Title + ": " + text
	}
	switch n.Level {
	case Failure:
		t.message("buildProblem", "description", text)
	case Warning:
		t.message("message", "text", text, "status", "WARNING")
	default:
		t.message("message", "text", text, "status", "NORMAL")
	}
}

// message prints a service message with names and values of attributes in turn.
func (t *teamcity) message(name string, attributes ...string) {
	var b strings.Builder
	b.WriteString("##teamcity[" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		fmt.Fprintf(&b, " %s='%s'", attributes[i], escapeTeamCity(attributes[i+1]))
	}
	b.WriteString("]\n")
	io.WriteString(t.host.Stdout, b.String())
}

// escapeTeamCity escapes a value of a service message.
func escapeTeamCity(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("|n")
		case r == '\r':
			b.WriteString("|r")
		case strings.ContainsRune("|'[]", r):
			b.WriteString("|" + string(r))
		case r < 0x20 || r > 0x7e:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "|0x%04X", unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
