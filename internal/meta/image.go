package meta

import (
	"slices"
	"strings"
)

type image struct {
	name    string
	enabled bool
	target  string   // the bake target that it belongs to; empty is every one
	own     *ruleSet // its own rules; nil for the common ones
}

const imageKeys = "an image has the attributes name, enable and bake-target, and after those flavor and tags"

// parseImages reads the images input. A single entry without "=" may be
// several names, separated by commas, as it was before there were attributes.
func (r *Rules) parseImages(entries []entry) (faults []error) {
	for _, e := range entries {
		fields, err := e.fields()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if len(entries) == 1 && !slices.ContainsFunc(fields, func(f field) bool { return strings.Contains(f.text, "=") }) {
			for _, f := range fields {
				r.images = append(r.images, image{name: lower(trim(f.text)), enabled: true})
			}
			break
		}
		i, wrong := r.parseImage(e, fields)
		faults = append(faults, wrong...)
		r.images = append(r.images, i)
	}
	return faults
}

// parseImage reads an image's attributes. What follows a second "=" is lost,
// there as here.
func (r *Rules) parseImage(e entry, fields []field) (i image, faults []error) {
	i.enabled = true
	fields, own := splitOwn(fields)
	for _, f := range fields {
		parts := strings.Split(f.text, "=")
		key := lower(trim(parts[0]))
		if len(parts) == 1 {
			i.name = trim(parts[0])
			continue
		}
		switch value := trim(parts[1]); key {
		case "name":
			i.name = value
		case "enable":
			if value != "true" && value != "false" {
				faults = append(faults, e.fault(f.column, "Invalid enable attribute value: %s", e.text).WithHint("enable is true or false"))
			}
			i.enabled = value == "true"
		case "bake-target":
			i.target = value
		default:
			faults = append(faults, e.fault(f.column, "Unknown image attribute: %s", e.text).WithHint(imageKeys))
		}
	}
	if i.name == "" && len(faults) == 0 {
		faults = append(faults, e.fault(0, "Image name attribute empty: %s", e.text))
	}
	i.name = lower(i.name)
	if len(own) > 0 {
		set, wrong := r.parseOwn(e, i.name, own)
		i.own, faults = &set, append(faults, wrong...)
	}
	return i, faults
}

// part is one rule or flavor that an image has of its own.
type part struct {
	key    string // "tags" or "flavor"
	fields []field
}

// splitOwn splits off what an image has of its own. Each tags= begins a rule
// and each flavor= an entry of its flavor; the fields after it are theirs.
func splitOwn(fields []field) (common []field, own []part) {
	for _, f := range fields {
		key, rest, _ := strings.Cut(f.text, "=")
		key = lower(trim(key))
		switch {
		case (key == "tags" || key == "flavor") && strings.Contains(f.text, "="):
			f.column += len(f.text) - len(rest)
			f.text = rest
			own = append(own, part{key: key, fields: []field{f}})
		case len(own) > 0:
			last := &own[len(own)-1]
			last.fields = append(last.fields, f)
		default:
			common = append(common, f)
		}
	}
	return common, own
}

// parseOwn reads an image's own rules: its flavor adds to the common one, its
// tag rules take the common ones' place.
func (r *Rules) parseOwn(e entry, name string, own []part) (set ruleSet, faults []error) {
	set = ruleSet{image: name, flavor: r.common.flavor, tags: r.common.tags}
	first := true
	for _, p := range own {
		texts := make([]string, len(p.fields))
		for i, f := range p.fields {
			texts[i] = f.text
		}
		one := e
		one.text = strings.Join(texts, ",")
		if p.key == "flavor" {
			set.flavor.entry = one
			faults = append(faults, set.flavor.parse(one, p.fields)...)
			continue
		}
		if first {
			set.tags, first = nil, false
		}
		t, wrong := r.parseTag(one, p.fields)
		faults = append(faults, wrong...)
		set.tags = append(set.tags, t)
	}
	sortByPriority(set.tags)
	return set, faults
}

// Images are the repositories that get tags, as written but in lower case.
func (r Rules) Images() []string {
	var names []string
	for _, i := range r.enabledImages() {
		names = append(names, i.name)
	}
	return names
}

func (r Rules) enabledImages() []image {
	return slices.DeleteFunc(slices.Clone(r.images), func(i image) bool { return !i.enabled })
}
