package buildpush

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestAttests(t *testing.T) {
	public := ci.Event{Repository: ci.Repository{Visibility: ci.Public}, JobURL: "https://ci.example/1"}
	provenance := func(attrs string) map[string]string { return map[string]string{"provenance": attrs} }
	cases := []struct {
		name    string
		options Options
		event   ci.Event
		want    map[string]string
	}{
		{name: "visibility unknown: build arguments are not recorded", want: provenance("mode=min,inline-only=true")},
		{name: "public", event: public, want: provenance("mode=max,builder-id=https://ci.example/1")},
		{name: "none", options: Options{Provenance: "false"}, event: public},
		{name: "true", options: Options{Provenance: "true"}, want: provenance("mode=max")},
		{name: "attributes", options: Options{Provenance: "mode=min"}, event: public, want: provenance("mode=min,builder-id=https://ci.example/1")},
		{name: "own builder id", options: Options{Provenance: "mode=max,builder-id=me"}, event: public, want: provenance("mode=max,builder-id=me")},
		{name: "a boolean among attributes", options: Options{Provenance: "mode=max,false"}},
		{name: "sbom", options: Options{Provenance: "false", Sbom: "true"}, want: map[string]string{"sbom": ""}},
		{name: "generator", options: Options{Provenance: "false", Sbom: "generator=r.example/scan:1"}, want: map[string]string{"sbom": "generator=r.example/scan:1"}},
		{name: "lines", options: Options{Attests: records(t, "type=provenance,mode=min\n\"type=sbom,\"\"generator=a,b\"\"\"")},
			want: map[string]string{"provenance": "mode=min", "sbom": "\"generator=a,b\""}},
		{name: "inputs beat lines", options: Options{Provenance: "mode=max", Sbom: "false", Attests: records(t, "type=provenance,mode=min\ntype=sbom")},
			want: provenance("mode=max")},
		{name: "a line turns the default off", options: Options{Attests: records(t, "type=provenance,disabled=true")}, event: public},
		{name: "load attests nothing unasked", options: Options{Load: true}, event: public},
		{name: "load attests what is asked", options: Options{Load: true, Provenance: "true"}, want: provenance("mode=max")},
		{name: "switched off", options: Options{NoDefaultAttestations: true}, event: public},
		{name: "reproducible", options: Options{Reproducible: true}, event: public},
		{name: "an engine's output", options: Options{Outputs: records(t, "type=docker")}, event: public},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j := &job{event: c.event, options: c.options, env: &cli.Env{Dir: t.TempDir()}}
			err := errors.Join(j.parseAttests(context.Background()), j.parseOutputs(context.Background()))
			j.settleAttests()
			if diff := cmp.Diff(c.want, j.request.Attests); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	for _, bad := range []Options{
		{Provenance: "maximum"}, {Sbom: "perhaps"}, {Provenance: "mode=all"}, {Provenance: "disabled=2"},
		{Attests: records(t, "type=vex")}, {Attests: records(t, "mode=max")}, {Attests: records(t, "type=sbom\ntype=sbom")},
	} {
		j := &job{options: bad}
		if err := j.parseAttests(context.Background()); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%+v: %v, want bad input", bad.Provenance, err)
		}
	}
}
