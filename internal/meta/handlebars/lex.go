package handlebars

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

type tokenKind int

const (
	tokEOF tokenKind = iota
	tokContent
	tokComment
	tokOpenSexpr
	tokCloseSexpr
	tokOpenRawBlock
	tokCloseRawBlock
	tokEndRawBlock
	tokOpenPartial
	tokOpenPartialBlock
	tokOpenBlock
	tokOpenEndBlock
	tokInverse
	tokOpenInverse
	tokOpenInverseChain
	tokOpenUnescaped
	tokOpen
	tokEquals
	tokID
	tokSep
	tokCloseUnescaped
	tokClose
	tokString
	tokData
	tokBool
	tokUndefined
	tokNull
	tokNumber
	tokOpenBlockParams
	tokCloseBlockParams
)

type token struct {
	kind tokenKind
	text string
	line int
}

// rule is a pattern of the lexer in a mustache. The first that matches wins.
type rule struct {
	kind tokenKind
	re   *regexp.Regexp
	// then must match what follows; jison's lookahead, which RE2 has not.
	then string
}

// Characters that may follow a name or a literal.
const (
	afterName    = "=~}/.)| \t\r\n\v\f\u00a0\ufeff"
	afterLiteral = "~}) \t\r\n\v\f\u00a0\ufeff"
)

const space = `[\s\v\x{a0}\x{feff}\x{2028}\x{2029}]`

// mustacheRules are the grammar's own, in its order (spec/handlebars.l), but
// for comments, which stand aside.
var mustacheRules = sync.OnceValue(func() []rule {
	return []rule{
		{tokOpenSexpr, start(`\(`), ""},
		{tokCloseSexpr, start(`\)`), ""},
		{tokOpenRawBlock, start(`\{\{\{\{`), ""},
		{tokCloseRawBlock, start(`\}\}\}\}`), ""},
		{tokOpenPartial, start(`\{\{~?>`), ""},
		{tokOpenPartialBlock, start(`\{\{~?#>`), ""},
		{tokOpenBlock, start(`\{\{~?#\*?`), ""},
		{tokOpenEndBlock, start(`\{\{~?/`), ""},
		{tokInverse, start(`\{\{~?\^` + space + `*~?\}\}`), ""},
		{tokInverse, start(`\{\{~?` + space + `*else` + space + `*~?\}\}`), ""},
		{tokOpenInverse, start(`\{\{~?\^`), ""},
		{tokOpenInverseChain, start(`\{\{~?` + space + `*else\b`), ""},
		{tokOpenUnescaped, start(`\{\{~?\{`), ""},
		{tokOpen, start(`\{\{~?&`), ""},
		{tokOpen, start(`\{\{~?\*?`), ""},
		{tokEquals, start(`=`), ""},
		{tokID, start(`\.\.`), ""},
		{tokID, start(`\.`), afterName},
		{tokSep, start(`[/.]`), ""},
		{tokCloseUnescaped, start(`\}~?\}\}`), ""},
		{tokClose, start(`~?\}\}`), ""},
		{tokString, start(`"(?s:\\"|[^"])*"`), ""},
		{tokString, start(`'(?s:\\'|[^'])*'`), ""},
		{tokData, start(`@`), ""},
		{tokBool, start(`true`), afterLiteral},
		{tokBool, start(`false`), afterLiteral},
		{tokUndefined, start(`undefined`), afterLiteral},
		{tokNull, start(`null`), afterLiteral},
		{tokNumber, start(`-?[0-9]+(?:\.[0-9]+)?`), afterLiteral},
		{tokOpenBlockParams, start(`as` + space + `+\|`), ""},
		{tokCloseBlockParams, start(`\|`), ""},
		{tokID, start("[^\\s\\v\\x{a0}\\x{feff}!\"#%-,./;->@\\[-^`{-~]+"), afterName},
		{tokID, start(`\[(?s:\\\]|[^\]])*\]`), ""},
	}
})

// A comment that begins with "--" ends with it too, and both may be the same.
var (
	comments     = start(`\{\{~?!(?s:.*?)\}\}`)
	longComments = start(`\{\{~?!(?s:.*?)--~?\}\}`)
	longComment  = start(`\{\{~?!--`)
)

var blank = start(space + `+`)

func start(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)`) }

// lexer holds where a lexer is.
type lexer struct {
	rest   string
	line   int
	tokens []token
}

// lex splits a template.
func lex(text string) ([]token, error) {
	l := &lexer{rest: text, line: 1}
	for l.rest != "" {
		if err := l.content(); err != nil {
			return nil, err
		}
	}
	return append(l.tokens, token{kind: tokEOF, line: l.line}), nil
}

// take emits the next n bytes.
func (l *lexer) take(kind tokenKind, n int) string {
	text := l.rest[:n]
	l.tokens = append(l.tokens, token{kind: kind, text: text, line: l.line})
	l.skip(n)
	return text
}

func (l *lexer) skip(n int) {
	l.line += strings.Count(l.rest[:n], "\n")
	l.rest = l.rest[n:]
}

// content reads text up to a mustache, and the mustache. One backslash before
// it makes it text; two are one, and the mustache is one.
func (l *lexer) content() error {
	i := strings.Index(l.rest, "{{")
	if i < 0 {
		l.take(tokContent, len(l.rest))
		return nil
	}
	text := l.rest[:i]
	switch {
	case strings.HasSuffix(text, `\\`):
		l.emit(text[:i-1], i)
	case strings.HasSuffix(text, `\`):
		l.emit(text[:i-1], i)
		l.escaped()
		return nil
	default:
		l.emit(text, i)
	}
	return l.mustache()
}

// emit gives a text that stands for the next n bytes.
func (l *lexer) emit(text string, n int) {
	if text != "" {
		l.tokens = append(l.tokens, token{kind: tokContent, text: text, line: l.line})
	}
	l.skip(n)
}

// escaped reads a mustache that is text, up to the next one.
func (l *lexer) escaped() {
	end := len(l.rest)
	for _, next := range []string{"{{", `\{{`, `\\{{`} {
		if i := strings.Index(l.rest[2:], next); i >= 0 {
			end = min(end, i+2)
		}
	}
	l.take(tokContent, end)
}

// mustache reads to the end of a mustache.
func (l *lexer) mustache() error {
	for l.rest != "" {
		if m := blank.FindString(l.rest); m != "" {
			l.skip(len(m))
			continue
		}
		kind, n := l.match()
		if n == 0 {
			return l.unexpected()
		}
		text := l.take(kind, n)
		switch kind {
		case tokClose, tokCloseUnescaped, tokInverse, tokComment:
			return nil
		case tokCloseRawBlock:
			return l.raw()
		case tokID:
			l.tokens[len(l.tokens)-1].text = unescapeID(text)
		}
	}
	return nil // the parser says what is missing
}

func (l *lexer) unexpected() error {
	head, _, _ := strings.Cut(l.rest, "\n")
	if r := []rune(head); len(r) > 20 {
		head = string(r[:20])
	}
	return fmt.Errorf("Parse error on line %d: unexpected %q in a mustache", l.line, head)
}

func (l *lexer) match() (tokenKind, int) {
	if longComment.MatchString(l.rest) {
		return tokComment, len(longComments.FindString(l.rest))
	}
	if m := comments.FindString(l.rest); m != "" {
		return tokComment, len(m)
	}
	for _, r := range mustacheRules() {
		m := r.re.FindString(l.rest)
		if m == "" {
			continue
		}
		if follows := l.rest[len(m):]; r.then != "" && !strings.ContainsAny(first(follows), r.then) {
			continue
		}
		return r.kind, len(m)
	}
	return 0, 0
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

var idEscape = regexp.MustCompile(`\\([\\\]])`)

func unescapeID(s string) string {
	if strings.HasPrefix(s, "[") {
		return idEscape.ReplaceAllString(s, "$1")
	}
	return s
}

var rawEnd = regexp.MustCompile(`\{\{\{\{/([^\s\v!"#%-,./;->@\[-^` + "`" + `{-~]+)\}\}\}\}`)
var rawOpen = regexp.MustCompile(`\{\{\{\{[^/]`)

// raw reads the text of a raw block, {{{{name}}}} text {{{{/name}}}}, which may
// hold others.
func (l *lexer) raw() error {
	depth, at := 1, 0
	for {
		end := rawEnd.FindStringIndex(l.rest[at:])
		if end == nil {
			return fmt.Errorf("Parse error on line %d: a raw block is not closed", l.line)
		}
		if open := rawOpen.FindStringIndex(l.rest[at:]); open != nil && open[0] < end[0] {
			depth++
			at += open[0] + 4
			continue
		}
		if depth--; depth > 0 {
			at += end[1]
			continue
		}
		l.emit(l.rest[:at+end[0]], at+end[0])
		l.take(tokEndRawBlock, end[1]-end[0])
		return nil
	}
}
