package progress

import (
	"regexp"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
)

// DistinctWarnings are the warnings, each once: a Dockerfile's are given again
// for each platform.
func (s Summary) DistinctWarnings() []client.VertexWarning {
	var distinct []client.VertexWarning
	told := map[string]bool{}
	for _, w := range s.Warnings {
		says := wording(&w)
		if told[says] {
			continue
		}
		told[says] = true
		if info := w.SourceInfo; info != nil {
			// Not the LLB that the frontend read the Dockerfile with.
			w.SourceInfo = &pb.SourceInfo{Filename: info.Filename, Data: info.Data, Language: info.Language}
		}
		distinct = append(distinct, w)
	}
	return distinct
}

// Finding is what the frontend found in a Dockerfile, in a person's terms.
type Finding struct {
	Rule    string // as JSONArgsRecommended; empty where the warning names none
	Message string // what was found, one line
	Detail  string // what the rule is about
	URL     string // where the rule is explained
	File    string // as the frontend names it, within its context
	Source  []byte // the file's content
	Line    int    // from 1; 0 is none
	EndLine int
}

var (
	ruleName   = regexp.MustCompile(`^([A-Z][A-Za-z0-9]+): `)
	lineSuffix = regexp.MustCompile(` \(line \d+\)$`)
)

// Findings are the distinct warnings that say where they belong.
func (s Summary) Findings() []Finding {
	var findings []Finding
	for _, w := range s.DistinctWarnings() {
		if w.SourceInfo == nil || len(w.Range) == 0 {
			continue
		}
		f := Finding{
			Message: lineSuffix.ReplaceAllString(oneLine(string(w.Short)), ""),
			URL:     w.URL,
			File:    w.SourceInfo.Filename,
			Source:  w.SourceInfo.Data,
			Line:    int(w.Range[0].GetStart().GetLine()),
			EndLine: int(w.Range[0].GetEnd().GetLine()),
		}
		if m := ruleName.FindStringSubmatch(f.Message); m != nil {
			f.Rule, f.Message = m[1], strings.TrimPrefix(f.Message, m[0])
		}
		var details []string
		for _, d := range w.Detail {
			details = append(details, oneLine(string(d)))
		}
		f.Detail = strings.Join(details, " ")
		findings = append(findings, f)
	}
	return findings
}

// Text is the rule and what was found.
func (f Finding) Text() string {
	if f.Rule == "" {
		return f.Message
	}
	return f.Rule + ": " + f.Message
}
