package moment

import (
	_ "embed"
	"strings"
	"time"
)

// zones are the names that time/tzdata has: Go has no list of them.
//
//go:embed zones.txt
var zones string

// Zone is the time zone of an IANA name, in any case and with "_" for "/", as
// moment-timezone takes them. ok is false for a name that is none.
func Zone(name string) (zone *time.Location, ok bool) {
	want := normal(name)
	if want == "utc" {
		return time.UTC, true
	}
	for known := range strings.Lines(zones) {
		known = strings.TrimSuffix(known, "\n")
		if normal(known) != want {
			continue
		}
		zone, err := time.LoadLocation(known)
		return zone, err == nil
	}
	return nil, false
}

func normal(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "/", "_")
}
