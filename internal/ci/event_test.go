package ci_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

// event is what GitHub's provider makes of a payload.
func event(t *testing.T, payload string, environ ...string) (ci.Event, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(path, []byte(payload), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": path, "GITHUB_EVENT_NAME": "pull_request",
		"GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": sha,
	}
	for i := 0; i < len(environ); i += 2 {
		env[environ[i]] = environ[i+1]
	}
	return detect(t, ci.Host{Environ: env, Stdout: io.Discard, Stderr: io.Discard, Dir: t.TempDir()}).Event(context.Background())
}

func TestPayloadOfAnotherRepository(t *testing.T) {
	for payload, fails := range map[string]bool{
		`{"repository":{"full_name":"octo/app"}}`:                       false,
		`{"repository":{"full_name":"Octo/App"}}`:                       false,
		`{"repository":{"full_name":"evil/app"}}`:                       true,
		`{"repository":{"name":"app","owner":{"login":"evil"}}}`:        true,
		`{"repository":{"full_name":"old/app","id":7}}`:                 false, // renamed
		`{"repository":{"full_name":"evil/app","id":8}}`:                true,
		`{"repository":"evil"}`:                                         false, // no repository at all
		`{"repository":{"full_name":["evil/app"],"owner":"x","id":{}}}`: false,
	} {
		_, err := event(t, payload, "GITHUB_REPOSITORY_ID", "7")
		if fails != (errdefs.KindOf(err) == errdefs.BadInput) || !fails && err != nil {
			t.Errorf("%s: error %v", payload, err)
		}
	}
}

func TestRequestNumbers(t *testing.T) {
	for written, want := range map[string]int{
		`42`: 42, `1`: 1, `2147483647`: 2147483647,
		`0`: 0, `-1`: 0, `1e9`: 0, `1.5`: 0, `2147483648`: 0, `"42"`: 0, `"42; x"`: 0, `null`: 0, `[42]`: 0,
	} {
		e, err := event(t, `{"number":`+written+`}`)
		if err != nil || e.Request.Number != want {
			t.Errorf("%s: %+v, %v", written, e.Request, err)
		}
	}
	p := detect(t, ci.Host{Environ: map[string]string{"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7; x"}, Dir: t.TempDir()})
	if _, err := p.Event(context.Background()); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("GitLab: error %v", err)
	}
}

func TestForkIsWhatIsNotKnownToBeNone(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"pull_request":{"head":{"repo":{"id":1}},"base":{"repo":{"id":1}}}}`:                 false,
		`{"pull_request":{"head":{"repo":{"id":2}},"base":{"repo":{"id":1}}}}`:                 true,
		`{"pull_request":{"head":{"repo":null},"base":{"repo":{"id":1}}}}`:                     true,
		`{"pull_request":{"head":{"repo":{"id":"1"}},"base":{"repo":{"id":"1"}}}}`:             true,
		`{"pull_request":{"head":{"repo":{"full_name":"octo/app"}},"base":{}}}`:                false,
		`{"pull_request":{"head":{"repo":{"full_name":"evil/app"}},"base":{"repo":{}}}}`:       true,
		`{"pull_request":{"head":{"repo":{"id":1,"full_name":"x"}},"base":{"repo":{"id":1}}}}`: false,
		`{}`: true,
		`x`:  true,
	} {
		e, err := event(t, payload)
		if err != nil || e.Request.Fork != want {
			t.Errorf("%s: %+v, %v", payload, e.Request, err)
		}
	}
}

func TestPayloadBounds(t *testing.T) {
	for name, payload := range map[string]string{
		"too large": `{"a":"` + strings.Repeat("x", 6<<20) + `"}`,
		"too deep":  strings.Repeat(`{"a":`, 100_000),
		"no object": `[1]`,
		"two":       `{}{}`,
		"truncated": `{"a":`,
	} {
		e, err := event(t, payload, "GITHUB_EVENT_NAME", "push")
		if err != nil || e.Payload != nil || len(e.Notices) != 1 || e.Notices[0].Level != ci.Warning || e.Ref != "refs/heads/main" {
			t.Errorf("%s: %v, notices %v", name, err, e.Notices)
		}
	}
	e, err := event(t, "\ufeff"+`{"number":1,"number":2}`) // a mark, and a key twice
	if err != nil || e.Request.Number != 2 || len(e.Notices) != 0 {
		t.Errorf("%+v, %v", e.Request, err)
	}
}

func TestHashIsChecked(t *testing.T) {
	for _, bad := range []string{"x", "HEAD", sha + "0", strings.ToUpper(sha[:39]) + "F", "$(id)"} {
		if _, err := event(t, `{}`, "GITHUB_SHA", bad); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	e, err := event(t, `{"pull_request":{"head":{"sha":"v1; rm"}}}`)
	if err != nil || e.HeadSHA != sha || len(e.Notices) != 1 {
		t.Errorf("head %q, notices %v, %v", e.HeadSHA, e.Notices, err)
	}
}

func TestCommitTimeAt(t *testing.T) {
	e, err := event(t, `{"commits":[{"id":"`+sha+`","timestamp":"2026-05-06T07:08:09+02:00"},{"id":"a","timestamp":"nonsense"}],"head_commit":{"id":"b","timestamp":""}}`)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]struct {
		time  string
		known bool
	}{sha: {"2026-05-06T05:08:09Z", true}, "a": {"0001-01-01T00:00:00Z", true}, "b": {"0001-01-01T00:00:00Z", true}, "c": {"0001-01-01T00:00:00Z", false}} {
		got, known := e.CommitTimeAt(at)
		if got.Format(time.RFC3339) != want.time || known != want.known {
			t.Errorf("%s: %v %v", at, got, known)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2024-05-06T07:08:09+02:00":       "2024-05-06T05:08:09Z",
		"2024-05-06T07:08:09.123Z":        "2024-05-06T07:08:09Z",
		"2024-05-06":                      "2024-05-06T00:00:00Z",
		"2024-05-06 07:08:09 +0200":       "2024-05-06T05:08:09Z",
		"Mon, 06 May 2024 07:08:09 +0200": "2024-05-06T05:08:09Z",
		"Mon, 6 May 2024 07:08:09 GMT":    "2024-05-06T07:08:09Z",
		"2024-05-06T07:08:09":             "2024-05-06T07:08:09Z",
		"Mon, 6 May 2024 07:08:09 EST":    "2024-05-06T12:08:09Z",
		"2024-05-06 07:08:09 UTC":         "2024-05-06T07:08:09Z",
		"May 6 2024":                      "2024-05-06T00:00:00Z",

		"Mon May 06 2024 07:08:09 GMT+0200 (CEST)": "2024-05-06T05:08:09Z",
	} {
		if got, err := ci.ParseTime(in); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "nonsense", "2024-13-01"} {
		if got, err := ci.ParseTime(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestHostileGitEnvironment(t *testing.T) {
	dir := gitDir(t, []string{"git init -q -b main . && git commit -q --allow-empty -m one"})
	trap := filepath.Join(t.TempDir(), "trap")
	script := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+trap+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	gitDir := filepath.Join(dir, ".git")
	config := "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = " + script + "\n\tpager = " + script + "\n"
	if err := os.WriteFile(filepath.Join(gitDir, "config"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": dir, "GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/",
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": script, "GIT_EXTERNAL_DIFF": script,
	}
	head, err := ci.Head(context.Background(), ci.Host{Environ: environ, Dir: dir})
	if err != nil || head.Ref != "refs/heads/main" {
		t.Errorf("%+v, %v", head, err)
	}
	if _, err := os.Stat(trap); !errors.Is(err, os.ErrNotExist) {
		t.Error("the repository's program ran")
	}
}

func TestGitFaults(t *testing.T) {
	for name, environ := range map[string]map[string]string{
		"no repository": {"PATH": os.Getenv("PATH"), "GIT_CEILING_DIRECTORIES": "/"},
		"no git":        {"PATH": "/nonexistent"},
		"relative PATH": {"PATH": "."},
	} {
		_, err := detect(t, ci.Host{Environ: environ, Dir: t.TempDir()}).Event(context.Background())
		if errdefs.KindOf(err) != errdefs.Environment {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/repos/octo/app":
			w.Write([]byte(`{"name":"app","description":null,"html_url":"https://h/octo/app","license":{"spdx_id":"MIT"},"default_branch":"main","private":true}`))
		case "/repos/octo/app/commits/" + sha:
			w.Write([]byte(`{"commit":{"committer":{"date":"2022-02-03T04:05:06Z"}}}`))
		case "/repos/octo/rude":
			w.Write([]byte(`<html>`))
		default:
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(map[string]string{"message": "Not Found\x1b[0m", "documentation_url": "https://docs"})
		}
	}))
	p := detect(t, ci.Host{Environ: map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_API_URL": server.URL}}).(ci.Describer)
	of := func(slug string) ci.Event { return ci.Event{Repository: ci.Repository{Slug: slug}} }
	r, err := p.Describe(context.Background(), of("octo/app"), "tok")
	want := ci.Repository{Slug: "octo/app", Name: "app", URL: "https://h/octo/app", License: "MIT", DefaultBranch: "main", Visibility: ci.Private}
	if err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	at, err := p.CommitTime(context.Background(), of("octo/app"), sha, "")
	if err != nil || at.Year() != 2022 {
		t.Errorf("%v, %v", at, err)
	}
	if asked[0] != "/repos/octo/app Bearer tok" || asked[1] != "/repos/octo/app/commits/"+sha+" " {
		t.Errorf("asked %q", asked)
	}
	_, err = p.Describe(context.Background(), of("octo/gone"), "tok")
	if errdefs.KindOf(err) != errdefs.Denied || err.Error() != "Not Found - https://docs" {
		t.Errorf("error %v", err)
	}
	if _, err = p.Describe(context.Background(), of("octo/rude"), ""); errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("error %v", err)
	}
	if _, err = p.Describe(context.Background(), of("app"), ""); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("error %v", err)
	}
	server.Close()
	var unanswered *ci.Unanswered
	if _, err = p.Describe(context.Background(), of("octo/app"), ""); !errors.As(err, &unanswered) || errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("error %v", err)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(`{"number":7,"pull_request":{"head":{"sha":"`+sha+`","repo":{"id":1}}},"repository":{"full_name":"octo/app"}}`, "pull_request", "refs/pull/7/merge")
	f.Add(`{"commits":[{"id":"x","timestamp":"y"}],"base_ref":1}`, "push", "refs/tags/v1")
	f.Fuzz(func(t *testing.T, payload, name, ref string) {
		e, err := event(t, payload, "GITHUB_EVENT_NAME", name, "GITHUB_REF", ref)
		if err != nil {
			return
		}
		if e.SHA != sha || len(e.HeadSHA) != 40 && len(e.HeadSHA) != 64 {
			t.Errorf("commit %q, head %q", e.SHA, e.HeadSHA)
		}
		if e.Request != nil && e.Request.Number < 0 {
			t.Errorf("number %d", e.Request.Number)
		}
		if (e.Request != nil) != strings.HasPrefix(name, "pull_request") {
			t.Errorf("%s: %+v", name, e.Request)
		}
	})
}

func FuzzOutputs(f *testing.F) {
	for _, v := range awkward {
		f.Add("name", v)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		p, env, _ := onGitHub(t, nil)
		if err := p.Output(name, value); err == nil {
			got := runnerReads(t, read(t, env["GITHUB_OUTPUT"]))
			if len(got) != 1 || got[name] != value {
				t.Errorf("%q=%q reads %q", name, value, got)
			}
		}
		dir := t.TempDir()
		gitlab := detect(t, ci.Host{Environ: map[string]string{"GITLAB_CI": "true"}, Dir: dir})
		if err := gitlab.Output(name, value); err == nil {
			got := read(t, filepath.Join(dir, "hullwright.env"))
			if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, strings.ReplaceAll(name, "-", "_")+"=") || strings.ContainsAny(got, "\r\x00 \"'$") {
				t.Errorf("%q=%q gives %q", name, value, got)
			}
		}
		drone := on(t, "drone")
		if err := drone.Output(name, value); err == nil {
			got := read(t, filepath.Join(drone.dir, "hullwright.sh"))
			quoted, found := strings.CutPrefix(got, "export "+strings.ReplaceAll(name, "-", "_")+"='")
			if unquoted := strings.ReplaceAll(strings.TrimSuffix(quoted, "'\n"), `'\''`, "'"); !found || unquoted != value {
				t.Errorf("%q=%q gives %q", name, value, got)
			}
			if err := drone.Output(name, value); err != nil { // what was written is known again
				t.Errorf("%q=%q the second time: %v", name, value, err)
			}
		}
		for _, printer := range []string{"azure", "teamcity"} {
			j := on(t, printer)
			if err := j.Output(name, value); err == nil {
				if got := j.stdout.String() + j.stderr.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "\r") || commands(printer, got) != 1+strings.Count(vsoText(printer, value), "##[")+strings.Count(vsoText(printer, value), "##vso[") {
					t.Errorf("%s: %q=%q prints %q", printer, name, value, got)
				}
			}
		}
	})
}

// vsoText is what of a value stands in an Azure command, where it is text: the
// agent looks for a command at the line's first "##vso[" alone.
func vsoText(system, value string) string {
	if system != "azure" {
		return ""
	}
	return value
}
