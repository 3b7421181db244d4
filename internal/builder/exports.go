package builder

import (
	"slices"
)

// exports are the exporters of a solve. BuildKit answers with the digest of the
// last one's index; the first repository's is the one that all shall have.
func exports(req Request, several bool) []Export {
	var list []Export
	for _, o := range req.Outputs {
		list = append(list, Export{Type: o.Type, Attrs: o.Attrs, Dest: o.Dest})
	}
	if !req.Push {
		return list
	}
	for _, repo := range slices.Backward(req.Destinations()) {
		list = append(list, pushByDigest(repo.Name(), req.Annotations))
	}
	return list
}

// pushByDigest exports to one repository without a tag. BuildKit pushes the
// names of one exporter one after the other and several exporters at the same
// time, so each repository gets its own.
func pushByDigest(repo string, annotations []Annotation) Export {
	attrs := map[string]string{
		"name":           repo,
		"push":           "true",
		"push-by-digest": "true",
		"name-canonical": "true",
		"unpack":         "false",
	}
	for _, a := range annotations {
		for _, l := range a.Levels {
			attrs[l.attr()+"."+a.Key] = a.Value
		}
	}
	return Export{Type: "image", Attrs: attrs}
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
