package buildpush

import (
	"context"
	"maps"
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
		{name: "several references in a line", text: "a/b:c,d/e:f", want: []builder.Cache{
			{Type: "registry", Attrs: map[string]string{"ref": "a/b:c"}}, {Type: "registry", Attrs: map[string]string{"ref": "d/e:f"}}}},
		{name: "gha", text: "type=gha,scope=a,mode=max", exports: true, want: []builder.Cache{{Type: "gha", Attrs: map[string]string{"scope": "a", "mode": "max"}}}},
		{name: "s3 from the environment", text: "type=s3,bucket=b", want: []builder.Cache{{Type: "s3", Attrs: map[string]string{"bucket": "b", "region": "eu-1"}}}},
		{name: "azblob from the environment", text: "type=azblob", want: []builder.Cache{{Type: "azblob", Attrs: map[string]string{"account_url": "https://a.example", "container": "c"}}}},
		{name: "azblob's own", text: "type=azblob,account_url=https://b.example,container=d", want: []builder.Cache{{Type: "azblob", Attrs: map[string]string{"account_url": "https://b.example", "container": "d"}}}},
		{name: "a secret with a comma", text: "type=azblob,secret_access_key=abc,def", fault: "a field is no key=value"},
		{name: "no bucket", text: "type=s3", fault: "type=s3 needs bucket"},
		{name: "an export's key in an import", text: "type=gha,mode=max", fault: `type=gha has no key "mode"`},
		{name: "no dest", text: "type=local,mode=max", exports: true, fault: "type=local needs dest"},
		{name: "no src", text: "type=local,tag=a", fault: "type=local needs src"},
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
			got, _, err := parseCaches("cache", records(t, c.text), c.exports, "/src", map[string]string{
				"AWS_REGION": "eu-1", "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL": "https://a.example", "BUILDKIT_AZURE_STORAGE_CONTAINER": "c",
			})
			if c.fault == "" {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("%v, want bad input with %q", err, c.fault)
			}
			if strings.Contains(err.Error(), "def") {
				t.Errorf("a secret is repeated: %v", err)
			}
			if c.hint != "" && !strings.Contains(strings.Join(errdefs.Hints(err), "\n"), c.hint) {
				t.Errorf("hints %q, want %q", errdefs.Hints(err), c.hint)
			}
		})
	}
}

// Tokens and keys of caches reach the builder, and no plan.
func TestCacheSecrets(t *testing.T) {
	dir := contextDir(t)
	actions := github()
	actions["ACTIONS_RUNTIME_TOKEN"], actions["ACTIONS_CACHE_URL"] = "runtime-token", "https://cache.example/v1/"
	v2 := maps.Clone(actions)
	v2["ACTIONS_CACHE_SERVICE_V2"], v2["ACTIONS_RESULTS_URL"] = "True", "https://results.example/"
	v2["INPUT_GITHUB-TOKEN"] = "ghs_token"
	cases := []struct {
		name    string
		environ map[string]string
		cache   string
		want    map[string]string
	}{
		{name: "gha", environ: actions, cache: "type=gha,mode=max", want: map[string]string{"token": "runtime-token", "url": "https://cache.example/v1/"}},
		{name: "gha, second version", environ: v2, cache: "type=gha", want: map[string]string{
			"token": "runtime-token", "url": "https://cache.example/v1/", "url_v2": "https://results.example/", "repository": "acme/app", "ghtoken": "ghs_token"}},
		{name: "gha, first version asked for", environ: v2, cache: "type=gha,version=1,repository=acme/other", want: map[string]string{
			"token": "runtime-token", "url": "https://cache.example/v1/", "ghtoken": "ghs_token"}},
		{name: "gha's own token", environ: actions, cache: "type=gha,token=inline-token,url=https://own.example/", want: map[string]string{"token": "inline-token"}},
		{name: "s3's own keys", cache: "type=s3,bucket=b,region=r,access_key_id=AKIDINLINE,secret_access_key=inline-secret,session_token=inline-session",
			want: map[string]string{"secret_access_key": "inline-secret", "session_token": "inline-session"}},
		{name: "s3 from the environment", environ: map[string]string{"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-session"},
			cache: "type=s3,bucket=b,region=r", want: map[string]string{"access_key_id": "AKIDENV", "secret_access_key": "env-secret", "session_token": "env-session"}},
		{name: "azblob", cache: "type=azblob,account_url=https://a.example,secret_access_key=inline-secret", want: map[string]string{"secret_access_key": "inline-secret"}},
		{name: "azblob's key from the environment", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret\n"},
			cache: "type=azblob,account_url=https://a.example", want: map[string]string{"secret_access_key": "env-secret"}},
		{name: "azblob's own key beside another", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret"},
			cache: "type=azblob,account_url=https://a.example,secret_access_key=inline-secret", want: map[string]string{"secret_access_key": "inline-secret"}},
		{name: "azblob, a blank key", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret"},
			cache: "type=azblob,account_url=https://a.example,secret_access_key=", want: map[string]string{"secret_access_key": "env-secret"}},
		{name: "azblob, the account's key", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret", "AZURE_STORAGE_ACCOUNT": "a"},
			cache: "type=azblob,account_url=https://a.example", want: map[string]string{"secret_access_key": "env-secret"}},
		{name: "azblob, the named account's key", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret", "AZURE_STORAGE_ACCOUNT": "b"},
			cache: "type=azblob,account_url=https://a.example,account_name=b", want: map[string]string{"secret_access_key": "env-secret"}},
		{name: "azblob, another account's key", environ: map[string]string{"AZURE_STORAGE_KEY": "env-secret", "AZURE_STORAGE_ACCOUNT": "b"},
			cache: "type=azblob,account_url=https://a.example", want: map[string]string{}},
		{name: "azblob without a key", cache: "type=azblob,account_url=https://a.example", want: map[string]string{}},
		{name: "registry", cache: "r.example/app:cache", want: map[string]string{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j, _, err := door(t, dir, c.environ, "--cache-to", c.cache, ".")
			if err != nil {
				t.Fatal(err)
			}
			cache := j.request.CacheTo[0]
			if cache.Attrs["scope"] == "" {
				cache.Attrs["scope"] = "linux-arm64" // as nodes keep theirs apart
			}
			got, err := j.cacheLogin(context.Background(), cache)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			plan := planOf(t, dir, c.environ, "--cache-to", c.cache, ".")
			for _, key := range cacheSecretKeys {
				if c.want[key] != "" && strings.Contains(plan, c.want[key]) {
					t.Errorf("the plan shows %s:\n%s", key, plan)
				}
			}
		})
	}
}

func TestCacheLoginMissing(t *testing.T) {
	dir := contextDir(t)
	_, _, err := door(t, dir, nil, "--cache-from", "a/b:c\ntype=gha", ".")
	wantFault(t, err, `input "cache-from" line 2: type=gha needs token (ACTIONS_RUNTIME_TOKEN) and url`)
	_, _, err = door(t, dir, map[string]string{"ACTIONS_RUNTIME_TOKEN": "t"}, "--cache-to", "type=gha", ".")
	wantFault(t, err, `input "cache-to" line 1: type=gha needs url`)
	_, _, err = door(t, dir, nil, "--cache-to", "type=s3,bucket=b,region=r,access_key_id=x", ".")
	wantFault(t, err, "needs both access_key_id and secret_access_key")
}

// Where an azblob cache has no key, it is told once an account, and is no fault.
func TestAzureWithoutKey(t *testing.T) {
	dir := contextDir(t)
	const note = `note: no key for the azblob cache of account "a"`
	cases := []struct {
		name    string
		environ map[string]string
		cache   string
		want    int
	}{
		{name: "none", cache: "type=azblob,account_url=https://a.example", want: 1},
		{name: "with strict", environ: map[string]string{"HULLWRIGHT_STRICT": "true"}, cache: "type=azblob,account_url=https://a.example", want: 1},
		{name: "another account's", environ: map[string]string{"AZURE_STORAGE_KEY": "k", "AZURE_STORAGE_ACCOUNT": "b"}, cache: "type=azblob,account_url=https://a.example", want: 1},
		{name: "the entry's", cache: "type=azblob,account_url=https://a.example,secret_access_key=k"},
		{name: "the environment's", environ: map[string]string{"AZURE_STORAGE_KEY": "k"}, cache: "type=azblob,account_url=https://a.example"},
		{name: "another type", cache: "r.example/app:cache"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, stderr, err := door(t, dir, c.environ, "--cache-from", c.cache, "--cache-to", c.cache, ".")
			if got := strings.Count(stderr, note); err != nil || got != c.want {
				t.Errorf("%v; told %d times, want %d:\n%s", err, got, c.want, stderr)
			}
		})
	}
}

// A cache that is written over an image would be pulled as one.
func TestCacheOverImage(t *testing.T) {
	dir := contextDir(t)
	for cache, fault := range map[string]bool{
		"r.example/app:1":                       true,
		"type=registry,ref=r.example/app":       true, // latest, where users look for the image
		"r.example/app:cache":                   false,
		"r.example/cache":                       false,
		"type=registry,ref=other.example/app:1": false,
	} {
		_, _, err := door(t, dir, nil, "--tags", "r.example/app:1", "--push", "--cache-to", cache, ".")
		if fault {
			wantFault(t, err, "would be written over the image")
		} else if err != nil {
			t.Errorf("%s: %v", cache, err)
		}
	}
	if _, _, err := door(t, dir, nil, "--tags", "r.example/app:1", "--push", "--cache-from", "r.example/app:1", "."); err != nil {
		t.Errorf("an inline cache is refused: %v", err)
	}
}
