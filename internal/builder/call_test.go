package builder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	solvererrs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// checked is the answer of a check that found n warnings, the last of them at no
// place, and an error where fault is set.
func checked(t *testing.T, n int, fault string) Result {
	t.Helper()
	results := lint.LintResults{Sources: []*pb.SourceInfo{{Filename: "Dockerfile", Data: []byte("FROM a\nMAINTAINER b\n")}}}
	for i := range n {
		results.Warnings = append(results.Warnings, lint.Warning{
			RuleName: "Rule" + strconv.Itoa(i), Detail: "detail " + strconv.Itoa(i), URL: "https://docs.example/rule",
			Location: &pb.Location{Ranges: []*pb.Range{{Start: &pb.Position{Line: int32(i + 1)}, End: &pb.Position{Line: int32(i + 1)}}}},
		})
	}
	if n > 1 {
		results.Warnings[n-1].Location = &pb.Location{SourceIndex: -1}
	}
	if fault != "" {
		results.Error = &lint.BuildError{Message: fault, Location: pb.Location{Ranges: []*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 2}}}}}
	}
	raw, err := json.Marshal(&results)
	if err != nil {
		t.Fatal(err)
	}
	status := "0"
	if n > 0 || fault != "" {
		status = "1"
	}
	return Result{Parts: []Part{{Response: map[string]string{"result.json": string(raw), "result.statuscode": status, "version": "1.0.0"}}}}
}

func TestCallPrint(t *testing.T) {
	cases := []struct {
		title  string
		call   Call
		result Result
		says   []string
		fault  string
	}{
		{"sound", Call{Method: "lint"}, checked(t, 0, ""), []string{"Check complete, no warnings found.\n"}, ""},
		{"one", Call{Method: "lint"}, checked(t, 1, ""), []string{"1 warning has been found!", "sub/Dockerfile:1"}, "found 1 warning"},
		{"two", Call{Method: "lint"}, checked(t, 2, ""), []string{"2 warnings have been found!", "Rule1", "Rule0 - https://docs.example/rule"}, "found 2 warnings"},
		{"ignored", Call{Method: "lint", IgnoreStatus: true}, checked(t, 2, ""), []string{"2 warnings"}, ""},
		{"broken", Call{Method: "lint"}, checked(t, 0, "unknown instruction"), []string{"unknown instruction", "sub/Dockerfile:2"}, "does not build: unknown instruction"},
		{"JSON", Call{Method: "lint", Format: "json"}, checked(t, 1, ""), []string{`"ruleName":"Rule0"`}, "found 1 warning"},
		{"newer", Call{Method: "lint"}, Result{Parts: []Part{{Response: map[string]string{"result.json": "[]", "result.txt": "as text\n", "version": "2.0.0"}}}}, []string{"as text\n"}, ""},
		{"unknown", Call{Method: "dance"}, Result{Parts: []Part{{Response: map[string]string{"result.txt": "danced\n", "result.statuscode": "3"}}}}, []string{"danced\n"}, "status is 3"},
		{"no JSON", Call{Method: "lint"}, Result{Parts: []Part{{Response: map[string]string{"result.json": "<html>"}}}}, nil, "the frontend's answer"},
		{"targets", Call{Method: "targets"}, Result{Parts: []Part{{Response: map[string]string{"result.json": `{"targets":[{"name":"a","default":true}]}`}}}}, []string{"a (default)"}, ""},
	}
	for _, c := range cases {
		var b bytes.Buffer
		err := c.call.Print(&b, c.result, "sub/Dockerfile")
		for _, text := range c.says {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%s: the answer lacks %q:\n%s", c.title, text, b.String())
			}
		}
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", c.title, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: %v, want an error with %q", c.title, err, c.fault)
		case c.fault != "" && c.title != "no JSON" && errdefs.KindOf(err).ExitCode() != errdefs.ExitBuild:
			t.Errorf("%s: exit code %d", c.title, errdefs.KindOf(err).ExitCode())
		}
	}
}

// Only a frontend that nobody chose and that does not know the question is
// replaced.
func TestFallback(t *testing.T) {
	question := func(method, syntax string) client.SolveRequest {
		opt := map[string]string{"requestid": "frontend." + method}
		if syntax != "" {
			opt["build-arg:BUILDKIT_SYNTAX"] = syntax
		}
		return client.SolveRequest{FrontendOpt: opt}
	}
	unknown := fmt.Errorf("solve: %w", solvererrs.NewUnsupportedSubrequestError("frontend.lint"))
	cases := []struct {
		err      error
		question client.SolveRequest
		want     string
	}{
		{nil, question("lint", ""), ""},
		{unknown, question("lint", ""), "docker/dockerfile:1.8.1@"},
		{unknown, question("lint", "mine"), ""},
		{errors.New("unsupported request frontend.targets"), question("targets", ""), "docker/dockerfile:1.7.1@"},
		{errors.New("unsupported request frontend.targets"), question("lint", ""), ""},
		{unknown, question("subrequests.describe", ""), ""},
		{errors.New("no such file"), question("lint", ""), ""},
	}
	for i, c := range cases {
		if got := fallback(c.err, c.question); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
	}
}
