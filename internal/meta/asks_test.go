package meta_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/meta"
)

// computeFacts applies rules to facts.
func computeFacts(t *testing.T, f meta.Facts, o meta.Options) meta.Result {
	t.Helper()
	rules, err := meta.Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := meta.Compute(f, rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const releaseRules = "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=semver,pattern={{major}}"

// What moves by a version moves to the highest one only, among those for which
// it has the same name.
func TestGuard(t *testing.T) {
	there := []string{"v1.4.1", "v1.4.2", "v1.5.0", "v2.0.0", "v2.1.0-rc.1", "nonsense", "latest"}
	for _, c := range []struct{ tag, rules, flavor, want string }{
		{"v1.4.1", releaseRules, "", "1.4.1"},
		{"v1.4.2", releaseRules, "", "1.4.2 1.4"},
		{"v1.4.3", releaseRules, "", "1.4.3 1.4"},
		{"v1.5.0", releaseRules, "", "1.5.0 1.5 1"},
		{"v1.10.0", releaseRules, "", "1.10.0 1.10 1"},
		{"v2.0.0", releaseRules, "", "2.0.0 2.0 2 latest"}, // a prerelease is no higher release
		{"v2.1.0", releaseRules, "", "2.1.0 2.1 2 latest"},
		{"v1.4.1", releaseRules, "latest=true", "1.4.1"},
		{"v1.4.1", "type=semver,pattern={{version}}\ntype=raw,value=latest", "", "1.4.1"},
		{"v1.4.1", "type=ref,event=tag", "", "v1.4.1"},
		{"v2.0.0", "type=ref,event=tag", "", "v2.0.0 latest"},
		{"v1.4.1", `type=match,pattern=v(.*),group=1`, "", "1.4.1"},
		{"v1.4.1", `type=match,pattern=v(\d+\.\d+),group=1`, "", ""},
		{"v1.4.2", `type=match,pattern=v(\d+\.\d+),group=1`, "", "1.4"},
		{"v2.0.1", `type=match,pattern=v(\d+\.\d+),group=1`, "", "2.0 latest"},
		{"v1.4.1", `type=match,pattern=v(\d+\.\d+),group=1,value=v1.4.1`, "", "1.4"},
		{"v1.4.1", releaseRules, "suffix=-x,onlatest=true", "1.4.1-x"},
		{"v1.4.1", "type=version,pattern={{major}}\ntype=version,pattern={{version}}", "", "1.4.1"},
		{"v1.4.1", "type=pep440,pattern={{major}}.{{minor}}\ntype=pep440,pattern={{version}}", "", "1.4.1"},
		{"1.3", "type=raw,value={{tag}}", "latest=true", "1.3"},
	} {
		f := meta.NewFacts(on("refs/tags/"+c.tag), now)
		f.Versions = there
		r := computeFacts(t, f, meta.Options{Tags: list(c.rules), Flavor: list(c.flavor), Guard: true})
		if got := strings.Join(r.Names(), " "); got != c.want {
			t.Errorf("%s by %q %s: got %q, want %q", c.tag, c.rules, c.flavor, got, c.want)
		}
	}
}

// In a repository of several programs only a program's own tags count.
func TestGuardOfPrefixedTags(t *testing.T) {
	f := meta.NewFacts(on("refs/tags/api/v1.2.0"), now)
	f.Versions = []string{"web/v9.0.0", "api/v1.1.0", "v8.0.0"}
	for rules, want := range map[string]string{
		"type=match,pattern=v(.*),group=1":                              "1.2.0 latest",
		`type=semver,pattern={{version}},match=^api/v(.*)`:              "1.2.0 latest",
		`type=semver,pattern={{major}},match=^api/v(.*),priority=1000`:  "1 latest",
		`type=version,pattern={{major}}.{{minor}},match=^api/v(.*)`:     "1.2 latest",
		"type=semver,pattern={{version}},match=^api/v(.*),enable=false": "",
	} {
		r := computeFacts(t, f, meta.Options{Tags: list(rules), Guard: true})
		if got := strings.Join(r.Names(), " "); got != want {
			t.Errorf("%s: got %q, want %q", rules, got, want)
		}
	}
}

// Among an image's tags are also dates, commits and other variants.
func TestGuardByPublishedTags(t *testing.T) {
	there := []string{"1.4.1", "1.4.2", "1.4", "1", "2.0.0", "2", "latest", "20260115", "9999999", "sha-0123456", "3.0.0-rc.1", "7.0.0-alpine", "x-8.0.0"}
	for _, c := range []struct{ tag, rules, flavor, want string }{
		{"v1.4.1", releaseRules, "", "1.4.1"},
		{"v1.4.3", releaseRules, "", "1.4.3 1.4 1"},
		{"v2.0.1", releaseRules, "", "2.0.1 2.0 2 latest"},
		{"v6.0.0", releaseRules, "suffix=-alpine", "6.0.0-alpine 6.0-alpine 6-alpine"},
		{"v7.1.0", releaseRules, "suffix=-alpine", "7.1.0-alpine 7.1-alpine 7-alpine latest"},
		{"v7.0.0", releaseRules, "prefix=x-", "x-7.0.0 x-7.0 x-7"},
		{"v1.9", "type=version,pattern={{version}}", "", "1.9"},
		{"v2.1", "type=version,pattern={{version}}", "", "2.1 latest"},
		{"v2.1", "type=pep440,pattern={{version}}", "", "2.1 latest"},
		{"v1.9", "type=pep440,pattern={{version}}", "", "1.9"},
		{"v1.4.0", "type=ref,event=tag", "", "v1.4.0"},
		{"v2.0.1", "type=ref,event=tag", "", "v2.0.1 latest"},
		{"api/v1.4.0", "type=semver,pattern={{version}},match=^api/v(.*)", "", "1.4.0"},
	} {
		f := meta.NewFacts(on("refs/tags/"+c.tag), now)
		f.Published = there
		r := computeFacts(t, f, meta.Options{Tags: list(c.rules), Flavor: list(c.flavor), Guard: true})
		if got := strings.Join(r.Names(), " "); got != c.want {
			t.Errorf("%s by %q %s: got %q, want %q", c.tag, c.rules, c.flavor, got, c.want)
		}
	}
}

// Without a version there is nothing to compare.
func TestGuardLeavesBranchesAlone(t *testing.T) {
	f := meta.NewFacts(on("refs/heads/main"), now)
	f.Versions = []string{"v2.0.0"}
	r := computeFacts(t, f, meta.Options{Tags: list("type=ref,event=branch\ntype=raw,value=latest"), Guard: true})
	if got := strings.Join(r.Names(), " "); got != "main latest" {
		t.Errorf("got %q", got)
	}
}

func TestPrereleaseIsNeverLatest(t *testing.T) {
	for _, c := range []struct{ tag, rules, want string }{
		{"v1.0.0-rc.1", "type=ref,event=tag", "v1.0.0-rc.1"},
		{"v1.0.0", "type=ref,event=tag", "v1.0.0 latest"},
		{"v1.0.0-rc.1", "type=match,pattern=v(.*),group=1", "1.0.0-rc.1"},
		{"v1.0.0-rc.1", "type=ref,event=tag\ntype=raw,value=latest", "v1.0.0-rc.1"},
		{"1.0rc1", "type=pep440,pattern={{version}}\ntype=raw,value=latest", "1.0rc1"},
		{"app-2.0-beta", "type=ref,event=tag", "app-2.0-beta"},
		{"release-1", "type=ref,event=tag", "release-1 latest"},
		{"1.0.post1", "type=pep440,pattern={{version}}\ntype=raw,value=latest", "1.0.post1 latest"},
	} {
		r := compute(t, on("refs/tags/"+c.tag), meta.Options{Tags: list(c.rules), Flavor: list("prerelease-latest=false")})
		if got := strings.Join(r.Names(), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.tag, got, c.want)
		}
	}
	ticked := on("refs/tags/v1.0.0")
	ticked.Name = "release"
	ticked.Payload = map[string]any{"release": map[string]any{"prerelease": true}}
	r := compute(t, ticked, meta.Options{Tags: list("type=ref,event=tag"), Flavor: list("latest=true\nprerelease-latest=false")})
	if got := strings.Join(r.Names(), " "); got != "v1.0.0" {
		t.Errorf("a release marked as a prerelease: %q", got)
	}
	// Off by default.
	if got := tags(t, on("refs/tags/v1.0.0-rc.1"), "type=ref,event=tag"); got != "v1.0.0-rc.1 latest" {
		t.Errorf("without the switch: %q", got)
	}
}

func TestExpressions(t *testing.T) {
	request := on("refs/pull/7/merge")
	request.Name, request.Kind, request.RunID = "pull_request", ci.Request, "99"
	request.Request = &ci.ChangeRequest{Number: 7, Source: "feat/x", Target: "main"}
	queue := on("refs/heads/gh-readonly-queue/main/pr-12-0123abc")
	queue.Name, queue.Kind = "merge_group", ci.MergeQueue
	for text, want := range map[string][3]string{ // of a request, a queue and a prerelease
		"{{head_ref}}":   {"feat-x", "", ""},
		"{{pr_number}}":  {"7", "12", ""},
		"{{run_id}}":     {"99", "", ""},
		"{{prerelease}}": {"", "", "rc.1"},
		"{{#if prerelease}}pre{{else}}full{{/if}}": {"full", "full", "pre"},
		"c{{commit_count}}":                        {"c42", "c42", "c42"},
	} {
		for i, e := range []ci.Event{request, queue, on("refs/tags/app/v1.2-rc.1")} {
			f := meta.NewFacts(e, now)
			f.CommitCount = 42
			r := computeFacts(t, f, meta.Options{Tags: list("type=raw,value=" + text)})
			if got := strings.Join(r.Names(), " "); got != want[i] {
				t.Errorf("%s on %s: got %q, want %q", text, e.Ref, got, want[i])
			}
		}
	}
	rules, err := meta.Parse(meta.Options{Tags: list("type=raw,value={{commit_count}}")})
	if err != nil || !rules.NeedsCommitCount() {
		t.Fatal(err)
	}
	_, err = meta.Compute(meta.NewFacts(request, now), rules)
	wantFault(t, err, "tags", 1, "commit_count is not known")
}

func TestTextHelpers(t *testing.T) {
	e := on("refs/heads/Feature/ABC-12_x")
	for text, want := range map[string]string{
		"{{lower branch}}":                                     "feature-abc-12_x",
		"{{upper branch}}":                                     "FEATURE-ABC-12_X",
		"{{replace branch 'Feature/' ''}}":                     "ABC-12_x",
		"{{slice branch 0 7}}":                                 "Feature",
		"{{slice branch -4}}":                                  "12_x",
		"{{slice branch 3 1}}x":                                "x",
		"{{slice branch 8 100}}":                               "ABC-12_x",
		"{{split branch '/' 1}}":                               "ABC-12_x",
		"{{split branch '/' -1}}":                              "ABC-12_x",
		"{{split branch '/' 9}}none":                           "none",
		"{{split branch '/' -9}}none":                          "none",
		"{{split branch '/'}}":                                 "Feature-ABC-12_x",
		"{{default tag branch}}":                               "Feature-ABC-12_x",
		"{{default tag head_ref 'none'}}":                      "none",
		"{{lower (split (split branch '/' 1) '-')}}":           "abc-12_x",
		"{{#each (split branch '/')}}{{lower this}}.{{/each}}": "feature.abc-12_x.",
		"{{lower}}x":                                           "x",
	} {
		r := compute(t, e, meta.Options{Tags: list("type=raw,value=" + text), Extended: true})
		if got := strings.Join(r.Names(), " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	version := compute(t, on("refs/tags/v1.2.3"), meta.Options{Tags: list("type=semver,pattern={{upper raw}}"), Extended: true})
	if got := version.Names()[0]; got != "V1.2.3" {
		t.Errorf("in a pattern: %q", got)
	}
	for text, says := range map[string]string{
		"{{lower branch tag}}":          "{{lower TEXT}} was given 2 arguments",
		"{{slice branch 'x'}}":          `"x" is no whole number`,
		"{{slice branch 0.5}}":          `"0.5" is no whole number`,
		"{{replace branch '' 'x'}}":     "needs a text to be replaced",
		"{{split branch ''}}":           "needs a text to split at",
		"{{replace branch 'a' to='b'}}": "was given 3 arguments",
	} {
		rules, err := meta.Parse(meta.Options{Tags: list("type=sha\ntype=raw,value=" + text), Extended: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = meta.Compute(meta.NewFacts(e, now), rules)
		wantFault(t, err, "tags", 2, says)
	}
}

// Without extended they are what they are in docker's action, and a hint says
// how to have them.
func TestTextHelpersAreAskedFor(t *testing.T) {
	for text, want := range map[string]string{"lower": "with the input extended", "shout": ""} {
		rules, err := meta.Parse(meta.Options{Tags: list("type=raw,value={{" + text + " branch}}")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = meta.Compute(meta.NewFacts(on("refs/heads/x"), now), rules)
		wantFault(t, err, "tags", 1, `column 16: Missing helper: "`+text+`"`)
		if hints := strings.Join(errdefs.Hints(err), "\n"); !strings.HasPrefix(hints, want) || want == "" && hints != "" {
			t.Errorf("%s: hints %q", text, hints)
		}
	}
}

// A result that doubles with each call must not take the machine's memory.
func TestTextHelpersAreBounded(t *testing.T) {
	text := "'a'"
	for range 60 {
		text = "(replace " + text + " 'a' 'aa')"
	}
	rules, err := meta.Parse(meta.Options{Tags: list("type=raw,value={{lower " + text + "}}"), Extended: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = meta.Compute(meta.NewFacts(on("refs/heads/x"), now), rules)
	wantFault(t, err, "tags", 1, "larger than")
}

func TestAnyRef(t *testing.T) {
	queue := on("refs/heads/gh-readonly-queue/main/pr-12-0123abc")
	queue.Name, queue.Kind = "merge_group", ci.MergeQueue
	for _, c := range []struct {
		event ci.Event
		rules string
		want  string
	}{
		{on("refs/heads/main"), "type=ref", "main"},
		{on("refs/tags/v1"), "type=ref", "v1 latest"},
		{on("refs/pull/7/merge"), "type=ref", "pr-7"},
		{on("refs/pull/7/merge"), "type=ref,prefix=mr-", "mr-7"},
		{on("refs/heads/main"), "type=ref,prefix=b-", "b-main"},
		{queue, "type=ref", "pr-12"},
		{queue, "type=ref,event=pr,queue=true", "pr-12"},
		{queue, "type=ref,event=pr", ""},
		{queue, "type=ref,event=pr,queue=false\ntype=ref,event=branch", "gh-readonly-queue-main-pr-12-0123abc"},
		{on("refs/notes/x"), "type=ref", ""},
	} {
		r := compute(t, c.event, meta.Options{Tags: list(c.rules), Extended: true})
		if got := strings.Join(r.Names(), " "); got != c.want {
			t.Errorf("%s by %s: got %q, want %q", c.event.Ref, c.rules, got, c.want)
		}
	}
	_, err := meta.Parse(meta.Options{Tags: list("type=ref")})
	wantFault(t, err, "tags", 1, "Missing event attribute for type=ref")
}

func TestVersions(t *testing.T) {
	for tag, want := range map[string]string{ // {{version}}, {{major}}.{{minor}}, {{major}}
		"1.2":                    "1.2 1 latest",
		"v1.2.3":                 "1.2.3 1.2 1 latest",
		"1.2.3.4":                "1.2.3.4 1.2 1 latest",
		"26.05":                  "26.05 26 latest",
		"2026.05.01":             "2026.05.01 2026.05 2026 latest",
		"2026-05-01":             "2026-05-01 2026.05 2026 latest",
		"2":                      "2 latest",
		"1.2-rc1":                "1.2-rc1",
		"1.2rc1":                 "1.2rc1",
		"1.2.3.beta2":            "1.2.3.beta2",
		"5.3.1.RELEASE":          "5.3.1.RELEASE 5.3 5 latest",
		"1.2.post1":              "1.2.post1 1.2 1 latest",
		"1.2+b1":                 "1.2 1 latest",
		"20260501":               "20260501 latest",
		"main":                   "",
		"":                       "",
		"1..2":                   "",
		"1.2.":                   "",
		"1.2-":                   "",
		"v":                      "",
		"99999999999999999999.1": "99999999999999999999.1 99999999999999999999 latest",
	} {
		got := tags(t, on("refs/tags/"+tag), "type=version,pattern={{version}}\ntype=version,pattern={{major}}.{{minor}}\ntype=version,pattern={{major}}")
		if got != want {
			t.Errorf("%s: got %q, want %q", tag, got, want)
		}
	}
	for text, want := range map[string]string{
		"type=version,pattern={{revision}}-{{patch}}-{{minor}}":        "4-3-2 latest",
		"type=version,pattern={{lookup parts 1}}.{{parts.length}}":     "2.4 latest",
		"type=version,pattern={{version}},value=2.5":                   "2.5 latest",
		`type=version,pattern={{version}},value=x-7.1,match=x-(.*)`:    "7.1 latest",
		"type=version,pattern={{version}},value=1.2-SNAPSHOT":          "1.2-SNAPSHOT",
		"type=version,pattern={{version}}-{{prerelease}}x,value=1.2.3": "1.2.3-x latest",
	} {
		if got := tags(t, on("refs/tags/v1.2.3.4"), text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestBuildMetadata(t *testing.T) {
	for rule, want := range map[string]string{
		"type=semver,pattern={{version}}":                    "1.2.3 latest",
		"type=semver,pattern={{version}},build=true":         "1.2.3-fork.1 latest",
		"type=semver,pattern={{version}},build=false":        "1.2.3 latest",
		"type=semver,pattern={{major}}.{{minor}},build=true": "1.2 latest",
	} {
		if got := tags(t, on("refs/tags/v1.2.3+fork.1"), rule); got != want {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
	if got := tags(t, on("refs/tags/v1.2.3-rc.1+fork.1"), "type=semver,pattern={{major}},build=true"); got != "1.2.3-rc.1-fork.1" {
		t.Errorf("a prerelease: %q", got)
	}
	_, err := meta.Parse(meta.Options{Tags: list("type=semver,pattern={{version}},build=yes")})
	wantFault(t, err, "tags", 1, `column 39: build is "yes"`)
}

// An image's own rules take the place of the common ones; its flavor adds to
// the common one.
func TestImagesOfTheirOwn(t *testing.T) {
	o := meta.Options{
		Images: list(`ghcr.io/Acme/app
name=ghcr.io/acme/debug,bake-target=debug,flavor=suffix=-debug,onlatest=true
name=ghcr.io/acme/tools,bake-target=tools,flavor=latest=false,tags=type=semver,pattern={{major}},tags=type=ref,event=tag
name=ghcr.io/acme/off,enable=false,tags=type=edge`),
		Tags:   list("type=semver,pattern={{version}}"),
		Flavor: list("prefix=x-"),
	}
	r := compute(t, on("refs/tags/v1.2.3"), o)
	want := []string{
		"ghcr.io/acme/app:x-1.2.3", "ghcr.io/acme/app:latest",
		"ghcr.io/acme/debug:x-1.2.3-debug", "ghcr.io/acme/debug:latest-debug",
		"ghcr.io/acme/tools:x-1", "ghcr.io/acme/tools:x-v1.2.3",
	}
	if diff := cmp.Diff(want, r.References()); diff != "" {
		t.Error(diff)
	}
	if r.Version != "x-1.2.3" {
		t.Errorf("version %q", r.Version)
	}
	bake := r.BakeFiles("debug", "tools")[0].Text
	const golden = `{
  "target": {
    "debug": {
      "tags": [
        "ghcr.io/acme/app:x-1.2.3",
        "ghcr.io/acme/app:latest",
        "ghcr.io/acme/debug:x-1.2.3-debug",
        "ghcr.io/acme/debug:latest-debug"
      ],
      "args": {
        "DOCKER_META_IMAGES": "ghcr.io/acme/app,ghcr.io/acme/debug",
        "DOCKER_META_VERSION": "x-1.2.3"
      }
    },
    "tools": {
      "tags": [
        "ghcr.io/acme/app:x-1.2.3",
        "ghcr.io/acme/app:latest",
        "ghcr.io/acme/tools:x-1",
        "ghcr.io/acme/tools:x-v1.2.3"
      ],
      "args": {
        "DOCKER_META_IMAGES": "ghcr.io/acme/app,ghcr.io/acme/tools",
        "DOCKER_META_VERSION": "x-1.2.3"
      }
    }
  }
}`
	if diff := cmp.Diff(golden, bake); diff != "" {
		t.Error(diff)
	}
	branch := compute(t, on("refs/heads/main"), meta.Options{Images: list("a/b\nname=c/d,tags=type=edge,branch=none"), Tags: list("type=edge")})
	if diff := cmp.Diff([]string{"No Docker tag has been generated for c/d. Check tags input."}, branch.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsOfImagesOfTheirOwn(t *testing.T) {
	_, err := meta.Parse(meta.Options{Images: list("a/b\nname=c/d,flavor=color=red,tags=type=nope,tags=type=sha,format=tiny")})
	var got []string
	for _, e := range errdefs.List(err) {
		got = append(got, e.Error())
	}
	want := []string{
		`input "images" line 2: column 17: Unknown flavor entry: color=red`,
		`input "images" line 2: column 37: Unknown tag type attribute: nope`,
		`input "images" line 2: column 63: Invalid format for type=sha,format=tiny`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLongTags(t *testing.T) {
	long := strings.Repeat("a", 130)
	names := map[string]bool{}
	for _, branch := range []string{long + "x", long + "y", long} {
		r := compute(t, on("refs/heads/"+branch), meta.Options{Tags: list("type=ref,event=branch"), HashLongTags: true})
		name := r.Names()[0]
		if len(name) != 128 || !strings.HasPrefix(name, long[:119]+"-") || len(r.Warnings) != 1 {
			t.Errorf("%q, %q", name, r.Warnings)
		}
		names[name] = true
	}
	if len(names) != 3 {
		t.Errorf("%d names of three branches", len(names))
	}
	r := compute(t, on("refs/heads/"+long[:128]), meta.Options{Tags: list("type=ref,event=branch"), HashLongTags: true})
	if r.Names()[0] != long[:128] || len(r.Warnings) > 0 {
		t.Errorf("a name that fits: %q", r.Names())
	}
}

func TestDockerfileLabels(t *testing.T) {
	for text, want := range map[string]string{
		"FROM a\nLABEL x=1 y=\"a b\" 'z'=2\nlabel  w  old form":                          "w x y z",
		"FROM a\nLABEL a=1 \\\n  # why\n  b=2 \\\n\n  c=3":                               "a b c",
		"# escape=`\nFROM a\nLABEL a=1 `\n  b=C:\\":                                      "a b",
		"FROM a AS Base\nLABEL a=1\nFROM b\nLABEL b=1":                                   "b",
		"FROM --platform=$X a AS Base\nLABEL a=1\nFROM base AS two\nLABEL b=1\nFROM two": "a b",
		"FROM a\nRUN <<EOF\nLABEL no=1\nEOF\nLABEL yes=1":                                "yes",
		"FROM a\nCOPY <<-\"E\" <<F /\nLABEL no=1\n\tE\nLABEL no=2\nF\nLABEL yes=1":       "yes",
		"FROM a\r\nLABEL a=1\r\nLABEL $k=1 b${x}=2":                                      "a",
		"FROM a\nLABEL a=\"x=y z=1\" b=\"\\\" c=2\"":                                     "a b",
		"":        "",
		"LABEL":   "",
		"LABEL =": "",
	} {
		if got := strings.Join(meta.DockerfileLabels(text), " "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f := meta.NewFacts(on("refs/heads/main"), now)
	f.ImageLabels = []string{"org.opencontainers.image.title", "org.opencontainers.image.url"}
	r := computeFacts(t, f, meta.Options{Labels: list("org.opencontainers.image.url=mine")})
	labels := r.LabelMap()
	if _, there := labels["org.opencontainers.image.title"]; there || labels["org.opencontainers.image.url"] != "mine" || len(labels) != 7 {
		t.Errorf("labels %q", labels)
	}
	if len(r.Annotations) != 8 {
		t.Errorf("%d annotations", len(r.Annotations))
	}
}

// Every rule has an outcome: a tag, or a reason.
func TestOutcomes(t *testing.T) {
	f := meta.NewFacts(on("refs/tags/v1.4.1"), now)
	f.Versions = []string{"v1.4.2", "v2.0.0"}
	r := computeFacts(t, f, meta.Options{Guard: true, Tags: list(everyRule +
		"\ntype=raw,value=x,enable=false\ntype=raw,value={{branch}}\ntype=raw,value=...\ntype=raw,value=1.4.1\ntype=match,pattern=y\ntype=match,pattern=v,group=3\ntype=pep440,pattern=x,value=no\ntype=version,pattern={{revision}}")})
	got := map[string]string{}
	for _, o := range r.Outcomes {
		if (o.Tag == "") == (o.Reason == "") && o.Rule != "type=raw,value=1.4.1" {
			t.Errorf("outcome %+v", o)
		}
		got[o.Rule] = strings.TrimSpace(o.Tag + " " + o.Reason)
	}
	want := map[string]string{
		"type=schedule":                           "the event is no schedule",
		"type=ref,event=branch":                   "the event is not on a branch",
		"type=ref,event=tag":                      "v1.4.1",
		"type=ref,event=pr":                       "the event is no request",
		"type=semver,pattern={{version}}":         "1.4.1",
		"type=semver,pattern={{major}}.{{minor}}": "v1.4.2 is higher and has it",
		"type=edge":                               "the event is not on the branch main",
		"type=sha":                                "sha-0123456",
		"type=raw,value=x,enable=false":           "enable is false",
		"type=raw,value={{branch}}":               "it gives an empty text",
		"type=raw,value=...":                      `"..." can't be made a tag`,
		"type=raw,value=1.4.1":                    "1.4.1 another rule gave it",
		"type=match,pattern=y":                    "y does not match v1.4.1",
		"type=match,pattern=v,group=3":            "v has no group 3",
		"type=pep440,pattern=x,value=no":          `"no" is not a version for type=pep440`,
		"type=version,pattern={{revision}}":       "1.4.1 has no revision",
		"latest":                                  "v2.0.0 is higher",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for flavor, says := range map[string]string{"": "the first tag is of type=ref,event=tag", "latest=true": "the flavor says latest=true", "latest=false": "the flavor says latest=false"} {
		r := compute(t, on("refs/tags/v1"), meta.Options{Flavor: list(flavor)})
		if o := r.Outcomes[len(r.Outcomes)-1]; o.Reason != says {
			t.Errorf("%s: %+v", flavor, o)
		}
	}
}

func FuzzDockerfileLabels(f *testing.F) {
	f.Add("# escape=`\nFROM a AS b\nLABEL a=\"b c\" `\n d=1\nRUN <<E\nE\nFROM b")
	f.Add("LABEL 'a")
	f.Fuzz(func(t *testing.T, text string) {
		for _, key := range meta.DockerfileLabels(text) {
			if key == "" || strings.ContainsAny(key, "\n=") {
				t.Errorf("key %q", key)
			}
		}
	})
}

func FuzzVersions(f *testing.F) {
	for _, v := range []string{"v1.2.3-rc.1+b.1", "1!2.0.post1+local.01", "2026-05-01", "5.3.1.RELEASE", "api/v1.2.3.4"} {
		f.Add(v, "v1.2.4")
	}
	f.Fuzz(func(t *testing.T, tag, other string) {
		facts := meta.NewFacts(on("refs/tags/"+tag), now)
		facts.Versions = []string{other, tag}
		rules, err := meta.Parse(meta.Options{Guard: true, Flavor: list("prerelease-latest=false"),
			Tags: list("type=version,pattern={{major}}.{{minor}}\ntype=semver,pattern={{major}},build=true\ntype=pep440,pattern={{version}}\ntype=ref,event=tag")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := meta.Compute(facts, rules)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range r.Tags {
			if !validTag.MatchString(tag.Name) {
				t.Errorf("tag %q", tag.Name)
			}
		}
	})
}
