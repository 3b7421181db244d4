package builder

import (
	"maps"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// exports are the exporters of a solve. BuildKit answers with the digest of the
// last one's index; the first repository's is the one that all shall have.
func exports(req Request, images setup.ImageStore) []Export {
	if images != "" {
		return engineExports(req, images)
	}
	var list []Export
	for _, o := range req.Outputs {
		list = append(list, exportOf(req, o))
	}
	if !req.Push {
		return list
	}
	for _, repo := range slices.Backward(req.Destinations()) {
		list = append(list, pushByDigest(req, repo.Name()))
	}
	return list
}

// Loaded is the export that an engine loads, where there is one. The docker
// context of that engine is its attribute "context".
func Loaded(req Request) (Output, bool) {
	for _, o := range req.Outputs {
		if o.Dest == "" && (o.Type == "docker" || o.Type == "oci") {
			return o, true
		}
	}
	return Output{}, false
}

// LoadInto is req for an engine that takes whole indexes, with all platforms and
// attestations, or for one that takes one platform's image alone. An engine that
// can't take what is wanted is an errdefs.BadInput of input "load".
func LoadInto(req Request, whole bool) (Request, error) {
	if !whole && (len(req.Platforms) > 1 || len(req.Attests) > 0) {
		return req, errdefs.BadInputf("load", 0, "this engine's image store takes one platform without attestations").
			WithHint("load one platform with provenance=false and sbom=false, write outputs: type=oci,dest=FILE, push, or switch the engine to the containerd image store")
	}
	if whole {
		req.Outputs = slices.Clone(req.Outputs)
		for i, o := range req.Outputs {
			if o.Type == "docker" && o.Dest == "" {
				req.Outputs[i].Type = "oci"
			}
		}
	}
	return req, nil
}

// exportOf is an export besides the push. One that has a place for names and
// annotations gets the image's.
func exportOf(req Request, o Output) Export {
	attrs := maps.Clone(o.Attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	delete(attrs, "context") // an engine's, and not BuildKit's
	switch o.Type {
	case "image", "oci", "docker":
		if len(req.Tags) > 0 {
			names := make([]string, len(req.Tags))
			for i, t := range req.Tags {
				names[i] = t.String()
			}
			attrs["name"] = strings.Join(names, ",")
		}
		describe(req, attrs)
	}
	return Export{Type: o.Type, Attrs: attrs, Dest: o.Dest}
}

// pushByDigest exports to one repository without a tag. BuildKit pushes the
// names of one exporter one after the other and several exporters at the same
// time, so each repository gets its own.
func pushByDigest(req Request, repo string) Export {
	attrs := map[string]string{"unpack": "false"}
	maps.Copy(attrs, req.Image)
	maps.Copy(attrs, map[string]string{
		"name":           repo,
		"push":           "true",
		"push-by-digest": "true",
		"name-canonical": "true",
	})
	describe(req, attrs)
	return Export{Type: "image", Attrs: attrs}
}

// describe adds what every export of an image has in common.
func describe(req Request, attrs map[string]string) {
	for _, a := range req.Annotations {
		for _, l := range a.Levels {
			attrs[l.attr()+"."+a.Key] = a.Value
		}
	}
	if _, given := attrs["rewrite-timestamp"]; req.Reproducible != nil && !given {
		attrs["rewrite-timestamp"] = "true"
	}
}

func (l Level) attr() string {
	attr := "annotation"
	if l.Type != "manifest" {
		attr += "-" + l.Type
	}
	if l.Platform != "" {
		attr += "[" + l.Platform + "]"
	}
	return attr
}
