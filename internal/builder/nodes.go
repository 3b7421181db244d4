package builder

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// part is the share of a build that one node does.
type part struct {
	node      setup.Node
	platforms []v1.Platform
}

// name tells the part in errors: node arm (linux/arm64).
func (p part) name() string { return nodeName(p.node.Name, platformNames(p.platforms)) }

func nodeName(node string, platforms []string) string {
	if len(platforms) == 0 {
		return "node " + node
	}
	return fmt.Sprintf("node %s (%s)", node, strings.Join(platforms, ", "))
}

// Lists is whether every platform that is wanted has a node that reports it,
// natively or by emulators that are there.
func Lists(nodes []setup.Node, want []v1.Platform) bool {
	return !slices.Contains(setup.Place(nodes, want), -1)
}

// assign gives every platform to a node, by [setup.Place]; the platforms of a
// node are one part, and a node without any has none. With no nodes there is one
// part, for whichever node there will be.
func assign(req Request, nodes []setup.Node) ([]part, error) {
	switch {
	case len(nodes) == 0:
		return []part{{platforms: req.Platforms}}, nil
	case len(req.Platforms) == 0 || req.Call.Method != "":
		// The frontend answers for any platform, wherever it runs.
		return []part{{node: nodes[0], platforms: req.Platforms}}, nil
	}
	mine := make([][]v1.Platform, len(nodes))
	var missing []string
	for i, at := range setup.Place(nodes, req.Platforms) {
		if at < 0 {
			missing = append(missing, req.Platforms[i].String())
			continue
		}
		mine[at] = append(mine[at], req.Platforms[i])
	}
	if len(missing) > 0 {
		return nil, unplaced(missing, nodes)
	}
	var parts []part
	for i, platforms := range mine {
		if len(platforms) > 0 {
			parts = append(parts, part{node: nodes[i], platforms: platforms})
		}
	}
	return parts, nil
}

func unplaced(missing []string, nodes []setup.Node) error {
	var have []string
	for _, n := range nodes {
		have = append(have, n.Name+" has "+strings.Join(platformNames(n.Platforms), ", "))
	}
	return errdefs.BadInputf("platforms", 0, "no node of the builder runs %s: %s", strings.Join(missing, " and "), strings.Join(have, "; ")).
		WithHint("hullwright setup --platforms registers emulators")
}

// split is what each part does of the request. One part does it as it is; of
// several each gets its own annotations, caches and outputs, and what only a
// single node can give is an error, joined with the others.
func split(req Request, parts []part) ([]Request, error) {
	if len(parts) == 1 {
		return []Request{req}, nil
	}
	faults := []error{checkLevels(req, parts)}
	for _, o := range req.Outputs {
		faults = append(faults, checkOutput(o, parts))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	shares := make([]Request, len(parts))
	for i, p := range parts {
		share := req
		share.Annotations = p.annotations(req.Annotations)
		share.Outputs = splitOutputs(req.Outputs)
		share.CacheFrom = importsOf(req.CacheFrom, parts)
		share.CacheTo = exportsOf(req.CacheTo, p)
		shares[i] = share
	}
	return shares, nil
}

// checkOutput is an error where an output can't be made of several parts.
func checkOutput(o Output, parts []part) error {
	var why string
	input := "outputs"
	switch {
	case o.Type == "docker" && o.Dest == "" || o.Type == "oci" && o.Dest == "":
		input, why = "load", "the engine takes an image from one node"
	case o.Type == "docker", o.Type == "oci", o.Type == "tar":
		why = "type=" + o.Type + " is written by one node"
	case o.Type == "image" && isTrue(o.Attrs["push"]):
		why = "each node would push a part of the index to the same name"
	case o.Type == "local" && o.Attrs["mode"] == "delete":
		why = "mode=delete would have each node delete what the others write"
	case o.Type == "local" && o.Attrs["platform-split"] != "" && !isTrue(o.Attrs["platform-split"]):
		why = "without platform-split the nodes would write over one another"
	default:
		return nil
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name()
	}
	return errdefs.BadInputf(input, 0, "%s, and this build has several: %s", why, strings.Join(names, ", ")).
		WithHint("push the image instead, build for platforms of one node, or choose a builder with one node")
}

// splitOutputs has every node write local files to its platforms' own
// directories, also where it has but one platform.
func splitOutputs(outputs []Output) []Output {
	outputs = slices.Clone(outputs)
	for i, o := range outputs {
		if o.Type != "local" {
			continue
		}
		attrs := map[string]string{"platform-split": "true"}
		maps.Copy(attrs, o.Attrs)
		outputs[i].Attrs = attrs
	}
	return outputs
}

// checkLevels is an error where an annotation is for a platform that no part
// builds: BuildKit refuses such, and is told only its own share.
func checkLevels(req Request, parts []part) error {
	var faults []error
	for _, a := range req.Annotations {
		for _, l := range a.Levels {
			builds := func(p part) bool { return p.builds(l.Platform) }
			if l.Platform != "" && !slices.ContainsFunc(parts, builds) {
				faults = append(faults, errdefs.BadInputf("annotations", 0, "%s is for %s, which is not built", a.Key, l.Platform))
			}
		}
	}
	return errors.Join(faults...)
}

// annotations are those for the part's platforms and for the index, which every
// part has a piece of.
func (p part) annotations(all []Annotation) []Annotation {
	var mine []Annotation
	for _, a := range all {
		var levels []Level
		for _, l := range a.Levels {
			switch {
			case l.Type == "index" || l.Type == "index-descriptor":
				levels = append(levels, Level{Type: l.Type}) // BuildKit looks at no platform here either
			case l.Platform == "" || p.builds(l.Platform):
				levels = append(levels, l)
			}
		}
		if len(levels) > 0 {
			mine = append(mine, Annotation{Levels: levels, Key: a.Key, Value: a.Value})
		}
	}
	return mine
}

// builds is whether a platform, as a person writes it, is one of the part's.
func (p part) builds(platform string) bool {
	want, err := platforms.Parse(platform)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(p.platforms, func(own v1.Platform) bool {
		return platforms.FormatAll(spec(own)) == platforms.FormatAll(platforms.Normalize(want))
	})
}

func spec(p v1.Platform) ocispecs.Platform {
	return platforms.Normalize(ocispecs.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion,
	})
}
