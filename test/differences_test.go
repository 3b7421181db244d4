package test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDifferences checks that nothing that differs is passed over.
func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		buildx, hullwright facts
		want               []string
	}{
		"equal": {facts{"a/b": "1"}, facts{"a/b": "1"}, nil},
		"value": {facts{"a/b": "1"}, facts{"a/b": "2"}, []string{`a/b: buildx "1", hullwright "2"`}},
		"empty": {facts{"a": ""}, facts{}, []string{`a: buildx "", hullwright none`}},
		"a whole part": {
			facts{"x/y/a": "1", "x/y/b": "2", "x/z": "3"}, facts{"x/z": "3"},
			[]string{`x/y: buildx "1", hullwright none`},
		},
		"another part": {
			facts{"x/ya": "1"}, facts{"x/ya": "1", "x/y": "2"},
			[]string{`x/y: buildx none, hullwright "2"`},
		},
		"an end hides what follows from it": {
			facts{"exit": "0", "image": "1"}, facts{"exit": "fails"},
			[]string{`exit: buildx "0", hullwright "fails"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range differences(c.buildx, c.hullwright) {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}
