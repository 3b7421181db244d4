package handlebars

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// TextHelpers are helpers for texts, which Handlebars has not of itself:
//
//	lower TEXT, upper TEXT
//	replace TEXT FROM TO      every FROM
//	slice TEXT START [END]    characters, counted from 0, or from the end below it
//	split TEXT AT [N]         the parts, or the one at N
//	default TEXT OTHER...     the first that is not empty
//
// They are for [Template.RenderWith].
func TextHelpers() map[string]Func {
	return map[string]Func{
		"lower":   textHelper("lower TEXT", 1, 1, func(a []any) (any, error) { return strings.ToLower(String(a[0])), nil }),
		"upper":   textHelper("upper TEXT", 1, 1, func(a []any) (any, error) { return strings.ToUpper(String(a[0])), nil }),
		"replace": textHelper("replace TEXT FROM TO", 3, 3, replaceText),
		"slice":   textHelper("slice TEXT START [END]", 2, 3, sliceText),
		"split":   textHelper("split TEXT AT [N]", 2, 3, splitText),
		"default": textHelper("default TEXT OTHER...", 2, math.MaxInt, firstText),
	}
}

// textHelper is a helper that takes from least to most arguments.
func textHelper(usage string, least, most int, do func(args []any) (any, error)) Func {
	return func(c Call) (any, error) {
		if len(c.Args) < least || len(c.Args) > most || len(c.Hash) > 0 {
			return nil, fmt.Errorf("{{%s}} was given %d arguments", usage, len(c.Args)+len(c.Hash))
		}
		args := make([]any, len(c.Args))
		for i, a := range c.Args {
			v, err := invoke(a, Call{})
			if err != nil {
				return nil, err
			}
			args[i] = v
		}
		return do(args)
	}
}

// replaceText bounds its result: calls of it may nest.
func replaceText(args []any) (any, error) {
	text, from, to := String(args[0]), String(args[1]), String(args[2])
	if from == "" {
		return nil, errors.New("replace needs a text to be replaced")
	}
	if len(text)+strings.Count(text, from)*len(to) > outputCap {
		return nil, errTooLarge
	}
	return strings.ReplaceAll(text, from, to), nil
}

func sliceText(args []any) (any, error) {
	text := []rune(String(args[0]))
	start, err := offset(args[1], len(text))
	if err != nil {
		return nil, err
	}
	end := len(text)
	if len(args) == 3 {
		if end, err = offset(args[2], len(text)); err != nil {
			return nil, err
		}
	}
	return string(text[start:max(start, end)]), nil
}

// offset is a place within n elements; below 0 it counts from the end.
func offset(v any, n int) (int, error) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) {
		return 0, fmt.Errorf("%q is no whole number", String(v))
	}
	if f < 0 {
		f += float64(n)
	}
	return int(max(0, min(f, float64(n)))), nil
}

func splitText(args []any) (any, error) {
	separator := String(args[1])
	if separator == "" {
		return nil, errors.New("split needs a text to split at")
	}
	parts := strings.Split(String(args[0]), separator)
	if len(args) == 2 {
		list := make([]any, len(parts))
		for i, p := range parts {
			list[i] = p
		}
		return list, nil
	}
	i, err := offset(args[2], len(parts))
	if err != nil || i == len(parts) || args[2].(float64) < -float64(len(parts)) {
		return "", err
	}
	return parts[i], nil
}

func firstText(args []any) (any, error) {
	for _, a := range args {
		if text := String(a); text != "" {
			return text, nil
		}
	}
	return "", nil
}
