package buildpush

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/buildx/util/buildflags"
	"github.com/docker/cli/opts"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
)

// What docker buildx reads is read here the same way. Each case gives the value
// that both read, or says why hullwright refuses what buildx takes, or takes
// what buildx refuses.

// read is a value that a parser made, in a form that compares; ok is whether
// there is one.
type read struct {
	ok    bool
	value any
}

func reading(value any, err error) read {
	if err != nil {
		return read{}
	}
	return read{ok: true, value: value}
}

// compare holds our reading of text against buildx's.
func compare(t *testing.T, text, differs string, theirs, ours read) {
	t.Helper()
	same := theirs.ok == ours.ok && cmp.Equal(theirs.value, ours.value)
	switch {
	case same && differs != "":
		t.Errorf("%q: read as buildx reads it, though it should not be: %s", text, differs)
	case !same && differs == "":
		t.Errorf("%q: buildx %+v, hullwright %+v", text, theirs, ours)
	}
}

type typed struct {
	Type, Dest string
	Attrs      map[string]string
}

func TestOracleOutputs(t *testing.T) {
	for text, differs := range map[string]string{
		"out": "", "-": "", "a=b": "", "./x/y": "", "type=local,dest=x": "", "type=tar,dest=x.tar": "", "type=oci,dest=-": "",
		"type=docker": "", "type=docker,dest=a.tar,oci-mediatypes=true": "", "type=image,name=a/b": "", "type=image,push=true": "",
		`type=image,"name=a,b",push=true`: "", `type=image,"name=a,b",push-by-digest=true,name-canonical=true,push=true`: "",
		"TYPE=image,Name=a": "", "type=image,compression=zstd,compression-level=3,force-compression=true": "",
		"type=image,annotation-index.a=b,annotation[linux/amd64].c=d": "", "type=cacheonly": "", "type=oci,tar=false,dest=x": "",
		"type=local,dest=x,mode=delete,platform-split=false": "", "dest=x,mode=copy": "", "type=image,stray": "",
		`"type=image`:              "",
		"type=loca,dest=x":         "an unknown type reaches the daemon there",
		"type=image,nam=x":         "an unknown key reaches the daemon there",
		"type=image,push=yes":      "the daemon finds it there",
		"type=image,compression=x": "the daemon finds it there",
		"type=local,dest=x,mode=y": "found by a later check there",
	} {
		entries, err := buildflags.ParseExports([]string{text})
		var theirs read
		if err == nil {
			e := entries[0]
			if e.Type == "registry" { // a short form that buildx replaces later
				e.Type, e.Attrs["push"] = "image", "true"
			}
			theirs = read{true, typed{e.Type, e.Destination, attrsOf(e.Attrs)}}
		}
		ours := read{}
		for _, r := range bound(text, true) {
			o, err := parseOutput(r)
			ours = reading(typed{o.Type, o.Dest, attrsOf(o.Attrs)}, err)
		}
		compare(t, text, differs, theirs, ours)
	}
}

// attrsOf are attributes, none as nil.
func attrsOf(attrs map[string]string) map[string]string {
	if len(attrs) == 0 {
		return nil
	}
	return attrs
}

// bound is one line as the door gets it, or nothing where its quotes are bad.
func bound(text string, keep bool) input.Records {
	if keep {
		var o struct {
			R input.Records `env:"R" quotes:"keep" help:"r"`
		}
		if input.Bind(&o, map[string]string{"INPUT_R": text}, nil) != nil {
			return nil
		}
		return o.R
	}
	var o struct {
		R input.Records `env:"R" help:"r"`
	}
	if input.Bind(&o, map[string]string{"INPUT_R": text}, nil) != nil {
		return nil
	}
	return o.R
}

func TestOracleCaches(t *testing.T) {
	environ := map[string]string{}
	for text, differs := range map[string]string{
		"user/app:cache": "", "a/b:c,d/e:f": "", "type=registry,ref=a/b": "", "type=registry,ref=a/b,mode=max": "", "type=inline": "",
		"type=gha,scope=a": "", "type=local,dest=/x": "", "TYPE=gha,SCOPE=a": "", "type=s3,bucket=b,region=r": "", "ref=a/b,mode=max": "",
		"type=gha,stray":               "",
		"type=azblob,account_url=u":    "",
		"type=registy,ref=a":           "an unknown type reaches the daemon there",
		"type=registry,reff=a":         "an unknown key reaches the daemon there",
		"type=registry":                "the daemon finds it there",
		"UPPER":                        "the daemon finds it there",
		"type=registry,ref=a/b,mode=x": "the daemon takes it for min there",
	} {
		var theirs, ours []typed
		entries, err := buildflags.ParseCacheEntry([]string{text})
		for _, e := range entries {
			theirs = append(theirs, typed{Type: e.Type, Attrs: attrsOf(e.Attrs)})
		}
		list, _, ourErr := parseCaches("cache-to", bound(text, false), true, "/", environ)
		for _, c := range list {
			ours = append(ours, typed{Type: c.Type, Attrs: attrsOf(c.Attrs)})
		}
		compare(t, text, differs, reading(theirs, err), reading(ours, ourErr))
	}
}

func TestOracleAnnotations(t *testing.T) {
	for text, differs := range map[string]string{
		"a=b": "", "a=": "", "index:a=b=c": "", "manifest:a:b=c": "", "index,manifest[linux/arm64]:a=b": "", "manifest-descriptor[linux/arm/v7]:a=b": "",
		"manifest[linux/aarch64]:a=b": "", "image:a=b": "", "manifest[]:a=b": "", "a": "", "index-descriptor:a=b": "",
		"=b":                    "an annotation without a name",
		"index:=b":              "an annotation without a name",
		":a=b":                  "",
		"manifest[a/b/c/d]:a=b": "",
	} {
		theirs, err := buildflags.ParseAnnotations([]string{text})
		var theirKeys []string
		for k, v := range theirs {
			if k.Type == "" {
				k.Type = exptypes.AnnotationManifest
			}
			theirKeys = append(theirKeys, k.String()+"="+v)
		}
		list, ourErr := parseAnnotations([]string{text})
		var ourKeys []string
		for _, a := range list {
			for _, l := range a.Levels {
				key := "annotation-" + l.Type
				if l.Platform != "" {
					key += "[" + l.Platform + "]"
				}
				ourKeys = append(ourKeys, key+"."+a.Key+"="+a.Value)
			}
		}
		slices.Sort(theirKeys)
		slices.Sort(ourKeys)
		compare(t, text, differs, reading(theirKeys, err), reading(ourKeys, ourErr))
	}
}

func TestOracleCall(t *testing.T) {
	for text, differs := range map[string]string{
		"build": "", "check": "", "lint": "", "outline,format=json": "", "targets": "", "check,ignorestatus=true": "", "check,ignorestatus=x": "",
		"check,outline": "", "check,x=y": "", "subrequests.describe": "",
		"sbom":              "an unknown question fails later there",
		"check,format=yaml": "an unknown format is text there",
		"format=json":       "the question is empty there",
	} {
		theirs, err := buildflags.ParseCallFunc(text)
		var want builder.Call
		if theirs != nil {
			want = builder.Call{Method: theirs.Name, Format: theirs.Format, IgnoreStatus: theirs.IgnoreStatus}
		}
		got, ourErr := parseCall(text)
		compare(t, text, differs, reading(want, err), reading(got, ourErr))
	}
}

func TestOracleSteps(t *testing.T) {
	for text, differs := range map[string]string{
		"network.host": "", "security.insecure": "", "device": "", "device=a/b=c": "", "root": "", "network.host=x": "", "buildx.local.delete": "",
		"buildx.local.delete=x": "",
	} {
		theirs, _, err := buildflags.ParseEntitlements([]string{text})
		ours, ourErr := parseEntitlements(input.Words{text})
		compare(t, text, differs, reading(strings.Join(theirs, ","), err), reading(strings.Join(ours, ","), ourErr))
	}
	for _, text := range []string{"128m", "1g", "64", "1.5g", "2GiB", "x", "-1", "1 kb"} {
		var theirs opts.MemBytes
		err := theirs.Set(text)
		ours, ourErr := parseSize("shm-size", text)
		compare(t, text, "", reading(theirs.Value(), err), reading(ours, ourErr))
	}
	for _, text := range []string{"nofile=1", "nofile=1:2", "nofile=2:1", "nofile=-1", "nofile", "x=1", "nofile=1:2:3"} {
		theirs := opts.NewUlimitOpt(nil)
		err := theirs.Set(text)
		var list []string
		for _, u := range theirs.GetList() {
			list = append(list, u.String())
		}
		ours, ourErr := parseUlimits(input.Lines{text})
		compare(t, text, "", reading(list, err), reading(ours, ourErr))
	}
}

func TestOracleContexts(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"lib=.", "docker.io/library/alpine=.", "alpine:latest=.", "alpine:3=.", "ghcr.io/a/b@" + someDigest + "=.", "UPPER=.", "a", "=."} {
		theirs, err := buildflags.ParseContextNames([]string{text})
		j := &job{options: Options{BuildContexts: input.Lines{text}}, env: &cli.Env{Dir: dir}}
		ourErr := j.parseContexts(t.Context())
		compare(t, text, "", reading(slices.Sorted(maps.Keys(theirs)), err), reading(slices.Sorted(maps.Keys(j.request.Named)), ourErr))
	}
}

func TestOracleSSH(t *testing.T) {
	environ := map[string]string{"SSH_AUTH_SOCK": "/run/agent"}
	dir := contextDir(t)
	key := filepath.Join(dir, "Dockerfile") // any file
	for text, differs := range map[string]string{
		"default": "", "git": "", "default=" + key: "", "default=" + key + "," + key: "",
		"=" + key:         "an agent without a name",
		"default=/none/x": "found later there",
		key:               "the path is taken for a name there",
	} {
		theirs, err := buildflags.ParseSSHSpecs([]string{text})
		var want, got []builder.Agent
		for _, s := range theirs {
			want = append(want, builder.Agent{ID: s.ID, Paths: s.Paths})
		}
		got, ourErr := parseSSH(input.Words{text}, dir, environ)
		compare(t, text, differs, reading(want, err), reading(got, ourErr))
	}
}

func TestOracleAttests(t *testing.T) {
	for text, differs := range map[string]string{
		"type=sbom": "", "type=sbom,generator=x": "", "type=provenance,mode=max": "", "type=sbom,disabled=true": "", "mode=max": "",
		"type=sbom,disabled=2":     "",
		"type=sbom,x":              "",
		"type=sbom,false":          "as docker/build-push-action takes it",
		"type=vex":                 "the daemon refuses it there",
		"type=provenance,mode=all": "the daemon refuses it there",
	} {
		theirs, err := buildflags.ParseAttests([]string{text})
		want := map[string]map[string]string{}
		for _, a := range theirs {
			want[a.Type] = attrsOf(a.Attrs)
			if a.Disabled {
				want[a.Type] = map[string]string{"disabled": "true"}
			}
		}
		ours, ourErr := parseAttests(bound(text, false))
		got := map[string]map[string]string{}
		for kind, attrs := range ours {
			got[kind] = attrsOf(attrs)
			if attrs == nil {
				got[kind] = map[string]string{"disabled": "true"}
			}
		}
		compare(t, text, differs, reading(want, err), reading(got, ourErr))
	}
}
