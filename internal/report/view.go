package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/moby/buildkit/client"

	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// view is a build as all renderings show it: every text is clean, none is
// escaped.
type view struct {
	Name     string
	State    string // "built and pushed"
	Failed   bool
	Failures []Failure
	Version  string
	Started  time.Time
	Took     string
	Cached   int
	Steps    int

	Digest       string
	Builder      string // "main (docker-container, BuildKit v0.33.1)"
	Nodes        []Node // where there are several
	Repositories []string
	Platforms    []platform
	Attested     string // "2 attestations: provenance, sbom"
	Outputs      []string
	Tags         []tag
	Source       source

	Chain    chain
	Timeline timeline
	Cache    cache
	Warnings []warning
	Inputs   string // YAML
}

type platform struct {
	Name   string
	Digest string
	Size   string
}

type tag struct {
	Name   string
	Status string
	Was    string // short digest
	New    bool
}

type source struct {
	Repository string // address
	Slug       string
	Commit     string // short
	CommitURL  string
	Ref        string
	Job        string // address
}

// chain is the critical path.
type chain struct {
	Took  string
	Steps []step // those that count
	Small int    // steps left out
	Rest  string // how long these took together
}

// step is one step of a build.
type step struct {
	Place    string // "linux/arm64 build 2/5"; empty of a step that is no instruction
	Name     string
	Took     string
	State    string // one of the states
	Critical bool
	Error    string
}

// Class is the state's name in the page.
func (s step) Class() string { return strings.ReplaceAll(s.State, " ", "") }

// The states of a step.
const (
	stateRan     = "ran"
	stateCached  = "cached"
	stateFailed  = "failed"
	stateStopped = "stopped"   // because the build ended
	stateMissing = "not there" // a cache to import, as in every first run
	stateNotRun  = "not run"
)

type cache struct {
	Missed  []miss
	Imports []step
	Exports []step
}

type miss struct {
	Place string
	Name  string
	Why   string
	After string // "7 steps after it ran again"; empty where none did
}

type warning struct {
	Message string
	Place   string // Dockerfile:3
	Detail  string
	URL     string
}

func (b Build) view() view {
	cached, steps := b.Summary.Cached()
	v := view{
		Name: b.text(b.Name), State: b.state(), Failed: b.Failed(), Version: b.text(b.Version),
		Started: b.Started.UTC(), Took: took(b.Duration), Cached: cached, Steps: steps,
		Digest: b.text(b.Digest), Builder: b.builderText(), Source: b.source(), Inputs: b.inputs(),
		Chain: b.chain(), Timeline: b.timeline(), Cache: b.cache(),
	}
	for _, f := range b.Failures {
		clean := Failure{Message: b.block(f.Message)}
		for _, h := range f.Hints {
			clean.Hints = append(clean.Hints, b.text(h))
		}
		v.Failures = append(v.Failures, clean)
	}
	if len(b.Nodes) > 1 {
		v.Nodes = b.nodes()
	}
	for _, p := range b.Pushed {
		v.Repositories = append(v.Repositories, b.text(p.Repository))
	}
	v.Platforms, v.Attested = b.platforms()
	for _, o := range b.Outputs {
		v.Outputs = append(v.Outputs, b.text(strings.TrimSpace(o.Type+" "+o.Dest)))
	}
	for _, t := range b.Tags {
		v.Tags = append(v.Tags, b.tag(t))
	}
	for _, w := range b.Summary.Warnings {
		v.Warnings = append(v.Warnings, b.warning(w))
	}
	return v
}

func (b Build) state() string {
	switch {
	case b.Canceled:
		return "canceled"
	case b.Failed():
		return "failed"
	case len(b.Pushed) > 0:
		return "built and pushed"
	default:
		return "built"
	}
}

// builderText names the builder: "main (docker-container, BuildKit v0.33.1)".
func (b Build) builderText() string {
	if b.Builder == "" {
		return ""
	}
	about := []string{b.Driver}
	if len(b.Nodes) == 1 && b.Nodes[0].BuildKit != "" {
		about = append(about, "BuildKit "+b.Nodes[0].BuildKit)
	}
	if len(b.Nodes) > 1 {
		about = append(about, count(len(b.Nodes), "node"))
	}
	return b.text(b.Builder + " (" + strings.Join(about, ", ") + ")")
}

func (b Build) nodes() []Node {
	var nodes []Node
	for _, n := range b.Nodes {
		clean := Node{Name: b.text(n.Name), BuildKit: b.text(n.BuildKit)}
		for _, p := range n.Platforms {
			clean.Platforms = append(clean.Platforms, b.text(p))
		}
		nodes = append(nodes, clean)
	}
	return nodes
}

// platforms are those of the pushed index: every repository holds the same one,
// so that one list serves for all.
func (b Build) platforms() (list []platform, attested string) {
	if len(b.Pushed) == 0 {
		for _, name := range b.Platforms {
			list = append(list, platform{Name: b.text(name)})
		}
		return list, ""
	}
	attestations := 0
	for _, p := range b.Pushed[0].Platforms {
		if p.Attestation {
			attestations++
			continue
		}
		list = append(list, platform{Name: b.text(p.Platform), Digest: b.text(p.Digest), Size: size(p.Size)})
	}
	if attestations == 0 {
		return list, ""
	}
	attested = count(attestations, "attestation manifest")
	if len(b.Attests) > 0 {
		attested += ": " + b.text(strings.Join(b.Attests, ", "))
	}
	return list, attested
}

func (b Build) tag(t registry.Written) tag {
	status := t.Status
	if t.Reason != "" {
		status += ": " + t.Reason
	}
	shown := tag{Name: b.text(t.Tag), Status: b.text(status), New: t.Before == "" && t.After != ""}
	if t.Before != "" && t.Before != t.After {
		shown.Was = b.text(short(t.Before))
	}
	return shown
}

func (b Build) source() source {
	s := source{
		Repository: address(b.Source.Repository),
		Commit:     b.text(short(b.Source.Commit)),
		CommitURL:  address(b.Source.CommitURL),
		Ref:        b.text(b.Source.Ref),
		Job:        address(b.Source.Job),
	}
	if s.Repository != "" {
		_, rest, _ := strings.Cut(s.Repository, "://")
		s.Slug = b.text(strings.TrimSuffix(rest, "/"))
	}
	return s
}

// place is where in its Dockerfile an instruction stands, and its text; of any
// other step it is the name alone.
func (b Build) place(s progress.Step) (place, name string) {
	in, ok := s.Instruction()
	if !ok {
		return "", b.text(s.Name)
	}
	if slices.ContainsFunc(b.Nodes, func(n Node) bool { return n.Name == in.Stage }) {
		in.Stage = ""
	}
	words := []string{in.Platform, in.Stage, fmt.Sprintf("%d/%d", in.Index, in.Total)}
	return b.text(strings.Join(words, " ")), b.text(in.Text)
}

func (b Build) step(s progress.Step) step {
	place, name := b.place(s)
	return step{Place: place, Name: name, Took: took(s.Duration()), State: stateOf(s), Error: b.text(s.Error)}
}

func stateOf(s progress.Step) string {
	switch {
	case s.Stopped():
		return stateStopped
	case s.ImportsCache() && strings.Contains(s.Error, "not found"):
		return stateMissing
	case s.Failed():
		return stateFailed
	case s.Cached:
		return stateCached
	case len(s.Runs) == 0:
		return stateNotRun
	default:
		return stateRan
	}
}

// chain is the critical path without the steps that are under a hundredth of it.
func (b Build) chain() chain {
	var total, rest time.Duration
	path := b.Summary.CriticalPath()
	for _, s := range path {
		total += s.Duration()
	}
	c := chain{Took: took(total)}
	for _, s := range path {
		if s.Duration() < total/100 {
			c.Small++
			rest += s.Duration()
			continue
		}
		c.Steps = append(c.Steps, b.step(s))
	}
	c.Rest = took(rest)
	return c
}

func (b Build) warning(w client.VertexWarning) warning {
	var detail []string
	for _, d := range w.Detail {
		detail = append(detail, string(d))
	}
	shown := warning{
		Message: b.text(string(w.Short)),
		Detail:  b.text(strings.Join(detail, " ")),
		URL:     address(w.URL),
	}
	if w.SourceInfo != nil && len(w.Range) > 0 {
		shown.Place = b.text(fmt.Sprintf("%s:%d", w.SourceInfo.Filename, w.Range[0].GetStart().GetLine()))
	}
	return shown
}

// inputs are what a person set, as YAML.
func (b Build) inputs() string {
	if len(b.Inputs) == 0 {
		return ""
	}
	root := yaml.Node{Kind: yaml.MappingNode}
	for _, in := range b.Inputs {
		key := yaml.Node{Kind: yaml.ScalarNode, Value: in.Name}
		value := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range in.Entries {
			entry := &yaml.Node{}
			entry.SetString(b.block(e))
			value.Content = append(value.Content, entry)
		}
		if !in.List {
			value = value.Content[0]
			if value.Value == "true" || value.Value == "false" {
				value.Tag, value.Style = "!!bool", 0
			}
		}
		root.Content = append(root.Content, &key, value)
	}
	var text strings.Builder
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(&root); err != nil {
		return "" // a tree of strings has no fault
	}
	return clip(text.String(), blockCap)
}
