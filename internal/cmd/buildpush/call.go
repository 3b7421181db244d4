package buildpush

import (
	"context"
	"errors"
	"strconv"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// callMethods are what a frontend can be asked, by the names that people write;
// build asks nothing.
var callMethods = map[string]string{
	"build": "", "check": "lint", "lint": "lint", "outline": "outline", "targets": "targets",
	"subrequests.describe": "subrequests.describe",
}

// parseCall reads what is asked instead of building.
func (j *job) parseCall(context.Context) (err error) {
	j.request.Call, err = parseCall(j.options.Call)
	return err
}

// parseCall reads a method, with format= and ignorestatus= after commas.
func parseCall(text string) (builder.Call, error) {
	fields, err := input.ParseRecord(text)
	if err != nil {
		return builder.Call{}, at("call", 0, err)
	}
	var c builder.Call
	var errs []error
	named := false
	bad := func(format string, args ...any) {
		errs = append(errs, errdefs.BadInputf("call", 0, format, args...))
	}
	for _, f := range fields {
		switch method, known := callMethods[f.Value]; f.Key {
		case "":
			if !known || named {
				bad("unknown method %q; expected one of build, check, outline, targets, subrequests.describe", f.Value)
			}
			c.Method, named = method, true
		case "format":
			if f.Value != "text" && f.Value != "json" {
				bad("unknown format %q; expected text or json", f.Value)
			}
			c.Format = f.Value
		case "ignorestatus":
			if c.IgnoreStatus, err = strconv.ParseBool(f.Value); err != nil {
				bad("ignorestatus=%q is neither true nor false", f.Value)
			}
		default:
			bad("unknown key %q; expected format or ignorestatus", f.Key)
		}
	}
	if len(fields) > 0 && !named {
		bad("no method in %q", text)
	}
	if c.Method == "" {
		c = builder.Call{}
	}
	return c, errors.Join(errs...)
}
