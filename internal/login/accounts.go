package login

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Written is a login as a person wrote it.
type Written struct {
	Registry, Username, Password, ECR, Scope string
	// Input and Line are where, for faults.
	Input string
	Line  int
}

// Account parses one login, and gives every fault as an errdefs.BadInput, joined.
func (w Written) Account() (Account, error) {
	var faults []error
	reg, err := ParseRegistry(w.Input, w.Line, w.Registry)
	faults = append(faults, err)
	a := Account{
		Registry: reg, Username: w.Username, Password: w.Password,
		ECR: strings.ToLower(w.ECR), Scope: w.Scope, Input: w.Input, Line: w.Line,
	}
	switch a.ECR {
	case "", "auto", "true", "false":
	default:
		faults = append(faults, errdefs.BadInputf(named(w.Input, "ecr"), w.Line, "unknown value %q", w.ECR).WithHint("one of auto, true, false"))
	}
	if a.Scope != "" && err == nil {
		scoped := a
		scoped.Input = named(w.Input, "scope")
		_, err := ScopedDirectory("", scoped)
		faults = append(faults, err)
	}
	return a, errors.Join(faults...)
}

// listInput is the input that has a list of logins.
const listInput = "registry-auth"

// named is the input of a single login's part; all of a list's are in one input.
func named(list, part string) string {
	if list == listInput {
		return list
	}
	return part
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// ParseList reads the input registry-auth, a list in YAML of logins, each
// registry and scope once; with scopesOff no scope counts. hide is told of every
// password before anything else is done. Faults are errdefs.BadInput, joined, and
// hold nothing of the values.
func ParseList(text string, scopesOff bool, hide func(string)) ([]Account, error) {
	list, err := readList(text)
	faults := []error{err}
	var accounts []Account
	seen := map[string]bool{}
	for _, node := range list {
		w, err := readLogin(node)
		if w.Password != "" {
			hide(w.Password)
		}
		if scopesOff {
			w.Scope = ""
		}
		var a Account
		if err == nil {
			a, err = w.Account()
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		key := a.Registry.RegistryStr() + " " + a.Scope
		if seen[key] {
			faults = append(faults, errdefs.BadInputf(listInput, w.Line, "%s is there twice", strings.TrimSpace(key)).
				WithHint("a registry has one login; scope tells several apart"))
		}
		seen[key] = true
		accounts = append(accounts, a)
	}
	return accounts, errors.Join(faults...)
}

func readList(text string) ([]*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		line := 0
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1]) // digits alone
		}
		return nil, errdefs.BadInputf(listInput, line, "no YAML")
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.SequenceNode || len(doc.Content[0].Content) == 0 {
		return nil, errdefs.BadInputf(listInput, 0, "no list of logins").
			WithHint("write one login after the other: - registry: ghcr.io, then username and password below")
	}
	return doc.Content[0].Content, nil
}

// Besides gives a fault of each input that is given beside the list.
func Besides(single Written) error {
	var faults []error
	for _, other := range []struct{ name, value string }{
		{"registry", single.Registry},
		{"username", single.Username},
		{"password", single.Password},
		{"ecr", single.ECR},
		{"scope", single.Scope},
	} {
		if other.value != "" {
			faults = append(faults, errdefs.BadInputf(other.name, 0, "%s is given too", listInput).
				WithHint("put this login into the list as well"))
		}
	}
	return errors.Join(faults...)
}

var loginKeys = []string{"registry", "username", "password", "ecr", "scope"}

// readLogin reads one login of the list.
func readLogin(node *yaml.Node) (Written, error) {
	w := Written{Input: listInput, Line: node.Line}
	if node.Kind != yaml.MappingNode {
		return w, errdefs.BadInputf(listInput, node.Line, "no login").WithHint("its keys are %s", strings.Join(loginKeys, ", "))
	}
	parts := map[string]*string{
		"registry": &w.Registry, "username": &w.Username, "password": &w.Password, "ecr": &w.ECR, "scope": &w.Scope,
	}
	var faults []error
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		part, known := parts[key.Value]
		switch {
		case !known:
			faults = append(faults, unknownKey(key))
		case value.Kind != yaml.ScalarNode:
			faults = append(faults, errdefs.BadInputf(listInput, value.Line, "%s is no text", key.Value))
		case value.Tag != "!!null":
			*part = strings.TrimSpace(value.Value)
		}
	}
	return w, errors.Join(faults...)
}

// word is what a key that was misspelled looks like; others may be a secret in the
// wrong place.
var word = regexp.MustCompile(`^[A-Za-z_-]{1,16}$`)

func unknownKey(key *yaml.Node) error {
	shown := "(not shown)"
	if word.MatchString(key.Value) {
		shown = fmt.Sprintf("%q", key.Value)
	}
	fault := errdefs.BadInputf(listInput, key.Line, "unknown key %s", shown)
	if near := errdefs.Nearest(key.Value, loginKeys); near != "" {
		return fault.WithHint("did you mean %s?", near)
	}
	return fault.WithHint("one of %s", strings.Join(loginKeys, ", "))
}
