package report

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/progress"
)

var found = []progress.Finding{{
	Rule: "StageNameCasing", Message: "Stage name 'Base' should be lowercase", Detail: "Stage names should be lowercase",
	URL: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/", File: "images/app/Dockerfile",
	Source: []byte("FROM x AS Base\nFROM y AS Other\n"), Line: 1, EndLine: 1,
}, {
	Rule: "StageNameCasing", Message: "Stage name 'Other' should be lowercase", Detail: "Stage names should be lowercase",
	URL: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/", File: "images/app/Dockerfile",
	Source: []byte("FROM x AS Base\nFROM y AS Other\n"), Line: 2, EndLine: 2,
}, {
	Message: "of no rule, at no line", File: "Dockerfile",
}}

func TestFindingsReports(t *testing.T) {
	for file, render := range map[string]func([]progress.Finding) ([]byte, error){
		"findings.sarif": SARIF,
		"findings.json":  CodeQuality,
	} {
		raw, err := render(found)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+file, raw)
	}
}

// With nothing found there is a report that says so.
func TestNoFindings(t *testing.T) {
	raw, err := SARIF(nil)
	if err != nil || !strings.Contains(string(raw), `"results": []`) || !strings.Contains(string(raw), `"rules": []`) {
		t.Errorf("%s, %v", raw, err)
	}
	raw, err = CodeQuality(nil)
	if err != nil || string(raw) != "[]\n" {
		t.Errorf("%q, %v", raw, err)
	}
}

// A finding stays the same one where lines are added above it, and is another
// on another line.
func TestFingerprint(t *testing.T) {
	moved := found[0]
	moved.Source, moved.Line = append([]byte("# syntax=docker/dockerfile:1\n"), moved.Source...), 2
	if fingerprint(moved) != fingerprint(found[0]) {
		t.Error("a finding that moved is another")
	}
	if fingerprint(found[0]) == fingerprint(found[1]) {
		t.Error("two findings are one")
	}
	raw, err := CodeQuality([]progress.Finding{found[0]})
	var list []struct{ Fingerprint string }
	if err != nil || json.Unmarshal(raw, &list) != nil || list[0].Fingerprint != fingerprint(found[0]) {
		t.Errorf("%s, %v", raw, err)
	}
}
