// Package moment formats times as moment.js 2.30 does, in its English locale.
//
// Begin with [Format]; [Zone] finds time zones. The tokens are those of
// https://momentjs.com/docs/#/displaying/format/. Zone data is the program's
// matter: import time/tzdata where the machine may have none.
package moment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Invalid is what every layout makes of a time that is none.
const Invalid = "Invalid date"

const (
	// tokens are moment's own, in its order.
	tokens     = `[Hh]mm(?:ss)?|Mo|MM?M?M?|Do|DDDo|DD?D?D?|ddd?d?|do?|w[o|w]?|W[o|W]?|Qo?|N{1,5}|YYYYYY|YYYYY|YYYY|YY|y{2,4}|yo?|gg(?:ggg?)?|GG(?:GGG?)?|e|E|a|A|hh?|HH?|kk?|mm?|ss?|S{1,9}|x|X|zz?|ZZ?`
	longTokens = `LTS|LT|LL?L?L?|l{1,4}`
	anyChar    = `[^\n\r\x{2028}\x{2029}]`
)

// A text in brackets is literal, and a backslash makes a token so.
var formatting = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\[[^\[]*\]|\\?(?:` + tokens + `|` + anyChar + `)`)
})

var longFormatting = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\[[^\[]*\]|\\?(?:` + longTokens + `)`)
})

// longFormats are the English locale's.
var longFormats = map[string]string{
	"LTS": "h:mm:ss A", "LT": "h:mm A",
	"L": "MM/DD/YYYY", "LL": "MMMM D, YYYY", "LLL": "MMMM D, YYYY h:mm A", "LLLL": "dddd, MMMM D, YYYY h:mm A",
	"l": "M/D/YYYY", "ll": "MMM D, YYYY", "lll": "MMM D, YYYY h:mm A", "llll": "ddd, MMM D, YYYY h:mm A",
}

// Options change how a time is shown.
type Options struct {
	// Local is a time in no named zone: it has an offset and no abbreviation.
	Local bool
}

// Format is t, in its own location, as layout says. An empty layout is
// ISO 8601 to the second.
func Format(t time.Time, layout string, o Options) string {
	t = t.Truncate(time.Millisecond)
	if layout == "" {
		layout = "YYYY-MM-DDTHH:mm:ssZ"
		if _, offset := t.Zone(); offset == 0 && !o.Local {
			layout = "YYYY-MM-DDTHH:mm:ss[Z]"
		}
	}
	var b strings.Builder
	for _, token := range formatting().FindAllString(expand(layout), -1) {
		if s, ok := format(t, token, o); ok {
			b.WriteString(s)
		} else {
			b.WriteString(literal(token))
		}
	}
	return b.String()
}

// expand writes out the locale's long formats, which may name others.
func expand(layout string) string {
	for range 6 {
		if !longFormatting().MatchString(layout) {
			break
		}
		layout = longFormatting().ReplaceAllStringFunc(layout, func(token string) string {
			if long, ok := longFormats[token]; ok {
				return long
			}
			return token
		})
	}
	return layout
}

func literal(token string) string {
	if i := strings.Index(token, "["); i >= 0 && i < len(token)-1 {
		return strings.TrimSuffix(strings.TrimPrefix(token, "["), "]")
	}
	return strings.ReplaceAll(token, `\`, "")
}

// format is what a token stands for.
func format(t time.Time, token string, o Options) (string, bool) {
	if token[0] == 'S' && strings.Trim(token, "S") == "" {
		return fraction(t, len(token)), true
	}
	if s, ok := formatDate(t, token); ok {
		return s, true
	}
	if s, ok := formatClock(t, token); ok {
		return s, true
	}
	switch token {
	case "z", "zz":
		if o.Local {
			return "", true
		}
		abbreviation, _ := t.Zone()
		return abbreviation, true
	case "Z":
		return offset(t, ":"), true
	case "ZZ":
		return offset(t, ""), true
	case "X":
		return strconv.FormatInt(t.Unix(), 10), true
	case "x":
		return strconv.FormatInt(t.UnixMilli(), 10), true
	}
	return "", false
}

func formatDate(t time.Time, token string) (string, bool) {
	if s, ok := formatYear(t, token); ok {
		return s, true
	}
	day, weekday := t.Day(), int(t.Weekday())
	switch token {
	case "Q":
		return strconv.Itoa(quarter(t)), true
	case "Qo":
		return ordinal(quarter(t)), true
	case "M":
		return strconv.Itoa(int(t.Month())), true
	case "Mo":
		return ordinal(int(t.Month())), true
	case "MM":
		return pad(int(t.Month()), 2), true
	case "MMM":
		return t.Month().String()[:3], true
	case "MMMM":
		return t.Month().String(), true
	case "D":
		return strconv.Itoa(day), true
	case "Do":
		return ordinal(day), true
	case "DD":
		return pad(day, 2), true
	case "DDD":
		return strconv.Itoa(t.YearDay()), true
	case "DDDo":
		return ordinal(t.YearDay()), true
	case "DDDD":
		return pad(t.YearDay(), 3), true
	case "d", "e":
		return strconv.Itoa(weekday), true
	case "do":
		return ordinal(weekday), true
	case "dd":
		return t.Weekday().String()[:2], true
	case "ddd":
		return t.Weekday().String()[:3], true
	case "dddd":
		return t.Weekday().String(), true
	case "E":
		return strconv.Itoa((weekday+6)%7 + 1), true
	}
	return formatWeek(t, token)
}

func formatYear(t time.Time, token string) (string, bool) {
	year := t.Year()
	switch token {
	case "Y":
		if year > 9999 {
			return "+" + strconv.Itoa(year), true
		}
		return pad(year, 4), true
	case "YY":
		return pad(year%100, 2), true
	case "YYYY", "YYYYY":
		return pad(year, len(token)), true
	case "YYYYYY":
		return "+" + pad(year, 6), true
	case "y":
		return strconv.Itoa(year), true
	case "yy", "yyy", "yyyy":
		return pad(year, len(token)), true
	case "yo":
		return ordinal(year), true
	case "N", "NN", "NNN", "NNNNN":
		return "AD", true
	case "NNNN":
		return "Anno Domini", true
	}
	return "", false
}

func formatWeek(t time.Time, token string) (string, bool) {
	year, week := usWeek(t)
	if token[0] == 'W' || token[0] == 'G' {
		year, week = t.ISOWeek()
	}
	switch token {
	case "w", "W":
		return strconv.Itoa(week), true
	case "wo", "Wo":
		return ordinal(week), true
	case "ww", "WW":
		return pad(week, 2), true
	case "gg", "GG":
		return pad(year%100, 2), true
	case "gggg", "ggggg", "GGGG", "GGGGG":
		return pad(year, len(token)), true
	}
	return "", false
}

func formatClock(t time.Time, token string) (string, bool) {
	hour, minute, second := t.Clock()
	twelve := (hour+11)%12 + 1
	switch token {
	case "H":
		return strconv.Itoa(hour), true
	case "HH":
		return pad(hour, 2), true
	case "h":
		return strconv.Itoa(twelve), true
	case "hh":
		return pad(twelve, 2), true
	case "k":
		return strconv.Itoa((hour+23)%24 + 1), true
	case "kk":
		return pad((hour+23)%24+1, 2), true
	case "hmm":
		return fmt.Sprintf("%d%02d", twelve, minute), true
	case "hmmss":
		return fmt.Sprintf("%d%02d%02d", twelve, minute, second), true
	case "Hmm":
		return fmt.Sprintf("%d%02d", hour, minute), true
	case "Hmmss":
		return fmt.Sprintf("%d%02d%02d", hour, minute, second), true
	case "a":
		return t.Format("pm"), true
	case "A":
		return t.Format("PM"), true
	case "m":
		return strconv.Itoa(minute), true
	case "mm":
		return pad(minute, 2), true
	case "s":
		return strconv.Itoa(second), true
	case "ss":
		return pad(second, 2), true
	}
	return "", false
}

// fraction is the milliseconds in n digits.
func fraction(t time.Time, n int) string {
	digits := pad(t.Nanosecond()/int(time.Millisecond), 3)
	if n <= 3 {
		return digits[:n]
	}
	return digits + strings.Repeat("0", n-3)
}

func offset(t time.Time, separator string) string {
	_, seconds := t.Zone()
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	minutes := (seconds + 30) / 60
	return sign + pad(minutes/60, 2) + separator + pad(minutes%60, 2)
}

// usWeek counts weeks from the one that holds January 1; they begin on Sunday.
func usWeek(t time.Time) (year, week int) {
	year = t.Year()
	saturday := t.YearDay() + 6 - int(t.Weekday()) // of this week, as a day of the year
	if days := daysIn(year); saturday > days {
		return year + 1, 1
	}
	return year, (saturday + 6) / 7
}

func daysIn(year int) int { return time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC).YearDay() }

func quarter(t time.Time) int { return (int(t.Month()) + 2) / 3 }

func pad(n, width int) string { return fmt.Sprintf("%0*d", width, n) }

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
