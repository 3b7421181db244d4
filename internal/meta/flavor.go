package meta

import (
	"strings"
)

// flavor is what all tags have in common.
type flavor struct {
	entry                          entry  // the last one, for faults in prefix and suffix
	latest                         string // "auto", "true" or "false"
	prefix, suffix                 string
	prefixOnLatest, suffixOnLatest bool
	// noPrerelease keeps a prerelease from becoming latest, whatever else says so.
	noPrerelease bool
}

const flavorKeys = "a flavor has the keys latest, prefix, suffix, onlatest and prerelease-latest"

func (r *Rules) parseFlavor(entries []entry) (f flavor, faults []error) {
	f.latest = "auto"
	for _, e := range entries {
		f.entry = e
		fields, err := e.fields()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, f.parse(e, fields)...)
	}
	return f, faults
}

// parse reads an entry. onlatest belongs to the prefix or suffix that the same
// entry named last.
func (f *flavor) parse(e entry, fields []field) (faults []error) {
	var onLatest *bool
	for _, field := range fields {
		parts := strings.Split(field.text, "=")
		if len(parts) == 1 {
			faults = append(faults, e.fault(field.column, "Invalid flavor entry: %s", e.text).WithHint("write KEY=VALUE; %s", flavorKeys))
			continue
		}
		value := trim(parts[1])
		switch key := lower(trim(parts[0])); key {
		case "latest":
			if value != "auto" && value != "true" && value != "false" {
				faults = append(faults, e.fault(field.column, "Invalid latest flavor entry: %s", e.text).WithHint("latest is auto, true or false"))
			}
			f.latest = value
		case "prefix":
			f.prefix, onLatest = value, &f.prefixOnLatest
		case "suffix":
			f.suffix, onLatest = value, &f.suffixOnLatest
		case "onlatest", "prerelease-latest":
			if value != "true" && value != "false" {
				faults = append(faults, e.fault(field.column, "Invalid value for %s attribute: %s", key, value).WithHint("%s is true or false", key))
			}
			if key == "prerelease-latest" {
				f.noPrerelease = value == "false"
			} else if onLatest != nil {
				*onLatest = value == "true"
			}
		default:
			faults = append(faults, e.fault(field.column, "Unknown flavor entry: %s", e.text).WithHint(flavorKeys))
		}
	}
	return faults
}

// latestTag is the name of the tag latest. Prefix and suffix are taken as they
// are written, expressions too.
func (f flavor) latestTag() string {
	name := "latest"
	if f.prefixOnLatest {
		name = f.prefix + name
	}
	if f.suffixOnLatest {
		name += f.suffix
	}
	return sanitize(name)
}
