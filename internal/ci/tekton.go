package ci

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// tekton is Tekton. It tells a step nothing and sets no variable to know it by:
// a task names it (HULLWRIGHT_PROVIDER=tekton) and hands its parameters on as
// HULLWRIGHT_*.
type tekton struct{ system }

// onTekton: never found, always named.
func onTekton(map[string]string) bool { return false }

func newTekton(h Host) Provider { return tekton{system{name: "tekton", host: h}} }

// Event is what HULLWRIGHT_* give, and the checkout knows beside.
func (t tekton) Event(ctx context.Context) (Event, error) {
	return t.settle(ctx, Event{}, "HULLWRIGHT_SHA")
}

// resultCap is the size of all results of a task, which travel in a
// container's termination message:
// https://tekton.dev/docs/pipelines/tasks/#emitting-results
const resultCap = 4 << 10

// Output writes a result of the task: a file in /tekton/results, or in the
// directory that HULLWRIGHT_TEKTON_RESULTS names. Only those that the task
// declares are handed on.
func (t tekton) Output(name, value string) error {
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	if len(value) > resultCap {
		return &Inexpressible{Name: name, Reason: fmt.Sprintf("is larger than the %d bytes that Tekton takes", resultCap)}
	}
	dir := first(t.env("HULLWRIGHT_TEKTON_RESULTS"), "/tekton/results")
	if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err).
			WithHint("off Tekton, give --provider git")
	}
	return t.alsoDotenv(name, value)
}
