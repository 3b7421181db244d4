package ci

import (
	"fmt"
	"strings"
	"time"
)

// timeLayouts are the forms in which forges and git write times, as
// JavaScript's Date reads them. One without a zone is in UTC.
var timeLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02T15:04",
	"2006-01-02",
	"2006-01",
	"2006",
	"2006-01-02 15:04:05.999999999 Z0700",
	"2006-01-02 15:04:05.999999999 Z07:00",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 UTC",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04",
	time.RFC1123Z,
	time.RFC1123,
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 -0700",
	"2 Jan 2006 15:04:05 MST",
	"Mon Jan 2 2006 15:04:05 MST-0700",
	"Mon Jan 2 15:04:05 2006 -0700",
	time.ANSIC,
	"Jan 2, 2006 15:04:05",
	"Jan 2, 2006",
	"2 Jan 2006",
	"2006/01/02 15:04:05",
	"2006/01/02",
	"01/02/2006",
}

// ParseTime reads a time as forges and git write it.
func ParseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: not in a form that is known", s)
}
