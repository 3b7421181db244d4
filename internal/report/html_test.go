package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/moby/buildkit/client"

	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/progress"
	"github.com/hullwright/hullwright/internal/registry"
)

// elements are those that the page is made of. None of them loads anything.
var elements = strings.Fields(`html head meta title style body header main footer section h1 h2 p dl div dt dd a code pre table thead tbody tr th td
	ul ol li span strong br fieldset legend label input svg line text rect title time`)

// attributes are those that the page has. None of them runs anything.
var attributes = strings.Fields(`lang charset http-equiv content name class id href datetime role aria-labelledby aria-label aria-hidden tabindex
	scope colspan title width height x y x1 x2 y1 y2 dx rx type checked`)

// parse gives the page's elements in order.
func parse(t *testing.T, b Build) (page string, nodes []*html.Node) {
	t.Helper()
	var out bytes.Buffer
	if err := b.HTML(&out); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			nodes = append(nodes, n)
		}
	}
	return out.String(), nodes
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// hostile is a build all of whose text is written by a stranger.
func hostile(t *testing.T, text string) Build {
	b := failed(t)
	b.Name, b.Builder, b.Driver, b.Version = text, text, text, text
	b.Nodes = []Node{{Name: text, BuildKit: text, Platforms: []string{text}}, {Name: "b"}}
	b.Tags = []registry.Written{{Tag: text, Before: text, Status: text, Reason: text}}
	b.Pushed = release(t).Pushed
	b.Pushed[0].Repository, b.Pushed[0].Platforms[0].Platform = text, text
	b.Digest, b.Attests, b.Outputs = text, []string{text}, []Output{{Type: text, Dest: text}}
	b.Failures = []Failure{{Message: text + "\n" + text, Hints: []string{text}}}
	b.Source = Source{Repository: text, Commit: text, CommitURL: text, Ref: text, Job: text}
	b.Inputs = []input.Value{{Name: "labels", Entries: []string{text}, List: true}}
	for i := range b.Summary.Steps {
		b.Summary.Steps[i].Name = "[" + text + " 2/3] " + text
		b.Summary.Steps[i].Error = text
	}
	b.Summary.Steps = append(b.Summary.Steps, progress.Step{Name: "importing cache manifest from " + text, Error: text})
	b.Summary.Warnings = []client.VertexWarning{{Short: []byte(text), Detail: [][]byte{[]byte(text)}, URL: text}}
	return b
}

var attacks = []string{
	`</style></title></pre></code></table><script>alert(1)</script>`,
	`"><img src=https://evil.example/x onerror=alert(1)>`,
	`javascript:alert(1)`, `data:text/html,<script>alert(1)</script>`, `https://evil.example/" onmouseover="alert(1)`,
	`{{.Style}}`, "`${alert(1)}`", `<!--`, `]]>`, `' onload='x`, "\x1b]8;;https://evil.example\x07x", "\u202ex", `</summary></details>`, "```\n<b>",
	`| a | b |`, `[x](javascript:alert(1))`, `@everyone`, `::error::x`, "##[set-output name=digest]x",
}

// Nothing that a stranger wrote becomes a part of the page: it has the elements
// and attributes of the template, and no more.
func TestHTMLIsInert(t *testing.T) {
	for _, attack := range attacks {
		page, nodes := parse(t, hostile(t, attack))
		for _, n := range nodes {
			if !contains(elements, n.Data) {
				t.Errorf("%q makes an element %s", attack, n.Data)
			}
			for _, a := range n.Attr {
				if !contains(attributes, a.Key) {
					t.Errorf("%q makes an attribute %s of %s", attack, a.Key, n.Data)
				}
			}
			if href := attribute(n, "href"); n.Data == "a" && !strings.HasPrefix(href, "https://") {
				t.Errorf("%q makes a link to %s", attack, href)
			}
		}
		if strings.ContainsAny(page, "\x1b\x07\u202e") {
			t.Errorf("%q is there with its controls", attack)
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if strings.EqualFold(e, s) {
			return true
		}
	}
	return false
}

// A browser may load and run nothing, and the page needs none of it.
func TestHTMLNeedsNoNetwork(t *testing.T) {
	page, nodes := parse(t, release(t))
	var policies, styles []string
	for _, n := range nodes {
		switch {
		case n.Data == "meta" && strings.EqualFold(attribute(n, "http-equiv"), "Content-Security-Policy"):
			policies = append(policies, attribute(n, "content"))
		case n.Data == "style":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			styles = append(styles, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		case attribute(n, "src") != "" || attribute(n, "style") != "" || n.Data == "link" || n.Data == "script":
			t.Errorf("the policy forbids %s with %v", n.Data, n.Attr)
		}
	}
	if len(policies) != 1 || len(styles) != 1 || !strings.Contains(policies[0], styles[0]) || !strings.HasPrefix(policies[0], "default-src 'none';") {
		t.Errorf("policies %q for styles %q", policies, styles)
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style sheet loads something")
	}
	if again, _ := parse(t, release(t)); again != page {
		t.Error("two reports of one build differ")
	}
}

// Who does not see the page can use it: every table has headings, every picture
// a name, every section a heading.
func TestHTMLIsAccessible(t *testing.T) {
	_, nodes := parse(t, failed(t))
	ids := map[string]bool{}
	for _, n := range nodes {
		if id := attribute(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two elements have the id %s", id)
			}
			ids[id] = true
		}
	}
	count := map[string]int{}
	for _, n := range nodes {
		count[n.Data]++
		switch n.Data {
		case "section":
			if by := attribute(n, "aria-labelledby"); !ids[by] {
				t.Errorf("a section is labeled by %q, which is not there", by)
			}
		case "th":
			if attribute(n, "scope") == "" {
				t.Error("a heading of a table does not say what it heads")
			}
		case "svg":
			if attribute(n, "aria-label") == "" && attribute(n, "aria-hidden") != "true" {
				t.Error("a picture has no name")
			}
		}
	}
	for _, one := range []string{"main", "header", "footer", "h1", "title"} {
		if one != "title" && count[one] != 1 {
			t.Errorf("%d elements %s, want 1", count[one], one)
		}
	}
}

// A secret is in none of the renderings, whatever text it came in.
func TestSecretsAreHidden(t *testing.T) {
	const secret = "hunter2-&<hunter2>"
	b := hostile(t, "before "+secret+" after")
	b.Hide = func(s string) string { return strings.ReplaceAll(s, secret, "***") }
	page, _ := parse(t, b)
	var text bytes.Buffer
	if err := b.Text(&text); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"html": page, "markdown": b.Markdown(), "text": text.String()} {
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s shows the secret", name)
		}
		if !strings.Contains(got, "***") && !strings.Contains(got, "&#42;&#42;&#42;") {
			t.Errorf("%s shows nothing in its place", name)
		}
	}
}
