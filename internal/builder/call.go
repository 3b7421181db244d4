package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	solvererrs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// The methods of [Call] that are known here; a frontend may have more.
const (
	callLint     = "lint"
	callOutline  = "outline"
	callTargets  = "targets"
	callDescribe = "subrequests.describe"
)

// fallbackFrontends answer where BuildKit's own frontend is too old to know the
// question. They are those of docker buildx (build/build.go).
var fallbackFrontends = map[string]string{
	"frontend." + callLint:    "docker/dockerfile:1.8.1@sha256:e87caa74dcb7d46cd820352bfea12591f3dba3ddc4285e19c7dcd13359f7cefd",
	"frontend." + callOutline: "docker/dockerfile:1.7.1@sha256:a57df69d0ea827fb7266491f2813635de6f17269be881f696fbfdf2d83dda33e",
	"frontend." + callTargets: "docker/dockerfile:1.7.1@sha256:a57df69d0ea827fb7266491f2813635de6f17269be881f696fbfdf2d83dda33e",
}

// ask puts the question to the frontend. It closes status.
func (r *request) ask(ctx context.Context, node *client.Client, status chan *client.SolveStatus) (map[string]string, error) {
	question := gateway.SolveRequest{Frontend: r.opt.Frontend, FrontendOpt: maps.Clone(r.opt.FrontendAttrs)}
	answer := map[string]string{}
	_, err := node.Build(ctx, r.opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := c.Solve(ctx, question)
		if syntax := fallback(err, question); syntax != "" {
			question.FrontendOpt["build-arg:"+syntaxArg] = syntax
			if second, err2 := c.Solve(ctx, question); err2 == nil {
				res, err = second, nil
			}
		}
		if err != nil {
			return nil, err
		}
		for k, v := range res.Metadata {
			answer[k] = string(v)
		}
		return res, nil
	}, status)
	return answer, err
}

// fallback is the frontend to ask after err, and empty where there is none: a
// frontend that the user chose is not replaced.
func fallback(err error, question gateway.SolveRequest) string {
	if err == nil || question.FrontendOpt["build-arg:"+syntaxArg] != "" {
		return ""
	}
	var unknown *solvererrs.UnsupportedSubrequestError
	method := question.FrontendOpt["requestid"]
	// BuildKit 0.8 has no typed errors.
	if errors.As(err, &unknown) || strings.Contains(err.Error(), "unsupported request "+method) {
		return fallbackFrontends[method]
	}
	return ""
}

// Findings are what the check of a result found; none where the call was
// another.
func (c Call) Findings(r Result) ([]progress.Finding, error) {
	if c.Method != callLint {
		return nil, nil
	}
	results, err := lintResults(r.answer())
	if err != nil {
		return nil, err
	}
	var list []progress.Finding
	for _, w := range results.Warnings {
		f := progress.Finding{Rule: w.RuleName, Message: w.Detail, Detail: w.Description, URL: w.URL}
		if at := w.Location; at != nil {
			if len(at.Ranges) > 0 {
				f.Line, f.EndLine = int(at.Ranges[0].Start.GetLine()), int(at.Ranges[0].End.GetLine())
			}
			if i := int(at.SourceIndex); i >= 0 && i < len(results.Sources) {
				f.File, f.Source = results.Sources[i].Filename, results.Sources[i].Data
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// answer is what the frontend said. A question goes to one node.
func (r Result) answer() map[string]string {
	if len(r.Parts) == 0 {
		return nil
	}
	return r.Parts[0].Response
}

// Print writes the answer as docker buildx does; dockerfile is the Dockerfile's
// name as a person knows it. An answer that is a failure, as of a check that
// found something, is an errdefs.Build, unless IgnoreStatus is set.
func (c Call) Print(w io.Writer, r Result, dockerfile string) error {
	answer := r.answer()
	var err error
	if c.Format == "json" && answer["result.json"] != "" {
		_, err = fmt.Fprintln(w, answer["result.json"])
	} else {
		err = c.printText(w, answer, dockerfile)
	}
	if err != nil {
		return err
	}
	code, err := strconv.Atoi(answer["result.statuscode"])
	if err != nil || code == 0 || c.IgnoreStatus {
		return nil
	}
	return c.failure(answer)
}

// failure is what an answer with a status that is not 0 says.
func (c Call) failure(answer map[string]string) error {
	if c.Method == callLint {
		results, err := lintResults(answer)
		if err != nil {
			return err
		}
		if results.Error != nil {
			return errdefs.New(errdefs.Build, "the Dockerfile does not build: %s", results.Error.Message)
		}
		return errdefs.New(errdefs.Build, "the check found %s", count(len(results.Warnings), "warning"))
	}
	return errdefs.New(errdefs.Build, "%s: the frontend's status is %s", c.Method, answer["result.statuscode"])
}

func (c Call) printText(w io.Writer, answer map[string]string, dockerfile string) error {
	printers := map[string]struct {
		version string
		print   func([]byte, io.Writer) error
	}{
		callOutline:  {outline.SubrequestsOutlineDefinition.Version, outline.PrintOutline},
		callTargets:  {targets.SubrequestsTargetsDefinition.Version, targets.PrintTargets},
		callDescribe: {subrequests.SubrequestsDescribeDefinition.Version, subrequests.PrintDescribe},
		callLint: {lint.SubrequestLintDefinition.Version, func([]byte, io.Writer) error {
			return printLint(w, answer, dockerfile)
		}},
	}
	p, known := printers[c.Method]
	if !known || newer(answer["version"], p.version) && answer["result.txt"] != "" {
		_, err := io.WriteString(w, answer["result.txt"])
		return err
	}
	return p.print([]byte(answer["result.json"]), w)
}

// newer is whether an answer has a shape that is not known here yet.
func newer(version, known string) bool {
	v, err := semver.NewVersion(version)
	return err == nil && v.GreaterThan(semver.MustParse(known))
}

func lintResults(answer map[string]string) (lint.LintResults, error) {
	var results lint.LintResults
	if raw := answer["result.json"]; raw != "" {
		if err := json.Unmarshal([]byte(raw), &results); err != nil {
			return results, errdefs.New(errdefs.Environment, "the frontend's answer: %w", err)
		}
	}
	return results, nil
}

func printLint(w io.Writer, answer map[string]string, dockerfile string) error {
	results, err := lintResults(answer)
	if err != nil {
		return err
	}
	named := func(info *pb.SourceInfo) *pb.SourceInfo {
		if info == nil || dockerfile == "" {
			return info
		}
		return &pb.SourceInfo{Filename: dockerfile, Data: info.Data, Definition: info.Definition, Language: info.Language}
	}
	if n := len(results.Warnings); n > 0 {
		has := "have"
		if n == 1 {
			has = "has"
		}
		fmt.Fprintf(w, "Check complete, %s %s been found!\n", count(n, "warning"), has)
	}
	if err := results.PrintTo(w, named); err != nil {
		return err
	}
	switch {
	case results.Error != nil:
		if len(results.Warnings) > 0 {
			fmt.Fprintln(w)
		}
		results.PrintErrorTo(w, named)
	case len(results.Warnings) == 0:
		fmt.Fprintln(w, "Check complete, no warnings found.")
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
