package input

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestGrammar(t *testing.T) {
	lines, words := Grammar{}, Grammar{Commas: true}
	secrets, outputs := Grammar{Untrimmed: true}, Grammar{KeepQuotes: true}
	rules := Grammar{Comments: true}
	tests := map[string]struct {
		grammar Grammar
		text    string
		want    []Entry
	}{
		"words at commas and line breaks":   {words, "a,b\nc", []Entry{{1, "a"}, {1, "b"}, {2, "c"}}},
		"words are trimmed":                 {words, "a, b ,c", []Entry{{1, "a"}, {1, "b"}, {1, "c"}}},
		"words, a quoted comma":             {words, `"a,b",c`, []Entry{{1, "a,b"}, {1, "c"}}},
		"words, a quoted comma on its own":  {words, `"a,b"`, []Entry{{1, "a"}, {1, "b"}}},
		"lines keep commas, lose quotes":    {lines, `"a,b",c`, []Entry{{1, "a,b,c"}}},
		"lines, a quote within":             {lines, `a="x,y"`, []Entry{{1, `a="x,y"`}}},
		"words, a quote within":             {words, `a="x,y"`, []Entry{{1, `a="x`}, {1, `y"`}}},
		"outputs keep quotes":               {outputs, `type=image,"name=a,b",push=true`, []Entry{{1, `type=image,"name=a,b",push=true`}}},
		"lines do not":                      {lines, `type=image,"name=a,b",push=true`, []Entry{{1, "type=image,name=a,b,push=true"}}},
		"secrets over several lines":        {secrets, "KEY=l1\n\"KEY2=l1\nl2\"", []Entry{{1, "KEY=l1"}, {2, "KEY2=l1\nl2"}}},
		"secrets, doubled quotes":           {secrets, `"S=aa ""q"" bb"`, []Entry{{1, `S=aa "q" bb`}}},
		"lines, blanks":                     {lines, "A=1\n\n  B=2  \n", []Entry{{1, "A=1"}, {3, "B=2"}}},
		"secrets, blanks":                   {secrets, "A=1\n\n  B=2  \n", []Entry{{1, "A=1"}, {3, "  B=2  "}}},
		"no comments by default":            {lines, "# comment\nFOO=1", []Entry{{1, "# comment"}, {2, "FOO=1"}}},
		"comments":                          {rules, "# comment, \"x\na=1 # x\n  # y", []Entry{{2, "a=1 # x"}, {3, "# y"}}},
		"a comment after a field in quotes": {rules, `"a"#b`, []Entry{{1, "a#b"}}},
		"a closing quote that closes none":  {lines, `"a=x"y`, []Entry{{1, `"a=x"y`}}},
		"CRLF":                              {lines, "a\r\nb\r\nc", []Entry{{1, "a"}, {2, "b"}, {3, "c"}}},
		"LF after CRLF":                     {lines, "a\r\nb\nc", []Entry{{1, "a"}, {2, "b\nc"}}},
		"CRLF after LF":                     {lines, "a\nb\r\nc", []Entry{{1, "a"}, {2, "b"}, {3, "c"}}},
		"CR":                                {lines, "a\rb", []Entry{{1, "a"}, {2, "b"}}},
		"a line of blanks":                  {lines, "a\n \t\nb", []Entry{{1, "a"}, {3, "b"}}},
		"leading line breaks":               {lines, "\n\r\n a\nb", []Entry{{3, "a"}, {4, "b"}}},
		"JavaScript's blanks":               {lines, "\uFEFF\u00A0a\u2003\n\u0085b", []Entry{{1, "a"}, {2, "\u0085b"}}},
		"nothing":                           {lines, " \n ", nil},
		"only commas":                       {words, ",,", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.grammar.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestGrammarUnclosedQuote(t *testing.T) {
	for text, line := range map[string]int{
		`"unterminated`:        1,
		"a\n\"b\nc\n":          2,
		"\n\na\r\n\r\nx,\"b\n": 5,
		`"a""`:                 1,
	} {
		_, err := Grammar{}.Parse(text)
		var bad *errdefs.Error
		if !errors.As(err, &bad) || bad.Kind != errdefs.BadInput || bad.Line != line || bad.Hint == "" {
			t.Errorf("Parse(%q) = %v, want a bad input at line %d, with a hint", text, err, line)
		}
	}
}

// TestGrammarRecorded holds the grammar against what csv-parse 7.0.2 made of
// random texts, with the options of docker's actions. Entries of blanks only,
// which those actions pass on and then crash of, are left out of the recording.
func TestGrammarRecorded(t *testing.T) {
	raw, err := os.ReadFile("testdata/lists.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Grammar
		Text     string
		Want     []string
		Unclosed bool
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 300 {
		t.Fatalf("%d cases, want the 300 that were recorded", len(cases))
	}
	for _, c := range cases {
		entries, err := c.Parse(c.Text)
		if (err != nil) != c.Unclosed {
			t.Errorf("%q %+v: error %v, want one: %v", c.Text, c.Grammar, err, c.Unclosed)
			continue
		}
		got := make([]string, 0, len(entries))
		for _, e := range entries {
			got = append(got, e.Text)
		}
		if !c.Unclosed && !slices.Equal(got, c.Want) {
			t.Errorf("%q %+v:\n got %q\nwant %q", c.Text, c.Grammar, got, c.Want)
		}
	}
}

func TestParseRecord(t *testing.T) {
	got, err := ParseRecord(`Type = registry ,"ref=a,b",flag,=x,k=a=b,`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{{"type", "registry"}, {"ref", "a,b"}, {"", "flag"}, {"", "=x"}, {"k", "a=b"}, {"", ""}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = ParseRecord(`secret=hush,a="b"`)
	if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), "column 15") {
		t.Errorf("a bare quote: %v, want a bad input at column 15", err)
	}
	if err != nil && strings.Contains(err.Error(), "hush") {
		t.Errorf("%v repeats a value", err)
	}
}

func FuzzGrammar(f *testing.F) {
	f.Add("a,\"b\"\"\n\",c\r\n# d", uint8(0))
	f.Add(" \"x\"y\n\n", uint8(7))
	f.Fuzz(func(t *testing.T, text string, bits uint8) {
		g := Grammar{Commas: bits&1 > 0, Comments: bits&2 > 0, KeepQuotes: bits&4 > 0, Untrimmed: bits&8 > 0}
		entries, err := g.Parse(text)
		if err != nil && (g.KeepQuotes || errdefs.KindOf(err) != errdefs.BadInput) {
			t.Fatal(err)
		}
		last := 1
		for _, e := range entries {
			if trim(e.Text) == "" || !g.Untrimmed && trim(e.Text) != e.Text {
				t.Errorf("entry %q is blank or not trimmed", e.Text)
			}
			if e.Line < last || e.Line > 1+countLines(text) {
				t.Errorf("entry %q is at line %d, after %d of %d", e.Text, e.Line, last, 1+countLines(text))
			}
			last = e.Line
			if _, err := ParseRecord(e.Text); err != nil && errdefs.KindOf(err) != errdefs.BadInput {
				t.Error(err)
			}
		}
	})
}
