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
	"2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04",
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"2 Jan 2006 15:04:05 -0700",
	"Mon Jan 2 2006 15:04:05 -0700",
	"Mon Jan _2 15:04:05 2006 -0700",
	time.ANSIC,
	"Jan 2, 2006 15:04:05",
	"Jan 2, 2006",
	"Jan 2 2006",
	"2 Jan 2006",
	"2006-1-2",
	"2006/1/2 15:04:05",
	"2006/1/2",
	"1/2/2006",
}

// zoneWords are the abbreviations that JavaScript knows, as RFC 2822 has them.
var zoneWords = strings.NewReplacer(
	" GMT+", " +", " GMT-", " -",
	" GMT", " +0000", " UTC", " +0000", " UT", " +0000",
	" EST", " -0500", " EDT", " -0400", " CST", " -0600", " CDT", " -0500",
	" MST", " -0700", " MDT", " -0600", " PST", " -0800", " PDT", " -0700",
)

// ParseTime reads a time as forges and git write it.
func ParseTime(s string) (time.Time, error) {
	text, _, _ := strings.Cut(s, "(") // a comment, as (CEST)
	text = strings.TrimSpace(zoneWords.Replace(text))
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: not in a form that is known", s)
}
