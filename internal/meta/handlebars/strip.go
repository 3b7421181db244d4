package handlebars

import "regexp"

// What follows removes blanks around "~" and around tags that stand alone on
// their line, as lib/handlebars/compiler/whitespace-control.js does.

var (
	endsLine        = regexp.MustCompile(`\r?\n\s*$`)
	endsLineOrStart = regexp.MustCompile(`(?:^|\r?\n)\s*$`)
	beginsLine      = regexp.MustCompile(`^\s*?\r?\n`)
	beginsLineOrEnd = regexp.MustCompile(`^\s*?(?:\r?\n|$)`)
	leadingBlanks   = regexp.MustCompile(`^\s+`)
	trailingBlanks  = regexp.MustCompile(`\s+$`)
	leadingRestLine = regexp.MustCompile(`^[ \t]*\r?\n?`)
	trailingIndent  = regexp.MustCompile(`[ \t]+$`)
)

// standing is what a node says of itself to the program that holds it.
type standing struct {
	open, close                           bool
	openAlone, closeAlone, inlineIfBlanks bool
}

func stripProgram(prog *program, root bool) {
	if prog == nil {
		return
	}
	for i, n := range prog.body {
		s, ok := stripNode(n)
		if !ok {
			continue
		}
		before, after := blankBefore(prog.body, i, root), blankAfter(prog.body, i, root)
		if s.close {
			omitRight(prog.body, i+1, true)
		}
		if s.open {
			omitLeft(prog.body, i-1, true)
		}
		if s.inlineIfBlanks && before && after {
			omitRight(prog.body, i+1, false)
			if omitLeft(prog.body, i-1, false) {
				if p, ok := n.(*partial); ok {
					p.indent = trailingIndent.FindString(prog.body[i-1].(*content).original)
				}
			}
		}
		outer, last := edges(n)
		if s.openAlone && before && outer != nil {
			omitRight(outer.body, 0, false)
			omitLeft(prog.body, i-1, false)
		}
		if s.closeAlone && after && last != nil {
			omitRight(prog.body, i+1, false)
			omitLeft(last.body, len(last.body)-1, false)
		}
	}
}

// edges are the programs of a block that touch its opening and closing tags.
func edges(n node) (first, last *program) {
	switch n := n.(type) {
	case *block:
		first, last = n.program, n.inverse
		if first == nil {
			first = n.inverse
		}
		if last == nil {
			last = n.program
		}
	case *partial:
		first, last = n.fallback, n.fallback
	}
	return first, last
}

func stripNode(n node) (standing, bool) {
	switch n := n.(type) {
	case *mustache:
		return standing{open: n.strip.open, close: n.strip.close}, true
	case *comment:
		return standing{open: n.strip.open, close: n.strip.close, inlineIfBlanks: true}, true
	case *partial:
		if n.isBlock {
			return stripBlock(&block{program: n.fallback, openStrip: n.openStrip, closeStrip: n.closeStrip}), true
		}
		return standing{open: n.strip.open, close: n.strip.close, inlineIfBlanks: true}, true
	case *block:
		return stripBlock(n), true
	}
	return standing{}, false
}

func stripBlock(b *block) standing {
	stripProgram(b.program, false)
	stripProgram(b.inverse, false)
	prog, inverse := b.program, b.inverse
	if prog == nil {
		prog, inverse = b.inverse, nil
	}
	firstInverse, lastInverse := inverse, inverse
	if inverse != nil && inverse.chained {
		firstInverse = inverse.body[0].(*block).program
		for lastInverse.chained {
			lastInverse = lastInverse.body[len(lastInverse.body)-1].(*block).program
		}
	}
	closing := prog
	if firstInverse != nil {
		closing = firstInverse
	}
	s := standing{
		open:       b.openStrip.open,
		close:      b.closeStrip.close,
		openAlone:  blankAfter(prog.body, -1, false),
		closeAlone: blankBefore(closing.body, len(closing.body), false),
	}
	if b.openStrip.close {
		omitRight(prog.body, 0, true)
	}
	if inverse == nil {
		if b.closeStrip.open {
			omitLeft(prog.body, len(prog.body)-1, true)
		}
		return s
	}
	if b.inverseStrip.open {
		omitLeft(prog.body, len(prog.body)-1, true)
	}
	if b.inverseStrip.close {
		omitRight(firstInverse.body, 0, true)
	}
	if b.closeStrip.open {
		omitLeft(lastInverse.body, len(lastInverse.body)-1, true)
	}
	if blankBefore(prog.body, len(prog.body), false) && blankAfter(firstInverse.body, -1, false) {
		omitLeft(prog.body, len(prog.body)-1, false)
		omitRight(firstInverse.body, 0, false)
	}
	return s
}

func at(body []node, i int) node {
	if i < 0 || i >= len(body) {
		return nil
	}
	return body[i]
}

func blankBefore(body []node, i int, root bool) bool {
	prev := at(body, i-1)
	if prev == nil {
		return root
	}
	c, ok := prev.(*content)
	if !ok {
		return false
	}
	if at(body, i-2) != nil || !root {
		return endsLine.MatchString(c.original)
	}
	return endsLineOrStart.MatchString(c.original)
}

func blankAfter(body []node, i int, root bool) bool {
	next := at(body, i+1)
	if next == nil {
		return root
	}
	c, ok := next.(*content)
	if !ok {
		return false
	}
	if at(body, i+2) != nil || !root {
		return beginsLine.MatchString(c.original)
	}
	return beginsLineOrEnd.MatchString(c.original)
}

// omitRight removes blanks at the beginning of the text at i: all of them, or
// what is left of a line.
func omitRight(body []node, i int, all bool) {
	c, ok := at(body, i).(*content)
	if !ok || !all && c.rightStripped {
		return
	}
	pattern := leadingRestLine
	if all {
		pattern = leadingBlanks
	}
	value := pattern.ReplaceAllString(c.value, "")
	c.rightStripped = value != c.value
	c.value = value
}

// omitLeft removes blanks at the end of the text at i: all of them, or an
// indent.
func omitLeft(body []node, i int, all bool) bool {
	c, ok := at(body, i).(*content)
	if !ok || !all && c.leftStripped {
		return false
	}
	pattern := trailingIndent
	if all {
		pattern = trailingBlanks
	}
	value := pattern.ReplaceAllString(c.value, "")
	c.leftStripped = value != c.value
	c.value = value
	return c.leftStripped
}
