package doctor

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/cmd/buildpush"
	"github.com/hullwright/hullwright/internal/input"
)

// own are the inputs that are not build-push's, or mean something else there.
var own = []string{"PUSH", "ONLY", "FORMAT", "TIMEOUT", "STRICT"}

// TestApply finds an input that doctor takes and does not hand to build-push's
// door, and one that build-push does not have.
func TestApply(t *testing.T) {
	var o Options
	fill(reflect.ValueOf(&o).Elem())
	var build buildpush.Options
	o.apply(&build)
	given, taken := values(reflect.ValueOf(o)), values(reflect.ValueOf(build))
	for name, value := range given {
		switch got, known := taken[name]; {
		case slices.Contains(own, name), name == "PROVIDER", name == "OUTPUTS-FILE", name == "DOTENV-FILE":
		case !known:
			t.Errorf("build-push has no input %s", name)
		case !reflect.DeepEqual(got, value):
			t.Errorf("%s is handed on as %v, want %v", name, got, value)
		}
	}
	if len(given) < 20 {
		t.Fatalf("only %d inputs were looked at", len(given))
	}
}

// fill gives every input a value.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		if _, ok := v.Type().Field(i).Tag.Lookup("env"); !ok {
			continue
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = "x"
		case *bool:
			*f = true
		case *time.Duration:
			*f = 1
		case *input.Words:
			*f = input.Words{"x"}
		case *input.Lines:
			*f = input.Lines{"x"}
		case *[]string:
			*f = []string{"x"}
		case *input.Records:
			*f = input.Records{{Line: 1, Text: "x"}}
		default:
			panic(v.Type().Field(i).Name)
		}
	}
}

// values are the inputs of options, those of embedded structs too.
func values(v reflect.Value) map[string]any {
	found := map[string]any{}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		switch name, ok := sf.Tag.Lookup("env"); {
		case !sf.IsExported():
		case ok:
			found[name] = v.Field(i).Interface()
		case sf.Type.Kind() == reflect.Struct:
			for name, value := range values(v.Field(i)) {
				found[name] = value
			}
		}
	}
	return found
}
