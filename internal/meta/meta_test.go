package meta_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/meta"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

var now = time.Date(2020, time.January, 10, 0, 30, 0, 0, time.UTC)

// on is an event on GitHub with a ref.
func on(ref string) ci.Event {
	return ci.Event{
		Provider: "github", Name: "push", Kind: ci.Branch, Ref: ci.GitRef(ref), SHA: sha, HeadSHA: sha,
		Repository: ci.Repository{Slug: "octo/app", Name: "app", URL: "https://github.com/octo/app", DefaultBranch: "main", License: "MIT"},
	}
}

func list(text string) []input.Entry {
	entries, err := input.Grammar{Comments: true}.Parse(text)
	if err != nil {
		panic(err)
	}
	return entries
}

func compute(t *testing.T, e ci.Event, o meta.Options) meta.Result {
	t.Helper()
	rules, err := meta.Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := meta.Compute(meta.NewFacts(e, now), rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tags(t *testing.T, e ci.Event, text string) string {
	t.Helper()
	return strings.Join(compute(t, e, meta.Options{Tags: list(text)}).Names(), " ")
}

const everyRule = "type=schedule\ntype=ref,event=branch\ntype=ref,event=tag\ntype=ref,event=pr\ntype=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=edge\ntype=sha"

// The same rules give the same tags on every CI system.
func TestEvents(t *testing.T) {
	request := &ci.ChangeRequest{Number: 7, Source: "x", Target: "main"}
	gitlab := func(e ci.Event) ci.Event { e.Provider = "gitlab"; return e }
	with := func(e ci.Event, name string, kind ci.Kind, r *ci.ChangeRequest) ci.Event {
		e.Name, e.Kind, e.Request = name, kind, r
		return e
	}
	for name, c := range map[string]struct {
		event ci.Event
		want  string
	}{
		"branch":              {on("refs/heads/feat/x"), "feat-x sha-0123456"},
		"branch, GitLab":      {gitlab(on("refs/heads/feat/x")), "feat-x sha-0123456"},
		"default branch":      {on("refs/heads/main"), "edge main sha-0123456"},
		"tag":                 {on("refs/tags/v1.4.2"), "1.4.2 1.4 v1.4.2 sha-0123456 latest"},
		"prerelease":          {on("refs/tags/v1.4.2-rc.1"), "1.4.2-rc.1 v1.4.2-rc.1 sha-0123456"},
		"schedule":            {with(on("refs/heads/main"), "schedule", ci.Schedule, nil), "nightly edge main sha-0123456"},
		"schedule, GitLab":    {with(gitlab(on("refs/heads/1.x")), "schedule", ci.Schedule, nil), "nightly 1.x sha-0123456"},
		"pull request":        {with(on("refs/pull/7/merge"), "pull_request", ci.Request, request), "pr-7 sha-0123456"},
		"pull_request_target": {with(on("refs/heads/main"), "pull_request_target", ci.Request, request), "pr-7 sha-0123456"},
		"closed pull request": {with(on("refs/heads/main"), "pull_request", ci.Request, request), "edge main sha-0123456"},
		"merge request":       {with(gitlab(on("refs/merge-requests/7/head")), "merge_request_event", ci.Request, request), "pr-7 sha-0123456"},
		"merged result":       {with(gitlab(on("refs/merge-requests/7/merge")), "merge_request_event", ci.Request, request), "pr-7 sha-0123456"},
		"external request":    {with(gitlab(on("refs/pull/7/head")), "external_pull_request_event", ci.Request, request), "pr-7 sha-0123456"},
		"merge queue":         {with(on("refs/heads/gh-readonly-queue/main/pr-12-ab"), "merge_group", ci.MergeQueue, nil), "gh-readonly-queue-main-pr-12-ab sha-0123456"},
		"no ref":              {on(""), "sha-0123456"},
	} {
		if got := tags(t, c.event, everyRule); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A quirk of GitHub's events must not make every branch of another system's
// schedule the default one.
func TestDefaultBranchByEventName(t *testing.T) {
	e := on("refs/heads/1.x")
	e.Name = "schedule"
	const rule = "type=raw,value=x,enable={{is_default_branch}}\ntype=raw,value=y"
	if got := tags(t, e, rule); got != "x y" {
		t.Errorf("GitHub: %q", got)
	}
	e.Provider = "gitlab"
	if got := tags(t, e, rule); got != "y" {
		t.Errorf("GitLab: %q", got)
	}
}

func TestMoving(t *testing.T) {
	r := compute(t, on("refs/tags/v1.4.2"), meta.Options{Tags: list(everyRule + "\ntype=semver,pattern=v{{version}}-alpine\ntype=raw,value=stable\ntype=raw,value=c-" + sha)})
	want := []meta.Tag{
		{"1.4.2", false}, {"1.4", true}, {"v1.4.2-alpine", false}, {"v1.4.2", false}, {"stable", true}, {"c-" + sha, false}, {"sha-0123456", false}, {"latest", true},
	}
	if diff := cmp.Diff(want, r.Tags); diff != "" {
		t.Error(diff)
	}
	if r := compute(t, on("refs/heads/main"), meta.Options{}); !r.Tags[0].Moving {
		t.Error("a branch does not move")
	}
}

// What follows are the differences that docs/compatibility.md lists.

func TestNamesThatAreNoTags(t *testing.T) {
	long := strings.Repeat("x", 200)
	for branch, want := range map[string]string{
		".hidden": "hidden", "-rf": "rf", "...": "", "-": "", "/": "", "_x": "_x", long: long[:128], "feature/x;rm -rf /": "feature-x-rm--rf-",
		"$(curl evil)": "curl-evil-", "🚀": "", "::add-mask::e": "add-mask-e", "##[set-output name=a]b": "set-output-name-a-b", "##vso[x]y": "vso-x-y",
		"sha256-" + strings.Repeat("a", 64): "", "sha256-" + strings.Repeat("a", 63): "sha256-" + strings.Repeat("a", 63),
		"a\nb=c": "a-b-c", "\u202eevil": "evil",
	} {
		r := compute(t, on("refs/heads/"+branch), meta.Options{Tags: list("type=ref,event=branch")})
		if got := strings.Join(r.Names(), " "); got != want {
			t.Errorf("%.20q: got %q, want %q", branch, got, want)
		}
		// GitHub's runner would obey no warning, whatever is in the name.
		for _, w := range r.Warnings {
			if strings.ContainsAny(w, "\n\r\x1b") {
				t.Errorf("%.20q: warning %q", branch, w)
			}
		}
	}
	r := compute(t, on("refs/heads/.hidden"), meta.Options{Tags: list("type=ref,event=branch")})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], `tag ".hidden": made "hidden"`) {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestTagsOnce(t *testing.T) {
	r := compute(t, on("refs/tags/v1"), meta.Options{Tags: list("type=ref,event=tag\ntype=raw,value=latest\ntype=raw,value=v1"), Images: list("a/b\nc/d")})
	if diff := cmp.Diff([]string{"a/b:v1", "a/b:latest", "c/d:v1", "c/d:latest"}, r.References()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCrashesThere(t *testing.T) {
	if got := tags(t, on("refs/tags/v1.2.3"), "type=raw,value=a\n   \n\ntype=raw,value=b"); got != "a b" {
		t.Errorf("a blank line: %q", got)
	}
	if got := tags(t, on("refs/tags/app-1.2.3"), `type=semver,pattern={{version}},match=\d.*`); got != "1.2.3 latest" {
		t.Errorf("a pattern without a group: %q", got)
	}
	rules, err := meta.Parse(meta.Options{Tags: list("\ntype=semver,pattern={{version}},match=(x)?v.*")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = meta.Compute(meta.NewFacts(on("refs/tags/v1.2.3"), now), rules)
	wantFault(t, err, "tags", 2, "group 1 of (x)?v.* takes no part")
}

func TestUnknownAttributes(t *testing.T) {
	r := compute(t, on("refs/heads/main"), meta.Options{Tags: list("# rules\ntype=sha,prefx=x\ntype=raw,value=y,colour=red")})
	if len(r.Warnings) != 1 || r.Warnings[0] != `input "tags" line 2: attribute "prefx" is not known for type=sha; did you mean "prefix"?` {
		t.Errorf("warnings %q", r.Warnings)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], `line 3: attribute "colour" is not known for type=raw`) {
		t.Errorf("notes %q", r.Notes)
	}
}

// All faults come at once, each with its place.
func TestFaults(t *testing.T) {
	_, err := meta.Parse(meta.Options{
		Images: list("a/b\nenable=true\nname=x,size=2"),
		Tags:   list("type=foo\n\ntype=semver\ntype=ref\ntype=ref,event=push\ntype=sha,format=tiny\ntype=match,pattern=x,group=y\nenable=true\ntype=raw,value=a\"b"),
		Flavor: list("latest=maybe\nlatest\nonlatest=TRUE\ncolor=red"),
	})
	var got []string
	for _, e := range errdefs.List(err) {
		var fault *errdefs.Error
		if !errors.As(e, &fault) || fault.Kind != errdefs.BadInput {
			t.Errorf("%v is no bad input", e)
		}
		got = append(got, e.Error())
	}
	want := []string{
		`input "images" line 2: Image name attribute empty: enable=true`,
		`input "images" line 3: column 8: Unknown image attribute: name=x,size=2`,
		`input "tags" line 1: column 6: Unknown tag type attribute: foo`,
		`input "tags" line 3: Missing pattern attribute for type=semver`,
		`input "tags" line 4: Missing event attribute for type=ref`,
		`input "tags" line 5: column 16: Invalid event for type=ref,event=push`,
		`input "tags" line 6: column 17: Invalid format for type=sha,format=tiny`,
		`input "tags" line 7: column 28: Invalid match group for type=match,pattern=x,group=y`,
		`input "tags" line 8: Missing value attribute for enable=true`,
		`input "tags" line 9: column 17: bare " in non-quoted-field in type=raw,value=a"b`,
		`input "flavor" line 1: column 1: Invalid latest flavor entry: latest=maybe`,
		`input "flavor" line 2: column 1: Invalid flavor entry: latest`,
		`input "flavor" line 3: column 1: Invalid value for onlatest attribute: TRUE`,
		`input "flavor" line 4: column 1: Unknown flavor entry: color=red`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExpressionFaults(t *testing.T) {
	for _, c := range []struct {
		options meta.Options
		input   string
		line    int
		says    string
	}{
		{meta.Options{Tags: list("type=sha\ntype=raw,value={{lower branch}}")}, "tags", 2, `Missing helper: "lower"`},
		{meta.Options{Tags: list("type=raw,value=x,enable=TRUE")}, "tags", 1, "Invalid value for enable attribute: TRUE"},
		{meta.Options{Tags: list("type=raw,value={{date}}")}, "tags", 1, "a date needs one format"},
		{meta.Options{Tags: list("type=raw,value={{date 'Y' zone='x'}}")}, "tags", 1, "Unknown zone attribute"},
		{meta.Options{Tags: list("type=match,pattern=(,value=x")}, "tags", 1, "Invalid regular expression"},
		{meta.Options{Tags: list("type=match,pattern=/x/q,value=x")}, "tags", 1, "Invalid flags"},
		{meta.Options{Tags: list("type=sha"), ShortLength: "x"}, "tags", 1, "DOCKER_METADATA_SHORT_SHA_LENGTH is not a valid number: x"},
		{meta.Options{Flavor: list("\n\nprefix={{")}, "flavor", 3, "Parse error on line 1"},
		{meta.Options{Labels: list("a=b\nc={{")}, "labels", 2, "Parse error on line 1"},
		{meta.Options{Annotations: meta.Entries([]string{"a={{> x}}"})}, "annotations", 0, "The partial x could not be found in a={{> x}}"},
	} {
		rules, err := meta.Parse(c.options)
		if err != nil {
			t.Fatal(err)
		}
		_, err = meta.Compute(meta.NewFacts(on("refs/heads/main"), now), rules)
		wantFault(t, err, c.input, c.line, c.says)
	}
}

func wantFault(t *testing.T, err error, input string, line int, says string) {
	t.Helper()
	var fault *errdefs.Error
	if !errors.As(err, &fault) || fault.Kind != errdefs.BadInput || fault.Input != input || fault.Line != line || !strings.Contains(fault.Error(), says) {
		t.Errorf("error %v (%+v), want %q at %s:%d", err, fault, says, input, line)
	}
}

// A rule that does not apply may hold anything.
func TestWhatIsNotEvaluated(t *testing.T) {
	if got := tags(t, on("refs/heads/dev"), "type=semver,pattern={{\ntype=raw,value={{,enable=false\ntype=sha"); got != "sha-0123456" {
		t.Errorf("got %q", got)
	}
	if got := tags(t, on("refs/tags/v1.0.0-rc.1"), "type=semver,pattern={{"); got != "1.0.0-rc.1" {
		t.Errorf("got %q", got)
	}
}

func TestDateNeeds(t *testing.T) {
	for text, want := range map[string]bool{"type=sha": false, "type=raw,value={{commit_date 'Y'}}": true} {
		rules, err := meta.Parse(meta.Options{Tags: list(text)})
		if err != nil || rules.NeedsCommitTime() != want {
			t.Errorf("%s: %v, %v", text, rules.NeedsCommitTime(), err)
		}
	}
	for text, want := range map[string]bool{"type=sha": false, "type=edge": true, "type=edge,branch=x": false} {
		rules, err := meta.Parse(meta.Options{Tags: list(text)})
		if err != nil || rules.NeedsDefaultBranch() != want {
			t.Errorf("%s: %v, %v", text, rules.NeedsDefaultBranch(), err)
		}
	}
}

func TestPatternThatNeverEnds(t *testing.T) {
	rules, err := meta.Parse(meta.Options{Tags: list(`type=match,pattern=^(a+)+$,value=` + strings.Repeat("a", 40) + "!")})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if _, err = meta.Compute(meta.NewFacts(on("refs/heads/main"), now), rules); err == nil || time.Since(started) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
}

func TestNamedGroups(t *testing.T) {
	for text, want := range map[string]string{
		`type=match,pattern=(?<a>v)(\d)(?<b>\d),value=v12,group=1`: "v latest",
		`type=match,pattern=(?<a>v)(\d)(?<b>\d),value=v12,group=2`: "1 latest",
		`type=match,pattern=(?<a>v)(\d)(?<b>\d),value=v12,group=3`: "2 latest",
		`type=match,pattern=[(](?:v)\((\d),value=(v(3,group=1`:     "3 latest",
		`type=match,pattern=/\d/g,value=1.2.3,group=1`:             "2 latest",
		`type=match,pattern=/V(.)/i,value=v7,group=1`:              "7 latest",
		`type=match,pattern=/a?/gy,value=aab,group=1`:              "a latest",
	} {
		if got := tags(t, on("refs/heads/main"), text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestLabelsStayOne(t *testing.T) {
	e := on("refs/heads/main")
	e.Repository.Description = "x\nFOO=1"
	r := compute(t, e, meta.Options{Labels: meta.Entries([]string{"b=2", "B=1", "10=x", "2=y", "__proto__=z", "no pair", "=empty key", "b=3"})})
	if got := r.LabelMap()["org.opencontainers.image.description"]; got != "x\nFOO=1" {
		t.Errorf("description %q", got)
	}
	var keys []string
	for _, l := range r.Labels {
		if !strings.HasPrefix(l.Key, "org.") {
			keys = append(keys, l.Key+"="+l.Value)
		}
	}
	if diff := cmp.Diff([]string{"=empty key", "__proto__=z", "10=x", "2=y", "b=3", "B=1"}, keys); diff != "" {
		t.Error(diff)
	}
	json := r.JSON()
	if !strings.Contains(json, `"labels":{"2":"y","10":"x","":"empty key","b":"3","B":"1",`) || strings.Contains(json, "__proto__") || !strings.Contains(json, `description":"x"`) {
		t.Error(json)
	}
}

func TestPriorities(t *testing.T) {
	for priorities, want := range map[string]string{
		"1 2 3": "t2 t1 t0", "200 x 900": "t0 t1 t2", "-1 Infinity 0x10 1.5": "t1 t2 t3 t0", "1 1 1": "t0 t1 t2", "1  2": "t2 t0 t1", "3 2 x 5": "t0 t1 t2 t3", "1 2 3 x 9 0": "t4 t2 t1 t0 t3 t5",
	} {
		var lines []string
		for i, p := range strings.Split(priorities, " ") {
			lines = append(lines, "type=raw,value=t"+string(rune('0'+i))+",priority="+p)
		}
		if got := tags(t, on("refs/heads/main"), strings.Join(lines, "\n")); got != want {
			t.Errorf("%q: got %q, want %q", priorities, got, want)
		}
	}
}

// Rules and facts do not change by being used.
func TestComputeIsPure(t *testing.T) {
	rules, err := meta.Parse(meta.Options{Tags: list(everyRule), Labels: list("a={{branch}}"), Images: list("A/b")})
	if err != nil {
		t.Fatal(err)
	}
	refs := []string{"refs/heads/a", "refs/tags/v1.2.3", "refs/tags/nope", "refs/pull/3/merge"}
	first := map[string]meta.Result{}
	for range 50 {
		ref := refs[rand.IntN(len(refs))]
		got, err := meta.Compute(meta.NewFacts(on(ref), now), rules)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := first[ref]; ok {
			if diff := cmp.Diff(before, got); diff != "" {
				t.Fatal(diff)
			}
		}
		first[ref] = got
	}
}

var validTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func FuzzRules(f *testing.F) {
	f.Add(everyRule, "latest=true,prefix=x,onlatest=true", "a/b,c/d", "k={{date 'Y' tz='asia_tokyo'}}", "refs/tags/v1.2.3")
	f.Add(`"type=match,""pattern=/v(\d{1,2})/i"",group=1"`, "", "name=a,enable=false", "=", "refs/heads/x")
	f.Add("type=pep440,pattern={{major}}", "suffix={{branch}}", "a", "a=b", "refs/tags/1!2.0.post1+local.01")
	f.Add("type=ref\ntype=version,pattern={{revision}}\nx{{lower (split branch '/' 0)}}{{commit_count}}", "prerelease-latest=false", "name=a,bake-target=b,flavor=suffix=x,tags=type=ref,event=pr,queue=true", "a={{run_id}}", "refs/heads/gh-readonly-queue/main/pr-1-a")
	f.Fuzz(func(t *testing.T, rules, flavor, images, labels, ref string) {
		o := meta.Options{Extended: len(ref)%2 == 0, Guard: len(rules)%2 == 0, HashLongTags: len(flavor)%2 == 0}
		for _, l := range []struct {
			to   *[]input.Entry
			text string
		}{{&o.Tags, rules}, {&o.Flavor, flavor}, {&o.Images, images}, {&o.Labels, labels}} {
			entries, err := input.Grammar{Comments: true}.Parse(l.text)
			if err != nil {
				return
			}
			*l.to = entries
		}
		parsed, err := meta.Parse(o)
		if err != nil {
			if errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("%v is no bad input", err)
			}
			return
		}
		facts := meta.NewFacts(on(ref), now)
		facts.CommitCount, facts.Versions = 3, []string{"v1.2.4", "app/v3", "latest"}
		r, err := meta.Compute(facts, parsed)
		if err != nil {
			if errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("%v is no bad input", err)
			}
			return
		}
		for _, o := range r.Outcomes {
			if o.Tag == "" && o.Reason == "" {
				t.Errorf("rule %q gives no tag and no reason", o.Rule)
			}
		}
		seen := map[string]bool{}
		for _, tag := range r.Tags {
			if !validTag.MatchString(tag.Name) || seen[tag.Name] {
				t.Errorf("tag %q of %q", tag.Name, r.Names())
			}
			seen[tag.Name] = true
		}
		r.JSON()
		r.References()
		r.BakeFiles("x", "b")
	})
}
