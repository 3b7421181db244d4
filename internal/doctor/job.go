package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// elsewhere are the inputs whose faults other checks tell.
var elsewhere = []string{"file", "context"}

func checkInputs(ctx context.Context, r *run) []Finding {
	var list []Finding
	for _, fault := range r.faults(func(input string) bool { return !slices.Contains(elsewhere, input) }) {
		if input := inputOf(fault); input != "" || r.Event.Provider != "" { // else it is the event's
			list = append(list, because(idOfInput(fault), "", fault))
		}
	}
	for _, agent := range r.Agents {
		list = append(list, r.checkAgent(ctx, agent)...)
	}
	if len(list) == 0 {
		list = append(list, ok("", "what build-push is given is sound"))
	}
	return list
}

// faults are those of inputs that match.
func (r *run) faults(match func(input string) bool) []error {
	var list []error
	for _, fault := range errdefs.List(errors.Join(r.Faults...)) {
		if match(inputOf(fault)) {
			list = append(list, fault)
		}
	}
	return list
}

// inputOf is the name of the input that an error is about.
func inputOf(fault error) string {
	var e *errdefs.Error
	if errors.As(fault, &e) {
		return strings.TrimPrefix(e.Input, "--")
	}
	return ""
}

func idOfInput(fault error) string {
	switch inputOf(fault) {
	case "secrets", "secret-envs", "secret-files":
		return "secret-missing"
	case "ssh":
		return "ssh-agent-missing"
	case "registry-auth":
		return "login-failed"
	}
	return "input-bad"
}

// checkAgent finds a socket at which nobody listens. Keys were looked for when
// the input was read.
func (r *run) checkAgent(ctx context.Context, paths []string) []Finding {
	if len(paths) == 0 {
		paths = []string{r.Environ["SSH_AUTH_SOCK"]}
	}
	var list []Finding
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.Mode()&os.ModeSocket == 0 {
			continue // a key
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			list = append(list, find("ssh-agent-missing", path, "no agent listens there: %v", err))
			continue
		}
		conn.Close()
	}
	return list
}

func checkCI(_ context.Context, r *run) []Finding {
	e := r.Event
	var list []Finding
	for _, fault := range r.faults(func(input string) bool { return input == "" }) {
		if e.Provider == "" {
			list = append(list, because("event-unreadable", r.CI, fault))
		}
	}
	if r.Untrusted && e.Request != nil {
		list = append(list, find("fork", r.CI, "request %d comes from a fork: it is built, and neither pushed nor its cache exported", e.Request.Number))
	}
	if e.Actions() {
		list = append(list, r.checkActions()...)
	}
	if len(list) == 0 {
		if e.Provider == "git" {
			return leftOut("no CI system runs this")
		}
		list = append(list, ok(r.CI, "event %s", e.Name))
	}
	return list
}

// checkActions is about what GitHub's runner, and its kin, hand to a job. What
// rights the job's token has it does not tell: the registries do.
func (r *run) checkActions() []Finding {
	var list []Finding
	if r.Event.Actor == "dependabot[bot]" && len(r.Push) > 0 && strings.HasPrefix(r.Event.Name, "pull_request") {
		list = append(list, find("token-of-bot", r.CI, "%s runs %s with a token that can only read, unless the workflow says otherwise", r.Event.Actor, r.Event.Name))
	}
	if r.Environ["ACTIONS_ID_TOKEN_REQUEST_URL"] == "" {
		list = append(list, find("no-id-token", r.CI, "the job may get no identity token (ACTIONS_ID_TOKEN_REQUEST_URL is not set)"))
	}
	usesActions := slices.ContainsFunc(r.Caches, func(c Cache) bool { return c.Type == "gha" })
	url := r.Environ["ACTIONS_RESULTS_URL"] + r.Environ["ACTIONS_CACHE_URL"]
	if usesActions && (r.Environ["ACTIONS_RUNTIME_TOKEN"] == "" || url == "") {
		list = append(list, find("no-actions-cache", r.CI, "the cache of type gha has no token here"))
	}
	return list
}

func checkGit(ctx context.Context, r *run) []Finding {
	dir := r.Source.Dir
	if dir == "" {
		dir = r.Dir
	}
	w, err := ci.ReadWorktree(ctx, ci.Host{Environ: r.Environ, Dir: dir})
	if err != nil {
		return []Finding{find("git-missing", dir, "%v", err)}
	}
	var list []Finding
	switch {
	case w.Shallow && r.Rules:
		list = append(list, find("git-shallow", dir, "the history is cut off, with %d git tags", w.Tags))
	case w.Shallow:
		list = append(list, find("git-shallow-unused", dir, "the history is cut off"))
	}
	switch {
	case w.Changes > 0 && r.Source.URL != "":
		list = append(list, find("git-changes-unused", dir, "%d files differ from the commit, and the builder fetches %s", w.Changes, r.Source.URL))
	case w.Changes > 0:
		list = append(list, find("git-changes", dir, "%d files differ from the commit, or git does not know them", w.Changes))
	}
	if w.Detached && r.Rules && r.CI == "git" && r.Event.Ref == "" {
		list = append(list, find("git-unnamed", dir, "HEAD is detached, and no branch or tag leads to it"))
	}
	if len(list) == 0 {
		list = append(list, ok("", "a whole checkout without changes, %d git tags", w.Tags))
	}
	return list
}
