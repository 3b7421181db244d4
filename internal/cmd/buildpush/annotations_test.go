package buildpush

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseAnnotations(t *testing.T) {
	got, err := parseAnnotations([]string{"a=b", "index:c=d=e", "index,manifest[linux/arm64]:org.example.key=v:w", "manifest-descriptor:x="})
	want := []builder.Annotation{
		{Levels: []builder.Level{{Type: "manifest"}}, Key: "a", Value: "b"},
		{Levels: []builder.Level{{Type: "index"}}, Key: "c", Value: "d=e"},
		{Levels: []builder.Level{{Type: "index"}, {Type: "manifest", Platform: "linux/arm64"}}, Key: "org.example.key", Value: "v:w"},
		{Levels: []builder.Level{{Type: "manifest-descriptor"}}, Key: "x", Value: ""},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := parseAnnotations([]string{"plain", "image:a=b", "index:=c"}); len(errdefs.List(err)) != 3 {
		t.Errorf("want three faults: %v", err)
	}
}
