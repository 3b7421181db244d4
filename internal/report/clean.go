package report

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"

	"github.com/hullwright/hullwright/internal/ci"
)

const (
	lineCap  = 400      // bytes of a line that is shown: a name, an error in a table
	blockCap = 64 << 10 // bytes of a block of lines
	rowCap   = 100      // rows of a table in Markdown
)

// text is one line of foreign text as it may be shown: no secret is in it, no
// control and no override of direction, and it is not long.
func (b Build) text(s string) string {
	return clip(strings.Join(strings.Fields(b.clean(s, 4*lineCap)), " "), lineCap)
}

// block is foreign text of several lines.
func (b Build) block(s string) string {
	return clip(strings.TrimRight(b.clean(s, 2*blockCap), "\n"), blockCap)
}

// clean hides secrets before anything is cut: a piece of one would not be known.
func (b Build) clean(s string, n int) string {
	if b.Hide != nil {
		s = b.Hide(s)
	}
	return ci.Clean(clip(s, n))
}

// clip is at most n bytes of s.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// address is a web address that may be a link, else nothing.
func address(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}

// short is a digest that a person can tell from others, without its algorithm.
func short(digest string) string {
	_, hex, ok := strings.Cut(digest, ":")
	if !ok {
		hex = digest
	}
	return hex[:min(len(hex), 12)]
}

// took is a duration as a person reads it: 12ms, 4.3s, 2m05s, 1h02m.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// size is a number of bytes as a person reads it: 3.4 MB.
func size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	return units.CustomSize("%.1f %s", float64(bytes), 1000, decimals)
}

var decimals = []string{"B", "kB", "MB", "GB", "TB", "PB"}

// count is "1 step" and "2 steps".
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
