// Package report renders what a build gave, and how a build failed: as lines for
// a terminal, as Markdown for a job's page, and as one HTML file with a timeline.
// It decides nothing and asks nobody.
//
// Begin with [Build], which holds all that is shown, and its methods Text,
// Markdown and HTML.
package report

import (
	"time"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// Build is a build that ended. Zero values are left out of what is rendered.
type Build struct {
	Name     string // what was built, as r.example/app:1.4.2
	Version  string // hullwright's
	Started  time.Time
	Duration time.Duration // of the whole command

	// Failures are why the build is none, or not released; none where it went
	// well.
	Failures []Failure
	Canceled bool

	Builder    string // its name
	Driver     string
	NewBuilder bool   // it was made for this run, and had no cache
	Nodes      []Node // that built

	Digest    string           // of the index
	Platforms []string         // that were built for; of a pushed image, Pushed has more
	Pushed    []builder.Pushed // as it was read back
	Outputs   []Output         // besides the push
	Attests   []string         // types of attestations, as provenance
	Tags      []registry.Written

	Summary progress.Summary
	NoCache bool

	Inputs []input.Value
	Source Source

	// Hide gives text without secrets; nil leaves it as it is.
	Hide func(string) string
}

// Failure is one error and what can be done.
type Failure struct {
	Message string // lines
	Hints   []string
}

// Node is one node of the builder.
type Node struct {
	Name      string
	Platforms []string // that it built
	BuildKit  string   // version
}

// Output is what became of a build besides the push.
type Output struct {
	Type string
	Dest string
}

// Source is where a build came from. Addresses that are neither http nor https
// are shown as text.
type Source struct {
	Repository string // https address
	Commit     string
	CommitURL  string
	Ref        string
	Job        string // address of the CI system's page
}

// Failed is whether the build did not end well.
func (b Build) Failed() bool { return len(b.Failures) > 0 || b.Canceled }
