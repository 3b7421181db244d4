package login

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/login"
)

// passwordLimit is the longest password that is read from a file or a pipe: a
// service account's key has 3 kB.
const passwordLimit = 64 << 10

// accounts are the logins that are asked for, each registry and scope once. Their
// passwords are hidden before anything is printed.
func (o Options) accounts(env *cli.Env) ([]login.Account, error) {
	if o.RegistryAuth != "" {
		return o.listed(env)
	}
	password, err := o.password(env)
	if password != "" {
		env.CI.Mask(password)
	}
	a, faults := o.account(written{
		registry: o.Registry, username: o.Username, password: password, ecr: o.ECR, scope: o.Scope, input: "registry",
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return []login.Account{a}, nil
}

// password is the one that was given, in one of its ways.
func (o Options) password(env *cli.Env) (string, error) {
	given := 0
	for _, is := range []bool{o.Password != "", o.PasswordStdin, o.PasswordFile != ""} {
		if is {
			given++
		}
	}
	if given > 1 {
		return "", errdefs.BadInputf("password", 0, "it is given twice").
			WithHint("give one of password, password-file and password-stdin")
	}
	switch {
	case o.PasswordStdin:
		return readPassword("password-stdin", env.Stdin)
	case o.PasswordFile != "":
		f, err := os.Open(within(env.Dir, o.PasswordFile))
		if err != nil {
			return "", errdefs.BadInputf("password-file", 0, "%w", err)
		}
		defer f.Close()
		return readPassword("password-file", f)
	}
	return string(o.Password), nil
}

// readPassword takes off the one line break that programs put behind, as docker
// login does.
func readPassword(input string, r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, passwordLimit+1))
	switch {
	case err != nil:
		return "", errdefs.BadInputf(input, 0, "%w", err)
	case len(raw) > passwordLimit:
		return "", errdefs.BadInputf(input, 0, "longer than %d KiB", passwordLimit>>10)
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if len(raw) == 0 {
		return "", errdefs.BadInputf(input, 0, "it is empty")
	}
	return string(raw), nil
}

// written is a login as its user wrote it.
type written struct {
	registry, username, password, ecr, scope string
	input                                    string
	line                                     int
}

// account parses one login, and gives every fault.
func (o Options) account(w written) (login.Account, []error) {
	var faults []error
	reg, err := login.ParseRegistry(w.input, w.line, w.registry)
	if err != nil {
		faults = append(faults, err)
	}
	a := login.Account{
		Registry: reg, Username: w.username, Password: w.password,
		ECR: strings.ToLower(w.ecr), Scope: w.scope, Input: w.input, Line: w.line,
	}
	switch a.ECR {
	case "", "auto", "true", "false":
	default:
		faults = append(faults, errdefs.BadInputf(named(w.input, "ecr"), w.line, "unknown value %q", w.ecr).WithHint("one of auto, true, false"))
	}
	if o.ScopeOff {
		a.Scope = ""
	}
	if a.Scope != "" && err == nil {
		scoped := a
		scoped.Input = named(w.input, "scope")
		if _, err := login.ScopedDirectory("", scoped); err != nil {
			faults = append(faults, err)
		}
	}
	return a, faults
}

// named is the input of a single login's part; all of a list's are in one input.
func named(list, part string) string {
	if list == "registry-auth" {
		return list
	}
	return part
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// listed reads the input registry-auth. Errors hold nothing of its values.
func (o Options) listed(env *cli.Env) ([]login.Account, error) {
	const input = "registry-auth"
	var doc yaml.Node
	err := yaml.Unmarshal([]byte(o.RegistryAuth), &doc)
	var list []*yaml.Node
	if err == nil && len(doc.Content) == 1 && doc.Content[0].Kind == yaml.SequenceNode {
		list = doc.Content[0].Content
	}
	faults := o.besides(input)
	switch {
	case err != nil:
		line := 0
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1]) // digits alone
		}
		faults = append(faults, errdefs.BadInputf(input, line, "no YAML"))
	case len(list) == 0:
		faults = append(faults, errdefs.BadInputf(input, 0, "no list of logins").
			WithHint("write one login after the other: - registry: ghcr.io, then username and password below"))
	}
	var accounts []login.Account
	seen := map[string]bool{}
	for _, node := range list {
		w, more := readLogin(input, node)
		if w.password != "" {
			env.CI.Mask(w.password)
		}
		faults = append(faults, more...)
		if len(more) > 0 {
			continue
		}
		a, more := o.account(w)
		key := a.Registry.RegistryStr() + " " + a.Scope
		if len(more) == 0 && seen[key] {
			more = append(more, errdefs.BadInputf(input, w.line, "%s is there twice", strings.TrimSpace(key)).
				WithHint("a registry has one login; scope tells several apart"))
		}
		seen[key] = true
		faults = append(faults, more...)
		accounts = append(accounts, a)
	}
	return accounts, errors.Join(faults...)
}

// besides are faults of inputs that are given beside the list.
func (o Options) besides(input string) []error {
	var faults []error
	for _, other := range []struct {
		name  string
		given bool
	}{
		{"registry", o.Registry != ""},
		{"username", o.Username != ""},
		{"password", o.Password != "" || o.PasswordStdin || o.PasswordFile != ""},
		{"ecr", o.ECR != ""},
		{"scope", o.Scope != ""},
	} {
		if other.given {
			faults = append(faults, errdefs.BadInputf(other.name, 0, "%s is given too", input).
				WithHint("put this login into the list as well"))
		}
	}
	return faults
}

var loginKeys = []string{"registry", "username", "password", "ecr", "scope"}

// readLogin reads one login of the list.
func readLogin(input string, node *yaml.Node) (written, []error) {
	w := written{input: input, line: node.Line}
	if node.Kind != yaml.MappingNode {
		return w, []error{errdefs.BadInputf(input, node.Line, "no login").WithHint("its keys are %s", strings.Join(loginKeys, ", "))}
	}
	parts := map[string]*string{
		"registry": &w.registry, "username": &w.username, "password": &w.password, "ecr": &w.ecr, "scope": &w.scope,
	}
	var faults []error
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		part, known := parts[key.Value]
		switch {
		case !known:
			fault := errdefs.BadInputf(input, key.Line, "unknown key %s", shown(key.Value))
			hint := "one of " + strings.Join(loginKeys, ", ")
			if near := errdefs.Nearest(key.Value, loginKeys); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			faults = append(faults, fault.WithHint("%s", hint))
		case value.Kind != yaml.ScalarNode:
			faults = append(faults, errdefs.BadInputf(input, value.Line, "%s is no text", key.Value))
		case value.Tag != "!!null":
			*part = strings.TrimSpace(value.Value)
		}
	}
	return w, faults
}

// word is what a key that was misspelled looks like; others may be a secret in the
// wrong place.
var word = regexp.MustCompile(`^[A-Za-z_-]{1,16}$`)

func shown(key string) string {
	if word.MatchString(key) {
		return fmt.Sprintf("%q", key)
	}
	return "(not shown)"
}

// environ is the environment with what inputs say in place of its variables.
func (o Options) environ(environ map[string]string) map[string]string {
	out := maps.Clone(environ)
	set := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	set("DOCKERHUB_OIDC_CONNECTIONID", o.Connection)
	set("DOCKERHUB_OIDC_EXPIREIN", strconv.Itoa(o.ConnectionIn))
	set("AWS_ACCOUNT_IDS", strings.Join(o.AccountIDs, ","))
	return out
}

// basic is how credentials go over the wire, which logs may show as well.
func basic(c login.Credentials) string {
	return base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
}
