package input

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Value is an input that a person set, as a report may show it.
type Value struct {
	Name string
	// Entries are a list's, and one otherwise. Of secrets they are the ids.
	Entries []string
	List    bool
}

// Values lists the inputs of opts that are not as they are by default, in the
// order of the fields. Nothing that may be a secret is among them: of [Secrets]
// what stands before "=", of an address no user and password, of a key whose
// name is that of a secret (token, secret_access_key) no value.
func Values(opts any) []Value {
	v := reflect.ValueOf(opts)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return appendValues(nil, v)
}

func appendValues(values []Value, v reflect.Value) []Value {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		switch _, named := sf.Tag.Lookup("env"); {
		case !sf.IsExported():
		case named:
			value := Value{Name: declare(v.Type(), sf).Name}
			value.Entries, value.List = entriesOf(v.Field(i).Interface(), sf.Tag.Get("envDefault"))
			if len(value.Entries) == 0 {
				continue
			}
			if isToken.MatchString(value.Name) {
				value.Entries = []string{concealed}
			}
			values = append(values, value)
		case sf.Type.Kind() == reflect.Struct:
			values = appendValues(values, v.Field(i))
		}
	}
	return values
}

// entriesOf gives a field's value as text, and whether it is a list. What is as
// by default gives nothing.
func entriesOf(value any, standard string) (entries []string, list bool) {
	switch value := value.(type) {
	case Secret:
		if value == "" {
			return nil, false
		}
		return []string{concealed}, false
	case Secrets:
		for _, secret := range value {
			entries = append(entries, idOf(secret))
		}
		return entries, true
	case Records:
		for _, record := range value {
			entries = append(entries, conceal(record.Text))
		}
		return entries, true
	case time.Duration:
		if d, err := time.ParseDuration(standard); value == 0 || err == nil && d == value {
			return nil, false
		}
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice { // Lines, Words, []string
		for i := range v.Len() {
			entries = append(entries, conceal(v.Index(i).String()))
		}
		return entries, true
	}
	text := fmt.Sprint(value)
	if text == standard || standard == "" && reflect.ValueOf(value).IsZero() {
		return nil, false
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = conceal(lines[i])
	}
	return []string{strings.Join(lines, "\n")}, false
}

const concealed = "***"

// idOf is a secret's id; of one that is its value alone there is nothing to show.
func idOf(secret string) string {
	id, _, named := strings.Cut(secret, "=")
	if !named || !secretID.MatchString(strings.TrimSpace(id)) {
		return concealed
	}
	return strings.TrimSpace(id)
}

var (
	// secretID is what may stand before "=" and be no piece of a secret, as the
	// first line of a key in base64 is.
	secretID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	// login is the user and the password in an address. An image's reference
	// (docker-image://alpine@sha256:...) has neither.
	login = regexp.MustCompile(`((?:https?|git|ssh|ftp|tcp|socks5h?)://)[^/@\s,"]+@`)
	// isToken is the name of an input that is one secret.
	isToken = regexp.MustCompile(`(?:token|password|key)$`)
	// pair is a key and its value in a list of them.
	pair = regexp.MustCompile(`([A-Za-z0-9_.-]+)=([^,\s"]+|"[^"]*")`)
	// secretKey is the name of what is a secret.
	secretKey = regexp.MustCompile(`(?i)token|secret|passw|pword|credential|(?:^|[_.-])(?:api|access|account|private)?[_.-]?(?:key|auth)(?:$|[_.-])`)
)

// conceal is text without what may be a secret.
func conceal(text string) string {
	if key, _, ok := strings.Cut(text, "="); ok && secretID.MatchString(key) && secretKey.MatchString(key) {
		return key + "=" + concealed
	}
	text = login.ReplaceAllString(text, "${1}"+concealed+"@")
	return pair.ReplaceAllStringFunc(text, func(pair string) string {
		if key, _, _ := strings.Cut(pair, "="); secretKey.MatchString(key) {
			return key + "=" + concealed
		}
		return pair
	})
}
