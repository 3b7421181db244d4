package builder

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAllowInsecure(t *testing.T) {
	ours := []Cache{{Type: "registry", Attrs: map[string]string{"ref": "plain.example:5000/app:cache"}}}
	solve := Solve{
		Exports: []Export{
			{Type: "image", Attrs: map[string]string{"push": "true", "name": "plain.example:5000/app"}},
			{Type: "image", Attrs: map[string]string{"push": "true", "name": "safe.example/app"}},
			{Type: "oci", Attrs: map[string]string{"name": "plain.example:5000/app"}},
		},
		CacheImports: []Cache{
			{Type: "registry", Attrs: map[string]string{"ref": "plain.example:5000/app:cache"}},
			{Type: "registry", Attrs: map[string]string{"ref": "plain.example:5000/app:cache", "registry.insecure": "false"}},
			{Type: "registry", Attrs: map[string]string{"ref": "plain.example:5001/app:cache"}},
			{Type: "local", Attrs: map[string]string{"src": "/plain.example:5000/app"}},
		},
		CacheExports: ours,
	}
	allowInsecure(&solve, []string{"PLAIN.example:5000"})
	var got []string
	for _, e := range solve.Exports {
		got = append(got, e.Attrs["registry.insecure"])
	}
	for _, c := range solve.CacheImports {
		got = append(got, c.Attrs["registry.insecure"])
	}
	for _, c := range solve.CacheExports {
		got = append(got, c.Attrs["registry.insecure"])
	}
	want := []string{"true", "", "", "true", "false", "", "", "true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if _, ok := ours[0].Attrs["registry.insecure"]; ok {
		t.Error("the request's own attributes were changed")
	}
}
