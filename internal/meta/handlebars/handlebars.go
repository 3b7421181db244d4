// Package handlebars renders Handlebars templates as Handlebars.js 4.7 does,
// for the expressions in metadata rules.
//
// Begin with [Parse] and [Template.Render]. The language is whole but for
// registered partials, helpers and decorators: the context is what a template
// sees, and a function in it is both value and helper, as in JavaScript. The
// grammar, the order in which a name is looked up and what is escaped follow
// https://github.com/handlebars-lang/handlebars.js at v4.7.
package handlebars

import (
	"errors"
	"fmt"
	"strings"
)

// Call is how a template calls a function.
type Call struct {
	Args []any
	Hash map[string]any
}

// Func is a function in a context. Named alone ({{branch}}) it is called
// without arguments.
type Func func(c Call) (any, error)

// Values in a context are nil (undefined), string, bool, float64, []any,
// map[string]any and Func.

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	root *program
}

// Parse parses a template. Its error begins "Parse error on line N:".
func Parse(text string) (*Template, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	root, err := p.program()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEOF {
		return nil, p.unexpected("the end of the template")
	}
	stripProgram(root, true)
	return &Template{root: root}, nil
}

// Name is the name that a template consists of where it is one mustache of a
// single name and nothing else: {{raw}}, {{{ raw }}} or {{this.raw}}. Else it
// is empty.
func (t *Template) Name() string {
	if len(t.root.body) != 1 {
		return ""
	}
	m, ok := t.root.body[0].(*mustache)
	if !ok || m.decorator || len(m.call.params) > 0 || len(m.call.hash) > 0 {
		return ""
	}
	path, ok := m.call.callee.(*pathExpr)
	if !ok || path.data || path.depth > 0 || len(path.parts) != 1 {
		return ""
	}
	return path.parts[0]
}

// Render evaluates a template. Errors are those of functions, and of names that
// are called and are none.
func (t *Template) Render(context map[string]any) (string, error) {
	return t.RenderWith(nil, context)
}

// RenderWith is Render with helpers, which are known everywhere in a template
// and not only where a context has them. Without arguments a name is no helper.
func (t *Template) RenderWith(helpers map[string]Func, context map[string]any) (string, error) {
	root := &frame{values: map[string]any{"root": context}}
	r := &renderer{}
	s := &scope{depths: []any{context}, data: root, helpers: helpers, partials: map[string]*inline{}}
	if err := r.program(t.root, s); err != nil {
		return "", err
	}
	return r.out.String(), nil
}

const (
	// nestingCap bounds how deep a template nests and partials call each other.
	nestingCap = 200
	// outputCap bounds what a template makes, in bytes.
	outputCap = 1 << 20
)

var errTooLarge = fmt.Errorf("template: result is larger than %d bytes", outputCap)
var errTooDeep = errors.New("template: nested too deep")

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;", "`", "&#x60;", "=", "&#x3D;")

// Escape is s as {{name}} shows it.
func Escape(s string) string { return escaper.Replace(s) }
