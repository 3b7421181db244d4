package meta

import (
	"slices"
	"strings"
)

type image struct {
	name    string
	enabled bool
}

// parseImages reads the images input. A single entry without "=" may be
// several names, separated by commas, as it was before there were attributes.
func (r *Rules) parseImages(entries []entry) (faults []error) {
	for _, e := range entries {
		fields, err := e.fields()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if len(entries) == 1 && !slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(f, "=") }) {
			for _, f := range fields {
				r.images = append(r.images, image{name: lower(trim(f)), enabled: true})
			}
			break
		}
		i, err := parseImage(e, fields)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.images = append(r.images, i)
	}
	return faults
}

// parseImage reads an image's attributes. What follows a second "=" is lost,
// there as here.
func parseImage(e entry, fields []string) (image, error) {
	i := image{enabled: true}
	for _, f := range fields {
		parts := strings.Split(f, "=")
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
				return image{}, e.fault("Invalid enable attribute value: %s", e.text).WithHint("enable is true or false")
			}
			i.enabled = value == "true"
		default:
			return image{}, e.fault("Unknown image attribute: %s", e.text).WithHint("an image has the attributes name and enable")
		}
	}
	if i.name == "" {
		return image{}, e.fault("Image name attribute empty: %s", e.text)
	}
	i.name = lower(i.name)
	return i, nil
}

func (r Rules) enabledImages() []string {
	var names []string
	for _, i := range r.images {
		if i.enabled {
			names = append(names, i.name)
		}
	}
	return names
}
