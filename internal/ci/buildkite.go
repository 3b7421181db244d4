package ci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// buildkite is Buildkite. Its agent's program is how a job speaks to it.
type buildkite struct{ system }

func onBuildkite(environ map[string]string) bool { return environ["BUILDKITE"] == "true" }

func newBuildkite(h Host) Provider { return &buildkite{system{name: "buildkite", host: h}} }

// Event reads BUILDKITE_*. BUILDKITE_COMMIT is "HEAD" where a person starts a
// build without naming one.
func (b *buildkite) Event(ctx context.Context) (Event, error) {
	e := Event{
		Name:      b.env("BUILDKITE_SOURCE"),
		SHA:       b.env("BUILDKITE_COMMIT"),
		Actor:     b.env("BUILDKITE_BUILD_CREATOR", "BUILDKITE_BUILD_AUTHOR"),
		JobURL:    b.env("BUILDKITE_BUILD_URL"),
		RunID:     b.env("BUILDKITE_BUILD_ID"),
		Workspace: b.env("BUILDKITE_BUILD_CHECKOUT_PATH"),
		Repository: Repository{
			URL:           b.env("BUILDKITE_REPO"),
			DefaultBranch: b.env("BUILDKITE_PIPELINE_DEFAULT_BRANCH"),
		},
	}
	if e.JobURL != "" && b.env("BUILDKITE_JOB_ID") != "" {
		e.JobURL += "#" + b.env("BUILDKITE_JOB_ID")
	}
	// On a tag's build BUILDKITE_BRANCH is the tag's name.
	e.onTagOrBranch(b.env("BUILDKITE_TAG"), b.env("BUILDKITE_BRANCH"))
	if err := b.request(&e); err != nil {
		return Event{}, err
	}
	switch {
	case b.env("BUILDKITE_MERGE_QUEUE_BASE_BRANCH") != "":
		e.Kind = MergeQueue
	case e.Name == "schedule":
		e.Kind = Schedule
	}
	return b.settle(ctx, e, "BUILDKITE_COMMIT")
}

func (b *buildkite) request(e *Event) error {
	told := b.env("BUILDKITE_PULL_REQUEST")
	if told == "" || told == "false" {
		return nil
	}
	source := b.env("BUILDKITE_BRANCH")
	fork := !sameRepository(b.env("BUILDKITE_PULL_REQUEST_REPO"), b.env("BUILDKITE_REPO"))
	if fork { // "user:branch"; no branch's name holds a colon
		source = source[strings.LastIndex(source, ":")+1:]
	}
	return e.onRequest("BUILDKITE_PULL_REQUEST", told, ChangeRequest{Source: source, Target: b.env("BUILDKITE_PULL_REQUEST_BASE_BRANCH"), Fork: fork})
}

// metaDataCap is the size of the largest value of meta-data:
// https://buildkite.com/docs/pipelines/configure/build-meta-data
const metaDataCap = 100_000

// Output sets the build's meta-data hullwright:NAME, which is shared by all of
// the build's jobs.
func (b *buildkite) Output(name, value string) error {
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	switch {
	case strings.TrimSpace(value) == "": // https://buildkite.com/docs/agent/cli-meta-data
		return &Inexpressible{Name: name, Reason: "is blank, which Buildkite's meta-data can't carry"}
	case len(value) > metaDataCap:
		return &Inexpressible{Name: name, Reason: fmt.Sprintf("is larger than the %d bytes that Buildkite's meta-data takes", metaDataCap)}
	case strings.ContainsRune(value, 0):
		return &Inexpressible{Name: name, Reason: "holds NUL, which Buildkite's meta-data can't carry"}
	}
	if err := b.agent(value, "meta-data", "set", "hullwright:"+name); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err).
			WithHint("in a container, mount the agent (the docker plugin's mount-buildkite-agent)")
	}
	return b.alsoDotenv(name, value)
}

// Mask tells the agent's redactor, and the host's streams, where those hide
// secrets themselves. An agent too old to be told is no fault of the run.
func (b *buildkite) Mask(value string) {
	b.host.redact(value)
	for _, line := range maskLines(value) {
		if b.agent(line, "redactor", "add") != nil {
			return
		}
	}
}

// StartGroup begins a collapsed group.
func (b *buildkite) StartGroup(w io.Writer, title string) {
	fmt.Fprintf(w, "--- %s\n", strings.ReplaceAll(Clean(title), "\n", " "))
}

// EndGroup does nothing: a group ends where the next begins.
func (b *buildkite) EndGroup(io.Writer) {}

// Notice prints the message and annotates the build. A failure also opens the
// group that it is in.
func (b *buildkite) Notice(n Notice) {
	message := Clean(n.placed())
	style := map[Level]string{Info: "info", Warning: "warning", Failure: "error"}[n.Level]
	if n.Level == Failure {
		io.WriteString(b.host.Stderr, "^^^ +++\n")
	}
	log := guardLines(b.host.Stderr, buildkiteMarks...)
	fmt.Fprintf(log, "%s: %s\n", n.Level, message)
	log.Close()
	// The log has it in any case.
	_ = b.agent(markdownText(message)+"\n", "annotate", "--style", style, "--context", "hullwright-"+style, "--append")
}

// Summary annotates the build.
func (b *buildkite) Summary(markdown string) error {
	if err := b.agent(cutLines(markdown, summaryCap), "annotate", "--style", "info", "--context", "hullwright-summary", "--append"); err != nil {
		return &Inexpressible{Name: "summary", Reason: err.Error()}
	}
	return nil
}

// buildkiteMarks fold the log where a line begins with one.
var buildkiteMarks = []string{"---", "+++", "~~~", "^^^"}

// Fence keeps text from folding the log.
func (b *buildkite) Fence(w io.Writer) (io.WriteCloser, error) {
	return guardLines(w, buildkiteMarks...), nil
}

func (*buildkite) lineMarks() []string { return buildkiteMarks }

// agentTimeout is how long the agent may take; it asks Buildkite's API.
const agentTimeout = 30 * time.Second

// agent runs buildkite-agent. Values go by its standard input: other processes
// can read a command line.
func (b *buildkite) agent(stdin string, args ...string) error {
	path, err := lookPath("buildkite-agent", b.host.Environ["PATH"])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Dir, cmd.WaitDelay = strings.NewReader(stdin), b.host.Dir, time.Second
	for k, v := range b.host.Environ {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if said := Clean(strings.TrimSpace(stderr.String())); said != "" {
			err = errors.New(said)
		}
		return fmt.Errorf("buildkite-agent %s: %w", args[0], err)
	}
	return nil
}

// markdownText is s as Markdown shows it, and no markup.
func markdownText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()#+!|>~", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
