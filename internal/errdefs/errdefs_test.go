package errdefs

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func TestErrorNamesInputAndLine(t *testing.T) {
	err := BadInputf("cache-to", 2, "unknown cache type %q", "registy").WithHint("one of %s", "local, registry")
	if got, want := err.Error(), `input "cache-to" line 2: unknown cache type "registy"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Hints(fmt.Errorf("outer: %w", err)), []string{"one of local, registry"}; !reflect.DeepEqual(got, want) {
		t.Errorf("hints %q, want %q", got, want)
	}
}

func TestKindOf(t *testing.T) {
	denied := New(Denied, "no")
	cases := []struct {
		name string
		err  error
		want Kind
	}{
		{"plain", errors.New("x"), Unknown},
		{"wrapped", fmt.Errorf("push: %w", denied), Denied},
		{"unknown around denied", New(Unknown, "push: %w", denied), Denied},
		{"first of several", errors.Join(errors.New("x"), denied, New(BadInput, "y")), Denied},
		{"canceled wins", errors.Join(denied, New(Canceled, "stopped")), Canceled},
		{"a canceled context", fmt.Errorf("solve: %w", context.Canceled), Canceled},
		{"a deadline is no cancellation", fmt.Errorf("solve: %w", context.DeadlineExceeded), Unknown},
		{"none", nil, Unknown},
	}
	for _, c := range cases {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What errors.Join made is several lines for a person; what fmt.Errorf wrapped
// is one, however many causes it has.
func TestList(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	if got := List(errors.Join(a, errors.Join(b, nil))); len(got) != 2 {
		t.Errorf("joined: %v", got)
	}
	both := fmt.Errorf("copy: %w, then %w", a, b)
	if got := List(both); len(got) != 1 || got[0] != both {
		t.Errorf("wrapped: %v", got)
	}
	if List(nil) != nil {
		t.Error("no error is an empty list")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"registry", "gha", "local", "inline", "s3"}
	for word, want := range map[string]string{
		"registy": "registry", "regsitry": "registry", "Registry": "registry",
		"gah": "gha", "lcl": "", "s": "s3", "azblob": "", "": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
