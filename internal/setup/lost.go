package setup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Lost is a node of a builder that could not be reached.
type Lost struct {
	Name     string
	Endpoint string
	Fixed    []v1.Platform // that buildx's store says the node is for; nil is not known
	Err      error

	first bool // it is the one that builds where no platform is asked for
}

// keepReached sets the nodes of a builder to those that were reached. That none
// was is an error.
func (b *Builder) keepReached(g *group, nodes []Node, faults []error) error {
	for i, fault := range faults {
		if fault == nil {
			b.Nodes = append(b.Nodes, nodes[i])
			continue
		}
		n := g.Nodes[i]
		b.Lost = append(b.Lost, Lost{
			Name: n.Name, Endpoint: n.Endpoint, Fixed: allFromOCI(n.Platforms), Err: fault, first: i == 0,
		})
	}
	if len(b.Nodes) == 0 {
		return errors.Join(faults...)
	}
	return nil
}

// spare warns of nodes that are lost, where what is wanted can go elsewhere. It is
// an error, with why the node is lost, where it can't: for a platform that the
// node is for and that no other one lists, and for the platform that is built
// where none is asked for, which is the first node's own.
func (m *Manager) spare(b *Builder, want []v1.Platform) error {
	var faults []error
	for _, l := range b.Lost {
		var only []string
		for _, p := range want {
			if slices.ContainsFunc(l.Fixed, func(o v1.Platform) bool { return same(o, p) }) && best(b.Nodes, p) == unsuited {
				only = append(only, p.String())
			}
		}
		switch {
		case len(only) > 0:
			faults = append(faults, l.needed(strings.Join(only, " and ")+" goes to no other node"))
		case len(want) == 0 && l.first:
			faults = append(faults, l.needed("it builds where no platforms are asked for"))
		default:
			m.stepf("warning: builder %s goes without node %s: %s", b.Name, l.Name, firstLine(l.Err.Error()))
		}
	}
	return errors.Join(faults...)
}

// needed is the fault of a node that can't be done without, and its next move.
func (l Lost) needed(why string) error {
	var cause *errdefs.Error
	if errors.As(l.Err, &cause) {
		fault := *cause
		fault.Err = fmt.Errorf("%w; %s", cause.Err, why)
		return &fault
	}
	return errdefs.New(errdefs.Environment, "%w; %s", l.Err, why)
}
