package buildpush

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseCaches(t *testing.T) {
	cases := []struct {
		name    string
		text    string
		exports bool
		want    []builder.Cache
		fault   string
		hint    string
	}{
		{name: "plain reference", text: "user/app:cache", want: []builder.Cache{{Type: "registry", Attrs: map[string]string{"ref": "user/app:cache"}}}},
		{name: "registry", text: "type=registry,ref=r.example/app:c,mode=max", exports: true,
			want: []builder.Cache{{Type: "registry", Attrs: map[string]string{"ref": "r.example/app:c", "mode": "max"}}}},
		{name: "inline", text: "type=inline", exports: true, want: []builder.Cache{{Type: "inline", Attrs: map[string]string{}}}},
		{name: "local is absolute", text: "type=local,src=cache", want: []builder.Cache{{Type: "local", Attrs: map[string]string{"src": "/src/cache"}}}},
		{name: "two lines", text: "a/b:c\ntype=local,src=/x", want: []builder.Cache{
			{Type: "registry", Attrs: map[string]string{"ref": "a/b:c"}}, {Type: "local", Attrs: map[string]string{"src": "/x"}}}},
		{name: "slip", text: "a/b\ntype=registy,ref=a", fault: `input "cache" line 2: unknown cache type "registy"`, hint: "one of azblob, gha, inline, local, registry, s3"},
		{name: "inline import", text: "type=inline", fault: "inline cache is imported from its image", hint: "write type=registry,ref=IMAGE"},
		{name: "no ref", text: "type=registry,mode=max", exports: true, fault: "type=registry needs ref"},
		{name: "unknown key", text: "type=local,src=a,scope=b", fault: `type=local has no key "scope"`, hint: "one of src, digest, tag"},
		{name: "no type", text: "ref=a/b,mode=max", exports: true, fault: "no type", hint: "one of azblob, gha, inline, local, registry, s3"},
		{name: "bad ref", text: "type=registry,ref=UPPER", fault: "is no image reference"},
		{name: "bad mode", text: "type=registry,ref=a/b,mode=all", exports: true, fault: `unknown mode "all"`, hint: "one of min, max"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := parseCaches("cache", records(t, c.text), c.exports, "/src", nil)
			if c.fault == "" {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("%v, want bad input with %q", err, c.fault)
			}
			if c.hint != "" && !strings.Contains(strings.Join(errdefs.Hints(err), "\n"), c.hint) {
				t.Errorf("hints %q, want %q", errdefs.Hints(err), c.hint)
			}
		})
	}
}
