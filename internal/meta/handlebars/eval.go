package handlebars

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
)

// frame holds @-variables; each block that sets some has its own.
type frame struct {
	values map[string]any
	parent *frame
}

func (f *frame) lookup(name string) any {
	for at := f; at != nil; at = at.parent {
		if v, ok := at.values[name]; ok {
			return v
		}
	}
	return nil
}

// inline is a partial that {{#*inline}} defined, or a block given to one.
type inline struct {
	program *program
	scope   *scope
}

// scope is where a program is evaluated.
type scope struct {
	depths   []any // contexts, the innermost first
	data     *frame
	block    map[string]any // block parameters
	outer    *scope         // for block parameters
	partials map[string]*inline
	helpers  map[string]Func
	depth    int // of partials that call each other
}

func (s *scope) context() any { return s.depths[0] }

func (s *scope) param(name string) (any, bool) {
	for at := s; at != nil; at = at.outer {
		if v, ok := at.block[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// enter is the scope of a block's program with a context.
func (s *scope) enter(context any, data *frame) *scope {
	inner := *s
	inner.outer, inner.block = s, nil
	if !same(context, s.context()) {
		inner.depths = append([]any{context}, s.depths...)
	}
	if data != nil {
		inner.data = data
	}
	return &inner
}

// same is JavaScript's ===, as far as contexts go: objects by identity.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && fmt.Sprintf("%p", a) == fmt.Sprintf("%p", b)
	case []any, Func:
		return false
	default:
		switch b.(type) {
		case map[string]any, []any, Func:
			return false
		}
		return a == b
	}
}

type renderer struct{ out strings.Builder }

func (r *renderer) write(s string) error {
	if r.out.Len()+len(s) > outputCap {
		return errTooLarge
	}
	r.out.WriteString(s)
	return nil
}

// program evaluates statements. Decorators come first: an inline partial is
// there for the whole program that defines it.
func (r *renderer) program(p *program, s *scope) error {
	if p == nil {
		return nil
	}
	s, err := s.decorated(p)
	if err != nil {
		return err
	}
	for _, n := range p.body {
		if err := r.node(n, s); err != nil {
			return err
		}
	}
	return nil
}

func (s *scope) decorated(p *program) (*scope, error) {
	for _, n := range p.body {
		switch n := n.(type) {
		case *mustache:
			if n.decorator {
				return nil, fmt.Errorf("unknown decorator %q", original(n.call.callee))
			}
		case *block:
			if !n.decorator {
				continue
			}
			if original(n.call.callee) != "inline" || len(n.call.params) == 0 {
				return nil, fmt.Errorf("unknown decorator %q", original(n.call.callee))
			}
			v, err := s.value(n.call.params[0])
			if err != nil {
				return nil, err
			}
			inner := *s
			inner.partials = map[string]*inline{}
			for k, v := range s.partials {
				inner.partials[k] = v
			}
			inner.partials[String(v)] = &inline{program: n.program, scope: s}
			s = &inner
		}
	}
	return s, nil
}

func (r *renderer) node(n node, s *scope) error {
	switch n := n.(type) {
	case *content:
		return r.write(n.value)
	case *mustache:
		return r.mustache(n, s)
	case *block:
		if n.decorator {
			return nil
		}
		return r.block(n, s)
	case *partial:
		return r.partial(n, s)
	}
	return nil
}

func (r *renderer) mustache(m *mustache, s *scope) error {
	v, err := s.mustache(m.call)
	if err != nil {
		return err
	}
	text := String(v)
	if m.escaped {
		text = Escape(text)
	}
	return r.write(text)
}

// mustache is the value of {{call}}: a helper's where arguments are given, of a
// name alone the helper's or the context's, of a longer path the context's.
func (s *scope) mustache(c call) (any, error) {
	path := asPath(c.callee)
	if len(c.params) > 0 || len(c.hash) > 0 {
		return s.helper(path, c)
	}
	if path.simple() && !path.data && builtin[path.parts[0]] {
		if _, isParam := s.param(path.parts[0]); !isParam {
			return s.helper(path, c)
		}
	}
	return invoke(s.path(path), Call{})
}

// asPath makes a literal in the place of a name what it is there: a name.
func asPath(e expr) *pathExpr {
	if p, ok := e.(*pathExpr); ok {
		return p
	}
	name := original(e)
	return &pathExpr{parts: []string{name}, original: name}
}

func invoke(v any, c Call) (any, error) {
	if f, ok := v.(Func); ok {
		return f(c)
	}
	return v, nil
}

// builtin are the helpers that Handlebars has of itself.
var builtin = map[string]bool{"if": true, "unless": true, "with": true, "each": true, "lookup": true, "log": true}

// helper calls a helper, or a function of the context, with arguments.
func (s *scope) helper(path *pathExpr, c call) (any, error) {
	args, hash, err := s.arguments(c)
	if err != nil {
		return nil, err
	}
	if path.simple() && !path.data {
		switch path.parts[0] {
		case "lookup":
			return lookup(args)
		case "log":
			return nil, nil
		case "if", "unless", "with", "each":
			return nil, fmt.Errorf("%s needs a block: {{#%s x}}…{{/%s}}", path.parts[0], path.parts[0], path.parts[0])
		}
		if f, ok := s.helpers[path.parts[0]]; ok && len(args)+len(hash) > 0 {
			return f(Call{Args: args, Hash: hash})
		}
	}
	switch v := s.path(path).(type) {
	case Func:
		return v(Call{Args: args, Hash: hash})
	case nil:
		if len(args) == 0 && len(hash) == 0 {
			return nil, nil
		}
		//lint:ignore ST1005 the words are those that its users know
		return nil, fmt.Errorf("Missing helper: %q", path.original)
	default:
		return nil, fmt.Errorf("%q is not a function", path.original)
	}
}

// lookup is {{lookup object name}}. What is false, 0 or empty is itself,
// whatever is looked up in it.
func lookup(args []any) (any, error) {
	switch {
	case len(args) > 0 && !truthy(args[0]):
		return args[0], nil
	case len(args) < 2:
		return nil, fmt.Errorf("lookup needs an object and a name")
	}
	return property(args[0], String(args[1])), nil
}

func (s *scope) arguments(c call) ([]any, map[string]any, error) {
	var args []any
	for _, p := range c.params {
		v, err := s.value(p)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, v)
	}
	hash := map[string]any{}
	for _, h := range c.hash {
		v, err := s.value(h.value)
		if err != nil {
			return nil, nil, err
		}
		hash[h.key] = v
	}
	return args, hash, nil
}

// value is an argument's value. A function stays one: helpers call it.
func (s *scope) value(e expr) (any, error) {
	switch e := e.(type) {
	case *pathExpr:
		return s.path(e), nil
	case stringExpr:
		return string(e), nil
	case numberExpr:
		return strconv.ParseFloat(e.text, 64)
	case boolExpr:
		return bool(e), nil
	case *subExpr:
		return s.helper(asPath(e.call.callee), e.call)
	}
	return nil, nil
}

// path is what a path leads to, nil where it leads nowhere.
func (s *scope) path(p *pathExpr) any {
	parts := p.parts
	var at any
	switch {
	case p.data:
		f := s.data
		for range p.depth {
			if f != nil {
				f = f.parent
			}
		}
		if len(parts) == 0 || f == nil {
			return nil
		}
		at, parts = f.lookup(parts[0]), parts[1:]
	case p.depth >= len(s.depths):
		return nil
	default:
		at = s.depths[p.depth]
		if len(parts) > 0 && p.depth == 0 && !p.scoped() {
			if v, ok := s.param(parts[0]); ok {
				at, parts = v, parts[1:]
			}
		}
	}
	for _, part := range parts {
		at = property(at, part)
	}
	return at
}

// property is an own property of a value; what a prototype has is not seen.
func property(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if name == "length" {
			return float64(len(v))
		}
		if i, ok := index(name); ok && i < len(v) {
			return v[i]
		}
	case string:
		units := utf16.Encode([]rune(v))
		if name == "length" {
			return float64(len(units))
		}
		if i, ok := index(name); ok && i < len(units) {
			return string(utf16.Decode(units[i : i+1]))
		}
	}
	return nil
}

func index(name string) (int, bool) {
	i, err := strconv.Atoi(name)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == name
}

// block evaluates {{#call}}…{{/call}}.
func (r *renderer) block(b *block, s *scope) error {
	path := asPath(b.call.callee)
	args, hash, err := s.arguments(b.call)
	if err != nil {
		return err
	}
	if path.simple() && !path.data {
		if _, isParam := s.param(path.parts[0]); !isParam && builtin[path.parts[0]] {
			return r.builtin(path.parts[0], b, s, args, hash)
		}
	}
	v := s.path(path)
	if f, ok := v.(Func); ok {
		if v, err = f(Call{Args: args, Hash: hash}); err != nil {
			return err
		}
		if len(args) > 0 || len(hash) > 0 { // a helper's block, which it has no use for
			return r.write(String(v))
		}
	} else if len(args) > 0 || len(hash) > 0 {
		if v != nil {
			return fmt.Errorf("%q is not a function", path.original)
		}
		//lint:ignore ST1005 the words are those that its users know
		return fmt.Errorf("Missing helper: %q", path.original)
	}
	return r.section(v, b, s)
}

// section is what a block does whose name is no helper (blockHelperMissing).
func (r *renderer) section(v any, b *block, s *scope) error {
	switch v := v.(type) {
	case nil:
		return r.program(b.inverse, s)
	case bool:
		if v {
			return r.inner(b.program, s, s.context(), nil)
		}
		return r.program(b.inverse, s)
	case []any:
		if len(v) == 0 {
			return r.program(b.inverse, s)
		}
		return r.each(v, b, s)
	}
	return r.inner(b.program, s, v, nil)
}

// inner evaluates a program with a context and its block parameters.
func (r *renderer) inner(p *program, s *scope, context any, data *frame, params ...any) error {
	if p == nil {
		return nil
	}
	inner := s.enter(context, data)
	for i, name := range p.params {
		if inner.block == nil {
			inner.block = map[string]any{}
		}
		inner.block[name] = nil
		if i < len(params) {
			inner.block[name] = params[i]
		}
	}
	return r.program(p, inner)
}

func (r *renderer) builtin(name string, b *block, s *scope, args []any, hash map[string]any) error {
	switch name {
	case "log":
		return nil
	case "lookup":
		v, err := s.helper(asPath(b.call.callee), b.call)
		if err != nil {
			return err
		}
		return r.write(String(v))
	}
	if len(args) != 1 {
		return fmt.Errorf("#%s requires exactly one argument", name)
	}
	v, err := invoke(args[0], Call{})
	if err != nil {
		return err
	}
	zero := !truthy(hash["includeZero"]) && v == float64(0)
	switch name {
	case "if":
		if zero || empty(v) {
			return r.program(b.inverse, s)
		}
		return r.program(b.program, s.enter(s.context(), nil))
	case "unless":
		if zero || empty(v) {
			return r.program(b.program, s.enter(s.context(), nil))
		}
		return r.program(b.inverse, s)
	case "with":
		if empty(v) {
			return r.program(b.inverse, s)
		}
		return r.inner(b.program, s, v, nil, v)
	}
	return r.each(v, b, s)
}

// each evaluates the block for every element of a list or object.
func (r *renderer) each(v any, b *block, s *scope) error {
	var keys []string
	switch v := v.(type) {
	case []any:
		for i := range v {
			keys = append(keys, strconv.Itoa(i))
		}
	case map[string]any:
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
	}
	if len(keys) == 0 {
		return r.program(b.inverse, s)
	}
	for i, key := range keys {
		var name any = key
		if _, ok := v.([]any); ok {
			name = float64(i)
		}
		data := &frame{parent: s.data, values: map[string]any{
			"key": name, "index": float64(i), "first": i == 0, "last": i == len(keys)-1,
		}}
		element := property(v, key)
		if err := r.inner(b.program, s, element, data, element, name); err != nil {
			return err
		}
	}
	return nil
}

// partial evaluates an inline partial, or what a partial block has for want of
// one.
func (r *renderer) partial(n *partial, s *scope) error {
	if s.depth++; s.depth > nestingCap {
		return errTooDeep
	}
	defer func() { s.depth-- }()
	name, err := s.partialName(n.name)
	if err != nil {
		return err
	}
	context := s.context()
	if len(n.params) > 1 {
		return fmt.Errorf("unsupported number of partial arguments: %d", len(n.params))
	}
	if len(n.params) == 1 {
		if context, err = s.value(n.params[0]); err != nil {
			return err
		}
	}
	if len(n.hash) > 0 {
		if context, err = s.extended(context, n.hash); err != nil {
			return err
		}
	}
	found := s.partials[name]
	if name == "@partial-block" {
		block, _ := s.data.lookup("partial-block").(*inline)
		found = block
	}
	if found == nil && n.isBlock {
		found = &inline{program: n.fallback, scope: s}
	}
	if found == nil {
		//lint:ignore ST1005 the words are those that its users know
		return fmt.Errorf("The partial %s could not be found", name)
	}
	inner := s.enter(context, nil)
	inner.outer = found.scope
	if n.isBlock {
		inner.data = &frame{parent: s.data, values: map[string]any{"partial-block": &inline{program: n.fallback, scope: s}}}
	}
	return r.indented(found.program, inner, n.indent)
}

func (r *renderer) indented(p *program, s *scope, indent string) error {
	if indent == "" {
		return r.program(p, s)
	}
	part := &renderer{}
	if err := part.program(p, s); err != nil {
		return err
	}
	lines := strings.Split(part.out.String(), "\n")
	for i, line := range lines {
		if line == "" && i == len(lines)-1 {
			break
		}
		lines[i] = indent + line
	}
	return r.write(strings.Join(lines, "\n"))
}

func (s *scope) partialName(e expr) (string, error) {
	if sub, ok := e.(*subExpr); ok {
		v, err := s.value(sub)
		return String(v), err
	}
	return original(e), nil
}

func (s *scope) extended(context any, hash []hashPair) (any, error) {
	extended := map[string]any{}
	if m, ok := context.(map[string]any); ok {
		for k, v := range m {
			extended[k] = v
		}
	}
	for _, h := range hash {
		v, err := s.value(h.value)
		if err != nil {
			return nil, err
		}
		extended[h.key] = v
	}
	return extended, nil
}

// truthy is JavaScript's.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case float64:
		return v != 0 && !math.IsNaN(v)
	}
	return true
}

// empty is Handlebars' own: an empty list is, and 0 is not.
func empty(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case float64:
		return math.IsNaN(v)
	}
	return !truthy(v)
}

// String is a value as JavaScript prints it; nil is empty.
func String(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return Number(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = String(e)
		}
		return strings.Join(parts, ",")
	case Func:
		return "function"
	}
	return "[object Object]"
}

// Number is a number as JavaScript prints it.
func Number(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return "0"
	}
	if a := math.Abs(f); a >= 1e21 || a < 1e-6 {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		sign := exponent[:1]
		return mantissa + "e" + sign + strings.TrimLeft(exponent[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
