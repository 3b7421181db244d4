package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/hullwright/hullwright/internal/progress"
)

// SARIF is what build checks found as code scanners read it:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
// An empty list is a report too: it closes what was found before.
func SARIF(findings []progress.Finding) ([]byte, error) {
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{
		Name:           "Docker build checks",
		InformationURI: "https://docs.docker.com/reference/build-checks/",
		Rules:          []sarifRule{},
	}
	known := map[string]bool{}
	for _, f := range findings {
		id := ruleID(f)
		if !known[id] {
			known[id] = true
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: id, HelpURI: f.URL, ShortDescription: sarifText{first(f.Detail, f.Message)}})
		}
		result := sarifResult{RuleID: id, Level: "warning", Message: sarifText{f.Message}}
		result.PartialFingerprints = map[string]string{"primaryLocationLineHash": fingerprint(f)}
		var place sarifLocation
		place.PhysicalLocation.ArtifactLocation = sarifArtifact{URI: f.File, URIBaseID: "%SRCROOT%"}
		place.PhysicalLocation.Region = sarifRegion{StartLine: max(1, f.Line), EndLine: max(1, f.Line, f.EndLine)}
		result.Locations = []sarifLocation{place}
		run.Results = append(run.Results, result)
	}
	return indented(map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"version": "2.1.0",
		"runs":    []sarifRun{run},
	})
}

type (
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		HelpURI          string    `json:"helpUri,omitempty"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		Level               string            `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		PhysicalLocation struct {
			ArtifactLocation sarifArtifact `json:"artifactLocation"`
			Region           sarifRegion   `json:"region"`
		} `json:"physicalLocation"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
		EndLine   int `json:"endLine"`
	}
)

// CodeQuality is what build checks found as GitLab shows it in merge requests:
// https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
func CodeQuality(findings []progress.Finding) ([]byte, error) {
	type lines struct {
		Begin int `json:"begin"`
		End   int `json:"end"`
	}
	type location struct {
		Path  string `json:"path"`
		Lines lines  `json:"lines"`
	}
	type issue struct {
		Description string   `json:"description"`
		CheckName   string   `json:"check_name"`
		Fingerprint string   `json:"fingerprint"`
		Severity    string   `json:"severity"`
		Location    location `json:"location"`
	}
	issues := []issue{}
	for _, f := range findings {
		begin := max(1, f.Line)
		issues = append(issues, issue{
			Description: f.Message,
			CheckName:   ruleID(f),
			Fingerprint: fingerprint(f),
			Severity:    "minor",
			Location:    location{f.File, lines{begin, max(begin, f.EndLine)}},
		})
	}
	return indented(issues)
}

func ruleID(f progress.Finding) string { return first(f.Rule, "Dockerfile") }

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// fingerprint is what stays of a finding where lines are added above it.
func fingerprint(f progress.Finding) string {
	var line []byte
	if lines := bytes.Split(f.Source, []byte("\n")); f.Line >= 1 && f.Line <= len(lines) {
		line = bytes.TrimSpace(lines[f.Line-1])
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", f.File, f.Rule, f.Message, line))
	return hex.EncodeToString(sum[:16])
}

func indented(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return append(raw, '\n'), err
}
