package moment_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/hullwright/hullwright/internal/meta/moment"
)

// The results are those of moment.js 2.30.1.
func TestFormat(t *testing.T) {
	at := time.Date(2020, time.January, 3, 14, 5, 9, 87_654_321, time.UTC)
	for layout, want := range map[string]string{
		"":                            "2020-01-03T14:05:09Z",
		"YYYY YY Y YYYYY YYYYYY YYY":  "2020 20 2020 02020 +002020 202020",
		"y yy yyyy yo N NNNN":         "2020 2020 2020 2020th AD Anno Domini",
		"Q Qo M Mo MM MMM MMMM":       "1 1st 1 1st 01 Jan January",
		"D Do DD DDD DDDo DDDD":       "3 3rd 03 3 3rd 003",
		"d do dd ddd dddd e E":        "5 5th Fr Fri Friday 5 5",
		"w wo ww W Wo WW":             "1 1st 01 1 1st 01",
		"gg gggg ggggg GG GGGG GGGGG": "20 2020 02020 20 2020 02020",
		"H HH h hh k kk a A":          "14 14 2 02 14 14 pm PM",
		"m mm s ss S SS SSS SSSS":     "5 05 9 09 0 08 087 0870",
		"hmm hmmss Hmm Hmmss":         "205 20509 1405 140509",
		"z zz Z ZZ X x":               "UTC UTC +00:00 +0000 1578060309 1578060309087",
		"LT LTS":                      "2:05 PM 2:05:09 PM",
		"L LL LLL":                    "01/03/2020 January 3, 2020 January 3, 2020 2:05 PM",
		"LLLL":                        "Friday, January 3, 2020 2:05 PM",
		"l ll lll llll":               "1/3/2020 Jan 3, 2020 Jan 3, 2020 2:05 PM Fri, Jan 3, 2020 2:05 PM",
		"[Today is] dddd":             "Today is Friday",
		"[YYYY]YYYY [a]b]":            "YYYY2020 a]b",
		`\YYYY \[x \L`:                "YYYY [1578060309087 L",
		"[unclosed YYYY":              "[unc1/3/2020o955 2020",
		"foo T-:/ü":                   "foo T-:/ü",
		"w| [] \n.":                   "w|  .",
	} {
		if got := moment.Format(at, layout, moment.Options{}); got != want {
			t.Errorf("%q: got %q, want %q", layout, got, want)
		}
	}
}

func TestWeeks(t *testing.T) {
	for day, want := range map[string]string{
		"2019-12-28": "2019-52 2019-52", "2019-12-29": "2020-1 2019-52", "2019-12-31": "2020-1 2020-1", "2021-01-01": "2021-1 2020-53",
		"2022-01-01": "2022-1 2021-52", "2022-12-31": "2022-53 2022-52", "2023-01-01": "2023-1 2022-52", "2024-12-30": "2025-1 2025-1",
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := moment.Format(at, "gggg-w GGGG-W", moment.Options{}); got != want {
			t.Errorf("%s: got %q, want %q", day, got, want)
		}
	}
}

func TestZones(t *testing.T) {
	at := time.Date(2024, time.July, 1, 23, 30, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"Asia/Tokyo": "2024-07-02 08:30 +09:00 JST", "asia_tokyo": "2024-07-02 08:30 +09:00 JST", "EUROPE/paris": "2024-07-02 01:30 +02:00 CEST",
		"Australia/Lord_Howe": "2024-07-02 10:00 +10:30 +1030", "America/St_Johns": "2024-07-01 21:00 -02:30 NDT", "Zulu": "2024-07-01 23:30 +00:00 UTC",
		"Etc/GMT+5": "2024-07-01 18:30 -05:00 -05", "US/Pacific": "2024-07-01 16:30 -07:00 PDT", "utc": "2024-07-01 23:30 +00:00 UTC",
	} {
		zone, ok := moment.Zone(name)
		if !ok {
			t.Errorf("%s is not known", name)
			continue
		}
		if got := moment.Format(at.In(zone), "YYYY-MM-DD HH:mm Z z", moment.Options{}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "Foo/Bar", "UTC+2", "+02:00", "../../etc/passwd", "Local"} {
		if zone, ok := moment.Zone(name); ok {
			t.Errorf("%q is %v", name, zone)
		}
	}
	if got := moment.Format(at, "Z[z]z", moment.Options{Local: true}); got != "+00:00z" {
		t.Errorf("a local time: %q", got)
	}
	if got := moment.Format(at, "", moment.Options{Local: true}); !strings.HasSuffix(got, "+00:00") {
		t.Errorf("a local time: %q", got)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("YYYY [x] LLLL Do", int64(1578060309), "Asia/Tokyo")
	f.Fuzz(func(t *testing.T, layout string, at int64, name string) {
		zone, ok := moment.Zone(name)
		if !ok {
			zone = time.UTC
		}
		got := moment.Format(time.Unix(at%253402300799, 0).In(zone), layout, moment.Options{})
		if !strings.ContainsAny(layout, "[\\") && strings.IndexFunc(layout, func(r rune) bool {
			return r >= 'A' && r <= 'z' || r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029'
		}) < 0 &&
			layout != "" && strings.ToValidUTF8(layout, "") == layout && got != layout {
			t.Errorf("%q has no token and gives %q", layout, got)
		}
	})
}
