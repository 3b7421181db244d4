package buildpush

import (
	"maps"
	"strings"
	"testing"

	"github.com/docker/buildx/util/buildflags"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

// wantBadInput fails where an error blames something else than the input.
func wantBadInput(t *testing.T, text string, err error) {
	t.Helper()
	for _, e := range errdefs.List(err) {
		if errdefs.KindOf(e) != errdefs.BadInput {
			t.Errorf("%q: %v is no bad input", text, e)
		}
	}
}

// What is taken here as an output is taken by docker buildx, too, as the same.
func FuzzOutput(f *testing.F) {
	for _, seed := range []string{"type=image,\"name=a,b\",push=true", "a=b", "-", "type=local,dest=x", "type=registry", "type=oci,tar=false,dest=/x"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range bound(text, true) {
			ours, err := parseOutput(r)
			if err != nil {
				continue
			}
			theirs, err := buildflags.ParseExports([]string{r.Text})
			if err != nil {
				t.Fatalf("%q: taken, and buildx says %v", r.Text, err)
			}
			if e := theirs[0]; e.Type != "registry" && (e.Type != ours.Type || len(e.Attrs) != len(ours.Attrs)) {
				t.Errorf("%q: %+v, buildx %+v", r.Text, ours, e)
			}
			j := &job{env: &cli.Env{Dir: dir}}
			if err := j.placeOutput(&ours); err != nil {
				wantBadInput(t, text, at("outputs", r.Line, err))
			}
		}
	})
}

func FuzzCaches(f *testing.F) {
	for _, seed := range []string{"a/b:c,d/e", "type=gha,scope=x", "type=local,dest=a,mode=max", "type=s3,bucket=b,region=r,name=a;b", "\"type=registry,\"\"ref=a\"\"\""} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, exports bool) {
		list, lines, err := parseCaches("cache-to", bound(text, false), exports, "/src", map[string]string{})
		wantBadInput(t, text, err)
		if len(list) != len(lines) {
			t.Errorf("%q: %d entries on %d lines", text, len(list), len(lines))
		}
		for _, c := range list {
			before := maps.Clone(c.Attrs)
			s := cacheSecrets{}
			s.take(c)
			for _, key := range cacheSecretKeys {
				if c.Attrs[key] != "" || s[account(c)][key] != before[key] {
					t.Errorf("%q: %s is not kept apart", text, key)
				}
			}
		}
	})
}

func FuzzAnnotation(f *testing.F) {
	for _, seed := range []string{"a=b", "index,manifest[linux/arm64]:a=b", "x:y:z=", "manifest[a/b]:c=d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := parseAnnotations([]string{line}); err == nil {
			if _, err := buildflags.ParseAnnotations([]string{line}); err != nil {
				t.Errorf("%q: taken, and buildx says %v", line, err)
			}
		} else {
			wantBadInput(t, line, err)
		}
	})
}

// FuzzSmall is all that has a short grammar of its own.
func FuzzSmall(f *testing.F) {
	for _, seed := range []string{"check,format=json", "default=a,b", "a:[::1]", "memory=1g,cpuset-cpus=0", "nofile=1:2", "device=a=b", "type=sbom,generator=x", "filename=a.rego,strict=true", "/d:t@" + someDigest} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		words := input.Words{text}
		_, errCall := parseCall(text)
		_, errSSH := parseSSH(words, dir, nil)
		_, errHosts := parseAddHosts(words, true)
		_, errAllow := parseEntitlements(words)
		_, errSize := parseSize("shm-size", text)
		_, errUlimit := parseUlimits(input.Lines{text})
		_, errResources := parseResources(bound(text, false))
		_, errAttests := parseAttests(bound(text, false))
		_, errPolicies := parsePolicies(bound(text, false), dir)
		for _, err := range []error{errCall, errSSH, errHosts, errAllow, errSize, errUlimit, errResources, errAttests, errPolicies} {
			wantBadInput(t, text, err)
		}
		_, errLayout := parseLayout(text, dir)
		_, _, errContext := splitContext(text)
		_, errAttest := parseAttest("sbom", text)
		for _, err := range []error{errLayout, errContext, errAttest} {
			if err != nil {
				wantBadInput(t, text, at("input", 1, err))
			}
		}
	})
}

// An attestation's attributes are read again as they were written.
func FuzzAttestAttrs(f *testing.F) {
	f.Add("generator", "a,\"b")
	f.Fuzz(func(t *testing.T, key, value string) {
		fields, err := input.ParseRecord(attestAttrs{"mode": "max", "x" + key: value}.String())
		if err != nil && !unwritable(key+value) {
			t.Errorf("%q=%q: %v", key, value, err)
		}
		if err == nil && len(fields) != 2 {
			t.Errorf("%q=%q: %v", key, value, fields)
		}
	})
}

// unwritable is whether a text holds a line break, which no line can.
func unwritable(text string) bool {
	return strings.ContainsAny(text, "\r\n")
}
