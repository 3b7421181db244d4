package ci

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// propertiesFile is a Java properties file, which Jenkins reads with
// readProperties. It carries every value.
type propertiesFile struct{ path string }

// set writes a property, in the place of an older one of that name.
func (p propertiesFile) set(name, value string) error {
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	old, err := dotenv(p).read() // a link is not followed
	if err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err)
	}
	text := withoutKey(old, name) + name + "=" + escapeProperties(value) + "\n"
	if err := atomicwriter.WriteFile(p.path, []byte(text), 0o644); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err)
	}
	return nil
}

// escapeProperties escapes a value as java.util.Properties.store does. What is
// not ASCII becomes \uXXXX, since readers differ in the encoding they take.
func escapeProperties(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' && i == 0, strings.ContainsRune(`\:=#!`, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// propertiesCap is the size of the largest properties file that is read.
const propertiesCap = 5 << 20

// readProperties reads a Java properties file; one that is not there gives
// nothing.
func readProperties(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > propertiesCap {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, propertiesCap)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseProperties(string(raw)), nil
}

// parseProperties reads the format that java.util.Properties.load documents:
// comments, continued lines, escapes.
func parseProperties(text string) map[string]string {
	properties := map[string]string{}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continued(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		key, value := splitProperty(line)
		properties[unescapeProperties(key)] = unescapeProperties(value)
	}
	return properties
}

// continued says whether a line ends in an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty splits at the first "=", ":" or blank that is not escaped.
func splitProperty(line string) (key, value string) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '=', ':', ' ', '\t', '\f':
			rest := strings.TrimLeft(line[i:], " \t\f")
			if rest != "" && (rest[0] == '=' || rest[0] == ':') {
				rest = strings.TrimLeft(rest[1:], " \t\f")
			}
			return line[:i], rest
		}
	}
	return line, ""
}

func unescapeProperties(s string) string {
	var units []uint16 // of \uXXXX, which come in surrogate pairs
	var b strings.Builder
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = nil
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			flush()
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == 'u' && i+4 < len(s) {
			if unit, err := strconv.ParseUint(s[i+1:i+5], 16, 16); err == nil {
				units = append(units, uint16(unit))
				i += 4
				continue
			}
		}
		flush()
		b.WriteByte(unescaped(s[i]))
	}
	flush()
	return b.String()
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'f':
		return '\f'
	}
	return c
}
