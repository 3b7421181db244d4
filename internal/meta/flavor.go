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
}

func (r *Rules) parseFlavor(entries []entry) (faults []error) {
	r.flavor.latest = "auto"
	for _, e := range entries {
		r.flavor.entry = e
		fields, err := e.fields()
		if err == nil {
			err = r.flavor.parse(e, fields)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// parse reads an entry. onlatest belongs to the prefix or suffix that the same
// entry named last.
func (f *flavor) parse(e entry, fields []string) error {
	var onLatest *bool
	for _, field := range fields {
		parts := strings.Split(field, "=")
		if len(parts) == 1 {
			return e.fault("Invalid flavor entry: %s", e.text).WithHint("write KEY=VALUE with a key of latest, prefix, suffix, onlatest")
		}
		key, value := lower(trim(parts[0])), trim(parts[1])
		switch key {
		case "latest":
			if value != "auto" && value != "true" && value != "false" {
				return e.fault("Invalid latest flavor entry: %s", e.text).WithHint("latest is auto, true or false")
			}
			f.latest = value
		case "prefix":
			f.prefix, onLatest = value, &f.prefixOnLatest
		case "suffix":
			f.suffix, onLatest = value, &f.suffixOnLatest
		case "onlatest":
			if value != "true" && value != "false" {
				return e.fault("Invalid value for onlatest attribute: %s", value).WithHint("onlatest is true or false")
			}
			if onLatest != nil {
				*onLatest = value == "true"
			}
		default:
			return e.fault("Unknown flavor entry: %s", e.text).WithHint("a flavor has the keys latest, prefix, suffix and onlatest")
		}
	}
	return nil
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
