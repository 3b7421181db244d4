package ci

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// outputKey is what a name may be made of. The runner splits a line of its
// command files at the first "=" or "<<", so neither may be in a name.
var outputKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// fileCommand is a name and a value as the runner's command files
// (GITHUB_OUTPUT, GITHUB_ENV, GITHUB_STATE) take them: a here-document whose
// delimiter nobody can guess and that occurs in neither.
func fileCommand(name, value string) (string, error) {
	if !outputKey.MatchString(name) {
		return "", fmt.Errorf("output name %q: must match %s", name, outputKey)
	}
	for {
		token, err := randomToken()
		if err != nil {
			return "", err
		}
		delimiter := "hullwright_" + token
		if strings.Contains(name, delimiter) || strings.Contains(value, delimiter) {
			continue
		}
		return name + "<<" + delimiter + "\n" + value + "\n" + delimiter + "\n", nil
	}
}

// randomToken is 128 random bits in hex.
func randomToken() (string, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(raw[:]), nil
}

// appendFile adds text to a file of the runner in one write, so that two
// programs of one step do not tear each other's entries.
func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
