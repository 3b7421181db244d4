package ci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// dotenvCap is the size of a dotenv report that GitLab takes by default,
// https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv.
const dotenvCap = 5 << 10

// dotenv is a file of KEY=value lines that later jobs read as variables.
//
// A name's hyphens become underscores and its case stays: tag-names is
// tag_names. A value of several lines, as a list of tags, is written on one,
// joined by commas. There is no quoting that all readers agree on, and GitLab
// expands "$" when a job starts, so a value that needs quotes is refused
// rather than changed.
type dotenv struct{ path string }

// set writes a variable, in the place of an older one of that name.
func (d dotenv) set(name, value string) error {
	if !outputKey.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	line, reason := dotenvLine(name, value)
	if reason != "" {
		return &Inexpressible{Name: name, Reason: reason}
	}
	old, err := d.read()
	if err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "dotenv-file", Err: err}
	}
	text := withoutKey(old, dotenvKey(name)) + line
	if len(text) > dotenvCap {
		return &Inexpressible{Name: name, Reason: fmt.Sprintf("%s would pass the %d bytes that a dotenv file may have on GitLab", filepath.Base(d.path), dotenvCap)}
	}
	if err := atomicwriter.WriteFile(d.path, []byte(text), 0o644); err != nil {
		return &errdefs.Error{Kind: errdefs.Environment, Input: "dotenv-file", Err: err}
	}
	return nil
}

// dotenvLine is the line for a value, or the reason why there is none.
func dotenvLine(name, value string) (line, reason string) {
	if !utf8.ValidString(value) {
		return "", "is not valid UTF-8"
	}
	lines := strings.Split(value, "\n")
	if len(lines) > 1 && strings.Contains(value, ",") {
		return "", "has several lines, and commas in them, which a dotenv file can't carry"
	}
	value = strings.Join(lines, ",")
	for _, r := range value {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"'`$\\#", r) {
			return "", fmt.Sprintf("holds %q, which a dotenv file can't carry", r)
		}
	}
	return dotenvKey(name) + "=" + value + "\n", ""
}

func dotenvKey(name string) string { return strings.ReplaceAll(name, "-", "_") }

// read gives what the file holds. A link is not followed: the file lies in the
// checkout, where a stranger's commit may have put one that leads out of it.
func (d dotenv) read() (string, error) {
	info, err := os.Lstat(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", d.path)
	}
	raw, err := os.ReadFile(d.path)
	if err != nil {
		return "", err
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		raw = append(raw, '\n')
	}
	return string(raw), nil
}

func withoutKey(text, key string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, key+"=") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
