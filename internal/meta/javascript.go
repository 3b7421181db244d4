package meta

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// What follows behaves as JavaScript's functions of these names do: rules were
// read by them first, and workflows rely on what they give.

// trim cuts blanks, U+FEFF among them and U+0085 not.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r == '\uFEFF' || r != '\u0085' && unicode.IsSpace(r) })
}

var decimal = regexp.MustCompile(`^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$`)

// number is Number(s): NaN where s is none, 0 where it is blank.
func number(s string) float64 {
	s = trim(s)
	switch {
	case s == "":
		return 0
	case s == "Infinity", s == "+Infinity":
		return math.Inf(1)
	case s == "-Infinity":
		return math.Inf(-1)
	case decimal.MatchString(s):
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && math.IsInf(f, 0) { // too large is Infinity there too
			return f
		}
		return f
	}
	if len(s) > 2 && s[0] == '0' && !strings.Contains(s, "_") {
		if base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'O': 8, 'b': 2, 'B': 2}[s[1]]; base != 0 && s[2] != '-' && s[2] != '+' {
			if n, ok := new(big.Int).SetString(s[2:], base); ok {
				f, _ := new(big.Float).SetInt(n).Float64()
				return f
			}
		}
	}
	return math.NaN()
}

// lower is toLowerCase.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return cases.Lower(language.Und).String(s)
		}
	}
	return strings.ToLower(s)
}

func itoa(n int) string { return strconv.Itoa(n) }
