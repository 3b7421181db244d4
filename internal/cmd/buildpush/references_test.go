package buildpush

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseReferences(t *testing.T) {
	tags, err := parseReferences("tags", records(t, "r.example/app:1,r.example/app:2\nuser/app\n[::1]:5000/a:b\nr.example/app:1"))
	var got []string
	for _, tag := range tags {
		got = append(got, tag.Name())
	}
	want := []string{"r.example/app:1", "r.example/app:2", "index.docker.io/user/app:latest", "[::1]:5000/a:b"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{
		"UPPER/x", "a//b", "http://r/x", "r:99999/x", "../x", "r.example/app:-x", "r.example/app:" + strings.Repeat("a", 129),
		"a b", "r.example/" + strings.Repeat("a", 300), "r.example/app@sha256:00", "type=sha", "ghcr.io@evil.example/x",
	} {
		_, err := parseReferences("tags", records(t, bad))
		if err == nil || errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "tags" line 1`) {
			t.Errorf("%q: %v, want bad input", bad, err)
		}
	}
}
