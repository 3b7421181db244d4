package progress

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Step is one vertex of a build, as it ended.
type Step struct {
	Digest digest.Digest   // names the step within its build
	Inputs []digest.Digest // steps whose results it takes
	Name   string
	// Runs are the spans in which it worked, in order, none overlapping another:
	// a step looks for its cache, waits for what it needs, and works again.
	Runs   []Run
	Cached bool
	Error  string // empty where it went well
	// Last are the last lines that the step printed, as it printed them. They are
	// kept only of one that did not go well.
	Last []string
}

// Run is a span of time. Completed is zero while it lasts.
type Run struct {
	Started   time.Time
	Completed time.Time
}

// Started is when the step first ran; zero where it did not.
func (s Step) Started() time.Time {
	if len(s.Runs) == 0 {
		return time.Time{}
	}
	return s.Runs[0].Started
}

// Completed is when the step last ended; zero where it did not.
func (s Step) Completed() time.Time {
	if len(s.Runs) == 0 {
		return time.Time{}
	}
	return s.Runs[len(s.Runs)-1].Completed
}

// Duration is how long the step ran, without the time that it waited; 0 where
// it did not run.
func (s Step) Duration() time.Duration {
	var d time.Duration
	for _, r := range s.Runs {
		if !r.Completed.IsZero() {
			d += r.Completed.Sub(r.Started)
		}
	}
	return d
}

// Stopped is whether the step was cut off because the build ended, by another
// step's failure or because someone canceled it.
func (s Step) Stopped() bool {
	return strings.HasSuffix(s.Error, "context canceled")
}

// Failed is whether the step itself went wrong. A cache to import that is not
// there counts: the build goes on without.
func (s Step) Failed() bool { return s.Error != "" && !s.Stopped() }

// ran takes in one span, of which the stream tells the start before the end, and
// both more than once.
func (s *Step) ran(r Run) {
	at := slices.IndexFunc(s.Runs, func(known Run) bool { return known.Started.Equal(r.Started) })
	if at < 0 {
		s.Runs = append(s.Runs, r)
		return
	}
	if r.Completed.After(s.Runs[at].Completed) {
		s.Runs[at].Completed = r.Completed
	}
}

// settle makes one of spans that touch, when all is told.
func (s *Step) settle() {
	slices.SortStableFunc(s.Runs, func(a, b Run) int { return a.Started.Compare(b.Started) })
	var settled []Run
	for _, r := range s.Runs {
		last := len(settled) - 1
		switch {
		case last < 0, settled[last].Completed.IsZero(), settled[last].Completed.Before(r.Started):
			settled = append(settled, r)
		case r.Completed.After(settled[last].Completed):
			settled[last].Completed = r.Completed
		}
	}
	s.Runs = settled
}

// Instruction is a step's place in a Dockerfile.
type Instruction struct {
	Platform string // that it is for, as linux/arm64; empty where the build has one platform
	Stage    string // its name, or stage-N; empty where the Dockerfile has one
	Index    int    // from 1, within the stage
	Total    int    // of the stage
	Text     string // RUN make
}

// instruction is a step's name as BuildKit's Dockerfile frontend writes it:
// "[2/3] RUN make", "[linux/amd64->arm64 build  2/12] COPY . .". The words
// before the count are a node's, where the build has several, a platform's and
// a stage's; the count is padded.
var instruction = regexp.MustCompile(`^\[((?:\S+ )*) *(\d+)/(\d+)\] (.+)$`)

// Instruction gives the step's place in a Dockerfile. Other steps, as the
// export, have none.
func (s Step) Instruction() (Instruction, bool) {
	m := instruction.FindStringSubmatch(s.Name)
	if m == nil {
		return Instruction{}, false
	}
	in := Instruction{Text: m[4]}
	in.Index, _ = strconv.Atoi(m[2])
	in.Total, _ = strconv.Atoi(m[3])
	for _, word := range strings.Fields(m[1]) {
		if strings.Contains(word, "/") {
			in.Platform, in.Stage = target(word), "" // what stands before it is a node
			continue
		}
		in.Stage = word
	}
	return in, true
}

// Works is whether the instruction does something of its own. A FROM only
// resolves.
func (in Instruction) Works() bool { return !strings.HasPrefix(in.Text, "FROM ") }

// target is the platform that a step is for: of "linux/amd64->arm64", which is
// built on amd64 for arm64, it is linux/arm64.
func target(word string) string {
	on, to, cross := strings.Cut(word, "->")
	if !cross {
		return on
	}
	// Of another operating system it is named whole.
	switch os, _, _ := strings.Cut(to, "/"); os {
	case "linux", "windows", "freebsd", "darwin", "wasip1", "wasi", "js":
		return to
	}
	os, _, _ := strings.Cut(on, "/")
	return os + "/" + to
}

// record folds what the stream says of a vertex into its step.
func (s *Step) record(v *client.Vertex) {
	s.Digest, s.Name = v.Digest, v.Name
	if len(v.Inputs) > 0 {
		s.Inputs = v.Inputs
	}
	s.Cached = s.Cached || v.Cached
	if v.Error != "" {
		s.Error = v.Error
	}
	if v.Started == nil {
		return
	}
	run := Run{Started: *v.Started}
	if v.Completed != nil {
		run.Completed = *v.Completed
	}
	s.ran(run)
}
