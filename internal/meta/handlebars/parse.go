package handlebars

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// strip is on which sides of a mustache a "~" eats blanks.
type strip struct{ open, close bool }

type node interface{ isNode() }

type program struct {
	body    []node
	params  []string // block parameters
	chained bool     // an {{else if}} made it
}

type content struct {
	value, original             string
	leftStripped, rightStripped bool
}

type comment struct{ strip strip }

type mustache struct {
	call      call
	escaped   bool
	decorator bool
	strip     strip
}

type block struct {
	call                                call
	program, inverse                    *program
	decorator                           bool
	openStrip, inverseStrip, closeStrip strip
}

type partial struct {
	name     expr
	params   []expr
	hash     []hashPair
	fallback *program // of a partial block
	isBlock  bool
	indent   string

	strip                 strip
	openStrip, closeStrip strip
}

func (*content) isNode()  {}
func (*comment) isNode()  {}
func (*mustache) isNode() {}
func (*block) isNode()    {}
func (*partial) isNode()  {}

type expr interface{ isExpr() }

type call struct {
	callee expr
	params []expr
	hash   []hashPair
}

type hashPair struct {
	key   string
	value expr
}

type pathExpr struct {
	data     bool
	depth    int
	parts    []string
	original string
}

type (
	stringExpr    string
	numberExpr    struct{ text string }
	boolExpr      bool
	undefinedExpr struct{ text string }
	subExpr       struct{ call call }
)

func (*pathExpr) isExpr()     {}
func (stringExpr) isExpr()    {}
func (numberExpr) isExpr()    {}
func (boolExpr) isExpr()      {}
func (undefinedExpr) isExpr() {}
func (*subExpr) isExpr()      {}

type parser struct {
	tokens []token
	pos    int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) at(kinds ...tokenKind) bool {
	for _, k := range kinds {
		if p.peek().kind == k {
			return true
		}
	}
	return false
}

func (p *parser) unexpected(expected string) error {
	t := p.peek()
	found := strconv.Quote(t.text)
	if t.kind == tokEOF {
		found = "the end of the template"
	}
	return fmt.Errorf("Parse error on line %d: expected %s, found %s", t.line, expected, found)
}

func (p *parser) expect(kind tokenKind, name string) (token, error) {
	if !p.at(kind) {
		return token{}, p.unexpected(name)
	}
	return p.next(), nil
}

// program reads statements up to what can't begin one.
func (p *parser) program() (*program, error) {
	if p.depth++; p.depth > nestingCap {
		return nil, errTooDeep
	}
	defer func() { p.depth-- }()
	prog := &program{}
	for {
		n, err := p.statement()
		if err != nil {
			return nil, err
		}
		if n == nil {
			return prog, nil
		}
		prog.body = append(prog.body, n)
	}
}

func (p *parser) statement() (node, error) {
	switch t := p.peek(); t.kind {
	case tokContent:
		p.next()
		return &content{value: t.text, original: t.text}, nil
	case tokComment:
		p.next()
		return &comment{strip: flags(t.text, t.text)}, nil
	case tokOpen:
		return p.mustache(tokClose)
	case tokOpenUnescaped:
		return p.mustache(tokCloseUnescaped)
	case tokOpenBlock, tokOpenInverse:
		return p.block()
	case tokOpenRawBlock:
		return p.rawBlock()
	case tokOpenPartial:
		return p.partial()
	case tokOpenPartialBlock:
		return p.partialBlock()
	}
	return nil, nil
}

func flags(open, close string) strip {
	return strip{
		open:  len(open) > 2 && open[2] == '~',
		close: len(close) > 2 && close[len(close)-3] == '~',
	}
}

func (p *parser) mustache(end tokenKind) (node, error) {
	open := p.next()
	c, err := p.call()
	if err != nil {
		return nil, err
	}
	closing, err := p.expect(end, "the end of the mustache")
	if err != nil {
		return nil, err
	}
	m := &mustache{call: c, strip: flags(open.text, closing.text)}
	m.decorator = strings.HasSuffix(open.text, "*")
	m.escaped = end == tokClose && !strings.HasSuffix(open.text, "&")
	return m, nil
}

// opening is {{#name params as |x|}} and its like.
type opening struct {
	call   call
	params []string
	strip  strip
	token  token
}

func (p *parser) opening() (opening, error) {
	o := opening{token: p.next()}
	var err error
	if o.call, err = p.call(); err != nil {
		return o, err
	}
	if p.at(tokOpenBlockParams) {
		p.next()
		for p.at(tokID) {
			o.params = append(o.params, bare(p.next().text))
		}
		if len(o.params) == 0 {
			return o, p.unexpected("a name")
		}
		if _, err := p.expect(tokCloseBlockParams, `"|"`); err != nil {
			return o, err
		}
	}
	closing, err := p.expect(tokClose, `"}}"`)
	o.strip = flags(o.token.text, closing.text)
	return o, err
}

func (p *parser) block() (node, error) {
	o, err := p.opening()
	if err != nil {
		return nil, err
	}
	prog, err := p.program()
	if err != nil {
		return nil, err
	}
	prog.params = o.params
	b := &block{call: o.call, program: prog, openStrip: o.strip, decorator: strings.HasSuffix(o.token.text, "*")}
	chain, err := p.inverse(b, o.token.kind == tokOpenBlock)
	if err != nil {
		return nil, err
	}
	if b.closeStrip, err = p.close(original(o.call.callee)); err != nil {
		return nil, err
	}
	for _, c := range chain {
		c.closeStrip = b.closeStrip
	}
	if o.token.kind == tokOpenInverse {
		b.program, b.inverse = b.inverse, b.program
	}
	if b.decorator && b.inverse != nil {
		return nil, fmt.Errorf("Parse error on line %d: unexpected inverse block on decorator", o.token.line)
	}
	return b, nil
}

// inverse reads {{else}} or, where chains are allowed, {{else if}}. It gives
// the blocks of a chain, which all end with the block itself.
func (p *parser) inverse(b *block, chains bool) ([]*block, error) {
	switch {
	case p.at(tokInverse):
		t := p.next()
		prog, err := p.program()
		b.inverse, b.inverseStrip = prog, flags(t.text, t.text)
		return nil, err
	case chains && p.at(tokOpenInverseChain):
		if p.depth++; p.depth > nestingCap {
			return nil, errTooDeep
		}
		defer func() { p.depth-- }()
		o, err := p.opening()
		if err != nil {
			return nil, err
		}
		prog, err := p.program()
		if err != nil {
			return nil, err
		}
		prog.params = o.params
		inner := &block{call: o.call, program: prog, openStrip: o.strip}
		rest, err := p.inverse(inner, true)
		b.inverse, b.inverseStrip = &program{body: []node{inner}, chained: true}, o.strip
		return append(rest, inner), err
	}
	return nil, nil
}

// close reads {{/name}}.
func (p *parser) close(name string) (strip, error) {
	open, err := p.expect(tokOpenEndBlock, "{{/"+name+"}}")
	if err != nil {
		return strip{}, err
	}
	e, err := p.name()
	if err != nil {
		return strip{}, err
	}
	closing, err := p.expect(tokClose, `"}}"`)
	if err != nil {
		return strip{}, err
	}
	if found := original(e); found != name {
		return strip{}, fmt.Errorf("Parse error on line %d: %s doesn't match %s", open.line, name, found)
	}
	return flags(open.text, closing.text), nil
}

func (p *parser) rawBlock() (node, error) {
	open := p.next()
	c, err := p.call()
	if err != nil {
		return nil, err
	}
	if _, err := p.expect(tokCloseRawBlock, `"}}}}"`); err != nil {
		return nil, err
	}
	prog := &program{}
	for p.at(tokContent) {
		t := p.next()
		prog.body = append(prog.body, &content{value: t.text, original: t.text})
	}
	end, err := p.expect(tokEndRawBlock, "the end of the raw block")
	if err != nil {
		return nil, err
	}
	if found := end.text[5 : len(end.text)-4]; found != original(c.callee) {
		return nil, fmt.Errorf("Parse error on line %d: %s doesn't match %s", open.line, original(c.callee), found)
	}
	return &block{call: c, program: prog}, nil
}

func (p *parser) partial() (node, error) {
	open := p.next()
	n := &partial{}
	if err := p.partialCall(n); err != nil {
		return nil, err
	}
	closing, err := p.expect(tokClose, `"}}"`)
	n.strip = flags(open.text, closing.text)
	return n, err
}

func (p *parser) partialBlock() (node, error) {
	open := p.next()
	n := &partial{isBlock: true}
	if err := p.partialCall(n); err != nil {
		return nil, err
	}
	closing, err := p.expect(tokClose, `"}}"`)
	if err != nil {
		return nil, err
	}
	n.openStrip = flags(open.text, closing.text)
	if n.fallback, err = p.program(); err != nil {
		return nil, err
	}
	n.closeStrip, err = p.close(original(n.name))
	return n, err
}

func (p *parser) partialCall(n *partial) (err error) {
	if p.at(tokOpenSexpr) {
		n.name, err = p.sub()
	} else {
		n.name, err = p.name()
	}
	if err != nil {
		return err
	}
	n.params, n.hash, err = p.arguments()
	return err
}

func (p *parser) call() (call, error) {
	callee, err := p.name()
	if err != nil {
		return call{}, err
	}
	params, hash, err := p.arguments()
	return call{callee: callee, params: params, hash: hash}, err
}

func (p *parser) arguments() (params []expr, hash []hashPair, err error) {
	for {
		if p.at(tokID) && p.tokens[p.pos+1].kind == tokEquals {
			break
		}
		e, err := p.param()
		if err != nil {
			return nil, nil, err
		}
		if e == nil {
			break
		}
		params = append(params, e)
	}
	for p.at(tokID) && p.tokens[p.pos+1].kind == tokEquals {
		key := bare(p.next().text)
		p.next()
		e, err := p.param()
		if err != nil {
			return nil, nil, err
		}
		if e == nil {
			return nil, nil, p.unexpected("a value")
		}
		hash = append(hash, hashPair{key, e})
	}
	return params, hash, nil
}

// param is an argument, nil where none begins.
func (p *parser) param() (expr, error) {
	switch {
	case p.at(tokOpenSexpr):
		return p.sub()
	case p.at(tokID, tokData, tokString, tokNumber, tokBool, tokUndefined, tokNull):
		return p.name()
	}
	return nil, nil
}

func (p *parser) sub() (expr, error) {
	if p.depth++; p.depth > nestingCap {
		return nil, errTooDeep
	}
	defer func() { p.depth-- }()
	p.next()
	c, err := p.call()
	if err != nil {
		return nil, err
	}
	_, err = p.expect(tokCloseSexpr, `")"`)
	return &subExpr{call: c}, err
}

// name is a path or a literal.
func (p *parser) name() (expr, error) {
	switch t := p.peek(); t.kind {
	case tokID:
		return p.path(false)
	case tokData:
		p.next()
		return p.path(true)
	case tokString:
		p.next()
		quote := t.text[:1]
		return stringExpr(strings.ReplaceAll(t.text[1:len(t.text)-1], `\`+quote, quote)), nil
	case tokNumber:
		p.next()
		return numberExpr{t.text}, nil
	case tokBool:
		p.next()
		return boolExpr(t.text == "true"), nil
	case tokUndefined, tokNull:
		p.next()
		return undefinedExpr{t.text}, nil
	}
	return nil, p.unexpected("a name or a value")
}

func (p *parser) path(data bool) (expr, error) {
	path := &pathExpr{data: data}
	if data {
		path.original = "@"
	}
	for {
		t, err := p.expect(tokID, "a name")
		if err != nil {
			return nil, err
		}
		part := bare(t.text)
		path.original += part
		switch {
		case part != t.text, part != ".." && part != "." && part != "this":
			path.parts = append(path.parts, part)
		case len(path.parts) > 0:
			return nil, fmt.Errorf("Parse error on line %d: invalid path: %s", t.line, path.original)
		case part == "..":
			path.depth++
		}
		if !p.at(tokSep) {
			return path, nil
		}
		path.original += p.next().text
	}
}

// bare is an identifier without the brackets of [x].
func bare(id string) string {
	if len(id) > 1 && id[0] == '[' && id[len(id)-1] == ']' {
		return id[1 : len(id)-1]
	}
	return id
}

// original is how an expression that names a block is written.
func original(e expr) string {
	switch e := e.(type) {
	case *pathExpr:
		return e.original
	case stringExpr:
		return string(e)
	case numberExpr:
		return e.text
	case boolExpr:
		return strconv.FormatBool(bool(e))
	case undefinedExpr:
		return e.text
	}
	return ""
}

var thisInPath = regexp.MustCompile(`^\.|this\b`)

// scoped is whether a path says that it begins at the context itself.
func (e *pathExpr) scoped() bool { return thisInPath.MatchString(e.original) }

// simple is whether a path is one name, which may be a helper's.
func (e *pathExpr) simple() bool { return len(e.parts) == 1 && !e.scoped() && e.depth == 0 }
