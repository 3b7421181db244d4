package handlebars_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hullwright/hullwright/internal/meta/handlebars"
)

func constant(v any) handlebars.Func {
	return func(handlebars.Call) (any, error) { return v, nil }
}

var context = map[string]any{
	"branch": constant("feat/a&b"), "tag": constant(""), "html": "<'`=\">", "zero": 0.0, "num": 12.0, "yes": true, "no": false,
	"list": []any{"x", "y"}, "none": []any{}, "build": []any{"b", "1"},
	"object":  map[string]any{"a": "A", "b c": "B"},
	"partial": "p",
	"date": handlebars.Func(func(c handlebars.Call) (any, error) {
		if len(c.Args) != 1 {
			return nil, errors.New("one format")
		}
		tz, _ := c.Hash["tz"].(string)
		return handlebars.String(c.Args[0]) + tz, nil
	}),
}

// The results are those of Handlebars.js 4.7.9.
var renders = map[string]string{
	``:                                    ``,
	`text } }} { {x}`:                     `text } }} { {x}`,
	`{{branch}}`:                          `feat/a&amp;b`,
	`{{  branch	}}`:                       `feat/a&amp;b`,
	`{{{branch}}}`:                        `feat/a&b`,
	`{{&branch}}`:                         `feat/a&b`,
	`{{html}}`:                            `&lt;&#x27;&#x60;&#x3D;&quot;&gt;`,
	`a  {{~num~}}  b`:                     `a12b`,
	`a{{! c }}b{{!-- }} --}}c`:            `abc`,
	`{{!--}}x{{!-}}y{{!}}`:                `xy`,
	`\{{branch}} {{num}}`:                 `{{branch}} 12`,
	`\\{{num}}`:                           `\12`,
	`{{nope}}{{nope.x}}`:                  ``,
	`{{this.branch}}{{./num}}`:            `feat/a&amp;b12`,
	`{{@root.branch}}`:                    `feat/a&amp;b`,
	`{{[branch]}}{{'num'}}`:               `feat/a&amp;b12`,
	`{{../branch}}`:                       ``,
	`{{constructor}}{{toString}}`:         ``,
	`{{12}}{{true}}{{null}}{{undefined}}`: ``,
	`{{zero}}{{no}}{{yes}}`:               `0falsetrue`,
	`{{list}}{{list.length}}{{list.[1]}}{{object.[b c]}}`: `x,y2yB`,
	`{{object}}`:                                                                `[object Object]`,
	`{{date "Y" tz='Z'}}`:                                                       `YZ`,
	`{{date 'it\'s'}}`:                                                          `it&#x27;s`,
	`{{date nope}}`:                                                             ``,
	`{{#if branch}}y{{else}}n{{/if}}`:                                           `y`,
	`{{#if tag}}y{{else}}n{{/if}}`:                                              `n`,
	`{{#if zero}}y{{else}}n{{/if}}`:                                             `n`,
	`{{#if zero includeZero=true}}y{{else}}n{{/if}}`:                            `y`,
	`{{#if none}}y{{else if num}}e{{else}}n{{/if}}`:                             `e`,
	`{{#unless tag}}no{{/unless}}`:                                              `no`,
	`{{^if tag}}no{{/if}}`:                                                      `no`,
	`{{#tag}}empty is rendered{{/tag}}`:                                         `empty is rendered`,
	`{{^tag}}never{{/tag}}`:                                                     ``,
	`{{#no}}a{{^}}b{{/no}}`:                                                     `b`,
	`{{#nope}}a{{else}}b{{/nope}}`:                                              `b`,
	`{{#list}}<{{this}}>{{/list}}`:                                              `<x><y>`,
	`{{#each list}}{{@index}}{{@first}}{{@last}}{{.}} {{/each}}`:                `0truefalsex 1falsetruey `,
	`{{#each object}}{{@key}}={{this}} {{/each}}`:                               `a=A b c=B `,
	`{{#each list as |v k|}}{{k}}{{v}}{{/each}}`:                                `0x1y`,
	`{{#each none}}a{{else}}b{{/each}}`:                                         `b`,
	`{{#with branch}}{{this}}{{length}}{{/with}}`:                               `feat/a&amp;b8`,
	`{{#with branch as |b|}}{{b}}{{/with}}`:                                     `feat/a&amp;b`,
	`{{#with object}}{{a}}{{../num}}{{@root.num}}{{num}}{{/with}}`:              `A1212`,
	`{{lookup list 1}}{{lookup object "b c"}}{{lookup tag 1}}`:                  `yB`,
	`{{date (lookup object 'a')}}`:                                              `A`,
	`{{#*inline "p"}}[{{k}}{{num}}]{{/inline}}{{> p}}{{> p k=1}}{{> p object}}`: `[12][112][]`,
	`{{> p}}{{#*inline "p"}}later{{/inline}}`:                                   `later`,
	`{{> (lookup this 'partial')}}{{#*inline "p"}}dynamic{{/inline}}`:           `dynamic`,
	`{{#> p}}fallback {{num}}{{/p}}`:                                            `fallback 12`,
	`{{#*inline "p"}}<{{> @partial-block}}>{{/inline}}{{#> p}}in{{/p}}`:         `<in>`,
	"a\n  {{#if yes}}  \nb\n  {{/if}}\nc":                                       "a\nb\nc",
	"a\n  {{! alone }}\nb":                                                      "a\nb",
	"{{#if no}}\nx\n{{else}}\ny\n{{/if}}\n":                                     "y\n",
	"{{#*inline \"p\"}}\nx\ny\n{{/inline}}\n  {{> p}}\n":                        "  x\n  y\n",
	"{{~#if yes~}} \n x \n {{~/if~}}":                                           `x`,
	`{{{{yes}}}}{{num}}{{{{/yes}}}}`:                                            `{{num}}`,
	`{{#yes}}{{else}}{{/yes}}`:                                                  ``,
	`{{elsewhere}}`:                                                             ``,
	`${{ github.ref }}`:                                                         `$`,
}

func TestRender(t *testing.T) {
	for text, want := range renders {
		parsed, err := handlebars.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := parsed.Render(context); err != nil || got != want {
			t.Errorf("%s: got %q, want %q, error %v", text, got, want, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{{`:                          "Parse error on line 1",
		"a\n{{branch}":                "Parse error on line 2",
		`{{branch`:                    "Parse error on line 1",
		`{{{branch}}`:                 "Parse error on line 1",
		`{{{{branch}}}}`:              "Parse error on line 1",
		`{{#if x}}`:                   "Parse error on line 1",
		`{{#if x}}{{/unless}}`:        "if doesn't match unless",
		`{{/if}}`:                     "Parse error on line 1",
		`{{else}}`:                    "Parse error on line 1",
		`{{a/../b}}`:                  "invalid path: a/..",
		`{{date 'x}}`:                 "Parse error on line 1",
		`{{(lookup a b)}}`:            "Parse error on line 1",
		`{{!-- never closed }}`:       "Parse error on line 1",
		`{{lower branch}}`:            `Missing helper: "lower"`,
		`{{#lower branch}}{{/lower}}`: `Missing helper: "lower"`,
		`{{num 'x'}}`:                 `"num" is not a function`,
		`{{date}}`:                    "one format",
		`{{> foo}}`:                   "The partial foo could not be found",
		`{{* foo}}`:                   `unknown decorator "foo"`,
		`{{#* foo}}{{/foo}}`:          `unknown decorator "foo"`,
		`{{#if}}x{{/if}}`:             "#if requires exactly one argument",
		`{{#with a b}}x{{/with}}`:     "#with requires exactly one argument",
		`{{if yes}}`:                  "needs a block",
		`{{#*inline "p"}}{{> p}}{{/inline}}{{> p}}`:           "nested too deep",
		strings.Repeat("{{#if yes}}", 300):                    "nested too deep",
		`{{lookup (lookup ` + strings.Repeat("(lookup ", 300): "nested too deep",
	} {
		parsed, err := handlebars.Parse(text)
		if err == nil {
			_, err = parsed.Render(context)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want %q", text, err, want)
		}
	}
}

func TestName(t *testing.T) {
	for text, want := range map[string]string{
		`{{raw}}`: "raw", `{{ raw }}`: "raw", `{{{raw}}}`: "raw", `{{this.raw}}`: "raw", `{{&raw}}`: "raw",
		`{{raw}}x`: "", `{{raw}}{{raw}}`: "", `{{raw.x}}`: "", `{{raw 'x'}}`: "", `raw`: "", `{{#raw}}{{/raw}}`: "", `{{@raw}}`: "", `{{../raw}}`: "", `{{version}}`: "version",
	} {
		parsed, err := handlebars.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed.Name(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[float64]string{0: "0", 1: "1", -1.5: "-1.5", 1e21: "1e+21", 1e20: "100000000000000000000", 1.5e-7: "1.5e-7", 123456789012: "123456789012"} {
		if got := handlebars.Number(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for text := range renders {
		f.Add(text)
	}
	f.Add("{{replace (lower branch) 'a' 'b'}}{{slice html -1 2}}{{split branch '/'}}{{default tag (upper num)}}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := handlebars.Parse(text)
		if err != nil {
			return
		}
		got, err := parsed.Render(context)
		if err == nil && !strings.Contains(text, "{{") && got != text {
			t.Errorf("%q has no mustache and gives %q", text, got)
		}
		with, withErr := parsed.RenderWith(handlebars.TextHelpers(), context)
		if err == nil && (withErr != nil || with != got) {
			t.Errorf("%q gives %q, and with helpers %q, %v", text, got, with, withErr)
		}
	})
}
