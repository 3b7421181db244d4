package buildpush

import (
	"io"
	"os"
	"slices"

	"golang.org/x/term"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// takesStdout is whether an output of the build is written to standard output.
func (j *job) takesStdout() bool {
	return slices.ContainsFunc(j.request.Outputs, func(o builder.Output) bool { return o.Dest == builder.Stdout })
}

// fileStdout is standard output for the one output that goes there. A terminal
// takes none: it would be commanded by what is in it.
func (j *job) fileStdout() (io.Writer, error) {
	if f, ok := j.env.Raw.(*os.File); ok && j.takesStdout() && term.IsTerminal(int(f.Fd())) {
		return nil, errdefs.BadInputf("outputs", 0, "standard output is a terminal; an output is not written there").
			WithHint("redirect it, or name a file with dest")
	}
	return j.env.Raw, nil
}

// words is where a run's own words go: beside an output, not into it.
func (j *job) words() io.Writer {
	if j.takesStdout() {
		return j.env.Stderr
	}
	return j.env.Stdout
}
