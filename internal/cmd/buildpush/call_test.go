package buildpush

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
)

func TestParseCall(t *testing.T) {
	for text, want := range map[string]builder.Call{
		"":                                 {},
		"build":                            {},
		"build,format=json":                {},
		"check":                            {Method: "lint"},
		"lint,ignorestatus=true":           {Method: "lint", IgnoreStatus: true},
		"outline,format=json":              {Method: "outline", Format: "json"},
		"format=text,targets":              {Method: "targets", Format: "text"},
		"subrequests.describe,format=json": {Method: "subrequests.describe", Format: "json"},
	} {
		got, err := parseCall(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"chek":                 `unknown method "chek"`,
		"check,outline":        `unknown method "outline"`,
		"check,format=yaml":    `unknown format "yaml"`,
		"check,ignorestatus=2": `ignorestatus="2"`,
		"check,colour=no":      `unknown key "colour"`,
		"format=json":          "no method",
		`"check`:               "column",
	} {
		_, err := parseCall(text)
		wantFault(t, err, want)
	}
}
