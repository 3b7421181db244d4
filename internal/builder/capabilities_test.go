package builder

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestNeeds(t *testing.T) {
	cases := []struct {
		title string
		solve Solve
		want  []string
	}{
		{"nothing", Solve{Exports: []Export{{Type: "image"}}}, nil},
		{"plain caches", Solve{CacheImports: []Cache{{Type: "registry"}}, CacheExports: []Cache{{Type: "inline"}, {Type: "local"}}}, nil},
		{"two outputs", Solve{Exports: []Export{{Type: "image"}, {Type: "local"}}}, []string{"outputs"}},
		{"services", Solve{CacheImports: []Cache{{Type: "gha"}, {Type: "s3"}}, CacheExports: []Cache{{Type: "azblob"}}}, []string{"cache-from", "cache-from", "cache-to"}},
		{"one cache, both ways", Solve{CacheImports: []Cache{{Type: "gha"}}, CacheExports: []Cache{{Type: "gha"}}}, []string{"cache-from"}},
		{"provenance", Solve{FrontendAttrs: map[string]string{"attest:provenance": "mode=min"}}, []string{"provenance"}},
		{"another", Solve{FrontendAttrs: map[string]string{"attest:other": ""}}, []string{"attests"}},
		{"steps", Solve{FrontendAttrs: map[string]string{"shm-size": "1", "ulimit": "x", "cgroup-parent": "/x", "add-hosts": "a=1.2.3.4"}}, []string{"cgroup-parent", "shm-size", "ulimit"}},
		{"git", Solve{FrontendAttrs: map[string]string{"context": "https://host.example/a/b.git#main", "context:c": "docker-image://x:1"}}, nil},
		{"git's directory", Solve{FrontendAttrs: map[string]string{"context": "https://host.example/a/b.git#main:sub"}}, []string{"context"}},
		{"another's directory", Solve{FrontendAttrs: map[string]string{"context:c": "https://host.example/a/b.git#:sub"}}, []string{"build-contexts"}},
		{"annotations", Solve{Exports: []Export{{Type: "image", Attrs: map[string]string{"annotation.a": "b", "annotation-index.c": "d"}}}}, []string{"annotations"}},
		{"layouts", Solve{Layouts: map[string]string{"id": "/dir"}}, []string{"build-contexts"}},
		{"devices", Solve{Entitlements: []string{"network.host", "device=x", "device"}}, []string{"allow"}},
		{"a version that has it", Solve{BuildKit: "v0.11.0", FrontendAttrs: map[string]string{"attest:provenance": "mode=min"}}, nil},
		{"a distribution's", Solve{BuildKit: "0.33.1+ds1", FrontendAttrs: map[string]string{"attest:provenance": "mode=min"}}, nil},
		{"a version that has some of it", Solve{BuildKit: "v0.32.9", FrontendAttrs: map[string]string{"attest:sbom": "", "memory": "1"}}, []string{"resources"}},
		{"before a version", Solve{BuildKit: "v0.33.0-rc1", FrontendAttrs: map[string]string{"memory": "1"}}, []string{"resources"}},
		{"an older version", Solve{BuildKit: "v0.10.6", FrontendAttrs: map[string]string{"attest:provenance": "mode=min"}}, []string{"provenance"}},
		{"a version that says nothing", Solve{BuildKit: "unknown", FrontendAttrs: map[string]string{"attest:provenance": "mode=min"}}, []string{"provenance"}},
		{"limits", Solve{FrontendAttrs: map[string]string{"memory": "1", "cpuquota": "1"}}, []string{"resources"}},
	}
	for _, c := range cases {
		var got []string
		for _, n := range needs(c.solve) {
			got = append(got, n.input)
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.title, diff)
		}
	}
}

// A daemon that says nothing of itself is able to do nothing of it.
func TestCheckOldDaemon(t *testing.T) {
	old := pb.Caps.CapSet(nil)
	r := &request{able: &old}
	err := r.check(t.Context(), nil, needs(Solve{
		Exports:      []Export{{Type: "image"}, {Type: "local"}},
		CacheExports: []Cache{{Type: "gha"}},
	}))
	if errdefs.KindOf(err) != errdefs.Environment {
		t.Fatalf("%v, want a fault of the environment", err)
	}
	for _, input := range []string{`input "outputs"`, `input "cache-to"`} {
		if !strings.Contains(err.Error(), input) {
			t.Errorf("%v lacks %s", err, input)
		}
	}
	if hints := errdefs.Hints(err); len(hints) != 2 || !strings.Contains(strings.Join(hints, " "), "0.13 or newer") {
		t.Errorf("hints: %q", hints)
	}
	if err := r.check(t.Context(), nil, nil); err != nil {
		t.Errorf("nothing is needed, and yet: %v", err)
	}
	all := pb.Caps.CapSet(pb.Caps.All())
	r.able = &all
	if err := r.check(t.Context(), nil, needs(Solve{Exports: []Export{{}, {}}, CacheExports: []Cache{{Type: "azblob"}}})); err != nil {
		t.Errorf("a daemon of today: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for text, input := range map[string]string{
		"rpc error: code = Unimplemented desc = unsupported frontend capability moby.buildkit.frontend.gitquerystring":   "context",
		"rpc error: code = Unimplemented desc = unsupported frontend capability moby.buildkit.frontend.contexts+forward": "build-contexts",
		"unsupported frontend capability moby.buildkit.frontend.subrequests":                                             "call",
	} {
		err := (&request{}).explain(errors.New(text))
		if !strings.Contains(err.Error(), `input "`+input+`"`) || len(errdefs.Hints(err)) != 1 {
			t.Errorf("%s: %v, want input %s and a hint", text, err, input)
		}
	}
	other := errors.New("process did not complete")
	if got := (&request{}).explain(other); got != other {
		t.Errorf("another error became %v", got)
	}
	refused := (&request{}).explain(errors.New(`failed to solve: source "docker-image://docker.io/library/busybox:1" not allowed by policy: action DENY`))
	if errdefs.KindOf(refused) != errdefs.Denied {
		t.Errorf("a policy's refusal is %v", refused)
	}
}
