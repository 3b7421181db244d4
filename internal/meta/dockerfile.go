package meta

import (
	"regexp"
	"slices"
	"strings"
)

// DockerfileLabels are the keys of the labels that the last stage of a
// Dockerfile sets, by itself or by the stages that it is built from. It reads
// what LABEL and FROM need, and no more: the build says what is wrong with a
// Dockerfile. A key with a variable in it is left out.
func DockerfileLabels(text string) []string {
	stages := map[string][]string{}
	var current []string
	var name string
	for _, line := range instructions(text) {
		word, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(word) {
		case "FROM":
			stages[name] = current
			current, name = fromStage(rest, stages)
		case "LABEL":
			current = append(current, labelKeys(rest)...)
		}
	}
	slices.Sort(current)
	return slices.Compact(current)
}

// fromStage begins a stage: with the labels of the one that it is built from.
func fromStage(rest string, stages map[string][]string) (labels []string, name string) {
	words := slices.DeleteFunc(strings.Fields(rest), func(w string) bool { return strings.HasPrefix(w, "--") })
	if len(words) == 0 {
		return nil, ""
	}
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		name = strings.ToLower(words[2])
	}
	return slices.Clone(stages[strings.ToLower(words[0])]), name
}

var (
	escapeDirective = regexp.MustCompile("(?i)^#[ \t]*escape[ \t]*=[ \t]*([\\\\`])[ \t]*$")
	anyDirective    = regexp.MustCompile(`^#[ \t]*[A-Za-z]+[ \t]*=`)
	hereDocument    = regexp.MustCompile(`<<(-?)["']?([A-Za-z_][A-Za-z0-9_]*)["']?`)
)

// instructions are the instructions of a Dockerfile, each on one line, without
// comments and here-documents.
func instructions(text string) []string {
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n")
	escape := escapeOf(lines)
	var found []string
	var open strings.Builder
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t")
		if line == "" || line[0] == '#' { // also between the lines of an instruction
			continue
		}
		trimmed := strings.TrimRight(line, " \t")
		if body, more := strings.CutSuffix(trimmed, escape); more {
			open.WriteString(body)
			continue
		}
		open.WriteString(trimmed)
		whole := strings.ReplaceAll(open.String(), "\t", " ")
		open.Reset()
		found = append(found, whole)
		if word, _, _ := strings.Cut(whole, " "); !slices.Contains([]string{"RUN", "COPY", "ADD"}, strings.ToUpper(word)) {
			continue
		}
		for _, m := range hereDocument.FindAllStringSubmatch(whole, -1) {
			for i++; i < len(lines) && !endsHere(lines[i], m[2], m[1] == "-"); i++ {
			}
		}
	}
	if open.Len() > 0 {
		found = append(found, open.String())
	}
	return found
}

func endsHere(line, word string, indented bool) bool {
	if indented {
		line = strings.TrimLeft(line, "\t")
	}
	return line == word
}

// escapeOf is the character that continues a line; a directive among the first
// lines changes it.
func escapeOf(lines []string) string {
	for _, line := range lines {
		if m := escapeDirective.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			return m[1]
		}
		if !anyDirective.MatchString(line) {
			break
		}
	}
	return `\`
}

// labelKeys are the keys of a LABEL instruction: of KEY=VALUE pairs, or of the
// one pair of its old form KEY VALUE.
func labelKeys(rest string) []string {
	words := quotedWords(rest)
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		words = []string{words[0] + "="}
	}
	var keys []string
	for _, w := range words {
		key, _, ok := strings.Cut(w, "=")
		key = strings.NewReplacer(`"`, "", "'", "", `\`, "").Replace(key)
		if ok && key != "" && !strings.Contains(key, "$") {
			keys = append(keys, key)
		}
	}
	return keys
}

// quotedWords splits at blanks that are neither quoted nor escaped.
func quotedWords(s string) []string {
	var words []string
	var word strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			word.WriteByte(c)
			i++
			word.WriteByte(s[i])
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == ' ':
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
			continue
		}
		word.WriteByte(c)
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}
