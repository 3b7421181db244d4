package ci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// git is a repository without a CI system: a laptop, or a system that is not
// known.
type git struct{ host Host }

func newGit(h Host) Provider { return &git{host: h} }

func (g *git) Name() string { return "git" }

// Event asks the repository in the working directory. A detached HEAD that no
// name leads to has no ref; it is not called "HEAD".
func (g *git) Event(ctx context.Context) (Event, error) {
	e := Event{Provider: g.Name(), Name: "local", Workspace: g.host.Dir}
	var head GitHead
	var err error
	var wg sync.WaitGroup // each question is a process, of a few milliseconds
	wg.Go(func() { e.Repository = g.repository(ctx) })
	wg.Go(func() { head, err = Head(ctx, g.host) })
	wg.Wait()
	var unnamed *unnamedHead
	if err != nil && !errors.As(err, &unnamed) && g.host.Environ["HULLWRIGHT_SHA"] == "" {
		return Event{}, err
	}
	e.Ref, e.SHA, e.HeadSHA, e.CommitTime = head.Ref, head.SHA, head.SHA, head.CommitTime
	if unnamed != nil {
		e.Notices = append(e.Notices, Notice{Level: Warning, Message: unnamed.Error()})
	}
	e.Kind = refKind(e.Ref)
	if n := refNumber(e.Ref); n != "" {
		e.Request = &ChangeRequest{Fork: true} // no telling whose it is
		if e.Request.Number, err = number(n); err != nil {
			return Event{}, errdefs.New(errdefs.BadInput, "%s: %w", e.Ref, err)
		}
	}
	if u, _, ok := strings.Cut(strings.TrimPrefix(e.Repository.URL, "https://"), "/"); ok {
		e.ServerURL = "https://" + u
	}
	if err := e.give(g.host.Environ); err != nil {
		return Event{}, err
	}
	return e, nil
}

// repository is what the remote origin tells. A repository without one is
// called as its directory.
func (g *git) repository(ctx context.Context) Repository {
	var r Repository
	var origin, top, head string // empty where git does not know
	ask := func(answer *string, args ...string) func() {
		return func() {
			if text, err := runGit(ctx, g.host, args...); err == nil {
				*answer = text
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(ask(&origin, "remote", "get-url", "origin"))
	wg.Go(ask(&top, "rev-parse", "--show-toplevel"))
	wg.Go(ask(&head, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"))
	wg.Wait()
	if origin != "" {
		r.URL = withoutUser(origin)
	}
	if _, path, ok := strings.Cut(strings.TrimPrefix(r.URL, "https://"), "/"); ok && strings.HasPrefix(r.URL, "http") {
		r.Slug = path
	}
	if top != "" {
		r.Name = filepath.Base(top)
	}
	if r.Slug != "" {
		r.Name = lastSegment(r.Slug)
	}
	if head != "" {
		r.DefaultBranch = strings.TrimPrefix(head, "refs/remotes/origin/")
	}
	return r
}

// Output writes to the dotenv file where one is named. Else it prints the
// value, each line as NAME=LINE.
func (g *git) Output(name, value string) error {
	if g.host.DotenvFile != "" {
		return dotenv{path: within(g.host.Dir, g.host.DotenvFile)}.set(name, value)
	}
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	_, err := io.WriteString(g.host.Stdout, printedOutput(name, value))
	return err
}

// Mask tells the host's streams, where those hide secrets themselves.
func (g *git) Mask(value string) { g.host.redact(value) }

// printedOutput is an output for people and for sed. Every line has the name
// in front, so that no value looks like another output.
func printedOutput(name, value string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(Clean(value), "\n") {
		fmt.Fprintf(&b, "%s=%s\n", name, line)
	}
	return b.String()
}

// GitHead is the commit that a repository has checked out.
type GitHead struct {
	Ref        GitRef // empty where no name leads to it
	SHA        string
	CommitTime time.Time
}

// unnamedHead is a detached HEAD of which no ref could be told. What is known
// of it comes with the error.
type unnamedHead struct{ reason string }

func (e *unnamedHead) Error() string { return e.reason }

// Head reads the repository in the host's directory: the branch that HEAD is
// on, or the tag, request or branch that a detached HEAD came from. Errors are
// errdefs.Environment, with git's own words.
func Head(ctx context.Context, h Host) (GitHead, error) {
	var shown, branch string
	var err, detached error
	var wg sync.WaitGroup
	wg.Go(func() { shown, err = runGit(ctx, h, "show", "--quiet", "--format=%H%n%cI%n%D", "HEAD", "--") })
	wg.Go(func() { branch, detached = runGit(ctx, h, "symbolic-ref", "--quiet", "HEAD") })
	wg.Wait()
	if err != nil {
		return GitHead{}, err
	}
	lines := append(strings.SplitN(shown, "\n", 3), "", "")
	head := GitHead{SHA: lines[0]}
	if head.CommitTime, err = ParseTime(lines[1]); err != nil {
		return GitHead{}, errdefs.New(errdefs.Environment, "git show: %w", err)
	}
	if detached == nil && branch != "" {
		head.Ref = GitRef(branch)
		return head, nil
	}
	head.Ref, err = detachedRef(ctx, h, strings.TrimSpace(strings.TrimPrefix(lines[2], "grafted, ")))
	return head, err
}

var (
	requestDecoration = regexp.MustCompile(`^pull/\d+/(?:head|merge)$`)
	remoteDecoration  = regexp.MustCompile(`^[^/]+/[^/]+, (.+)$`)
	branchDecoration  = regexp.MustCompile(`^[^/]+/(.+)$`)
)

// detachedRef tells from git's decoration of HEAD ("HEAD, tag: v1, origin/main")
// which ref a CI system checked out.
func detachedRef(ctx context.Context, h Host, decoration string) (GitRef, error) {
	if decoration == "HEAD" {
		return containingRef(ctx, h)
	}
	_, name, ok := strings.Cut(decoration, "HEAD, ")
	if !ok || !strings.HasPrefix(decoration, "HEAD, ") {
		return "", unnamed("Cannot find detached HEAD ref in %q", decoration)
	}
	switch {
	case strings.HasPrefix(name, "tag: "):
		return decoratedTag(ctx, h, name, decoration)
	case requestDecoration.MatchString(name):
		return GitRef("refs/" + name), nil
	}
	if m := remoteDecoration.FindStringSubmatch(name); m != nil {
		return GitRef("refs/heads/" + m[1]), nil
	}
	if m := branchDecoration.FindStringSubmatch(name); m != nil {
		return GitRef("refs/heads/" + m[1]), nil
	}
	return "", unnamed("Unsupported detached HEAD ref in %q", decoration)
}

// decoratedTag is the tag that a decoration begins with. Tags may hold ", ", so
// the repository is asked for the names.
func decoratedTag(ctx context.Context, h Host, name, decoration string) (GitRef, error) {
	refs, err := gitLines(ctx, h, "for-each-ref", "--format=%(refname)", "--points-at", "HEAD", "refs/tags/")
	if err != nil {
		return "", err
	}
	sort.SliceStable(refs, func(i, j int) bool { return len(refs[i]) > len(refs[j]) })
	for _, ref := range refs {
		tag := "tag: " + strings.TrimPrefix(ref, "refs/tags/")
		if name == tag || strings.HasPrefix(name, tag+", ") {
			return GitRef(ref), nil
		}
	}
	if len(refs) == 1 {
		return GitRef(refs[0]), nil
	}
	return "", unnamed("Cannot find detached tag ref in %q", decoration)
}

// containingRef is a branch, or else a tag, that has HEAD in its history.
func containingRef(ctx context.Context, h Host) (GitRef, error) {
	const format, newest = "--format=%(refname)", "--sort=-committerdate"
	refs, err := gitLines(ctx, h, "for-each-ref", format, "--contains", "HEAD", newest, "refs/heads/")
	if err != nil {
		return "", err
	}
	if len(refs) > 0 {
		return GitRef(refs[0]), nil
	}
	if refs, err = gitLines(ctx, h, "for-each-ref", format, "--contains", "HEAD", newest, "refs/remotes/"); err != nil {
		return "", err
	}
	if len(refs) > 0 {
		_, branch, _ := strings.Cut(strings.TrimPrefix(refs[0], "refs/remotes/"), "/")
		return GitRef("refs/heads/" + branch), nil
	}
	tags, err := gitLines(ctx, h, "tag", "--contains", "HEAD")
	if err != nil {
		return "", err
	}
	if len(tags) > 0 {
		return GitRef("refs/tags/" + tags[0]), nil
	}
	return "", unnamed("Cannot infer ref from detached HEAD")
}

func unnamed(format string, args ...any) error {
	return &errdefs.Error{
		Kind: errdefs.Environment,
		Hint: "fetch the branch or tag too; with actions/checkout, fetch-depth: 0 does",
		Err:  &unnamedHead{reason: fmt.Sprintf(format, args...)},
	}
}

// CommitTime asks the repository in the host's directory when sha was
// committed. It is an errdefs.Environment where there is no repository, or one
// that does not have that commit, as a shallow clone.
func CommitTime(ctx context.Context, h Host, sha string) (time.Time, error) {
	if !shaForm.MatchString(sha) {
		return time.Time{}, errdefs.New(errdefs.Environment, "commit %q: not a hash", sha)
	}
	stamp, err := runGit(ctx, h, "show", "--quiet", "--format=%cI", sha, "--")
	if err != nil {
		return time.Time{}, err
	}
	return ParseTime(stamp)
}

func gitLines(ctx context.Context, h Host, args ...string) ([]string, error) {
	out, err := runGit(ctx, h, args...)
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' || r == '\r' }), err
}

// gitTimeout is how long one git command may take.
const gitTimeout = 10 * time.Second

// runGit runs git in the host's directory and gives its output, trimmed. The
// repository may be a stranger's and the environment hostile: git gets neither
// GIT_* nor hooks of fsmonitor, and opens no ext:: transport. The directory may
// belong to another user, as it does in containers.
func runGit(ctx context.Context, h Host, args ...string) (string, error) {
	path, err := lookPath("git", h.Environ["PATH"])
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "%w", err).WithHint("install git, or run where the CI system tells the event")
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	hardened := []string{"-c", "safe.directory=*", "-c", "core.fsmonitor=", "-c", "protocol.ext.allow=never", "-c", "log.showSignature=false"}
	cmd := exec.CommandContext(ctx, path, append(hardened, args...)...)
	cmd.Dir = h.Dir
	cmd.Env = gitEnviron(h.Environ)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if said := Clean(strings.TrimSpace(stderr.String())); said != "" {
			err = errors.New(said)
		}
		fault := errdefs.New(errdefs.Environment, "git %s: %w", args[0], err)
		if strings.Contains(err.Error(), "not a git repository") {
			fault = fault.WithHint("run it in a checkout, or say what is built by HULLWRIGHT_REF and HULLWRIGHT_SHA")
		}
		return "", fault
	}
	return strings.TrimSpace(stdout.String()), nil
}

// gitEnviron is what git is given of the environment: where things are, and no
// word of what to do.
func gitEnviron(environ map[string]string) []string {
	env := []string{"LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_PAGER=cat"}
	for _, key := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SYSTEMROOT", "USERPROFILE"} {
		if v, ok := environ[key]; ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}

// lookPath finds a program in the absolute directories of path: a relative one
// could be the checkout's own.
func lookPath(program, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if file, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: not found in PATH", program)
}
