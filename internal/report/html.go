package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"sync"
)

//go:embed page.html
var pageText string

//go:embed page.css
var style string

// page is everything of the HTML file but its facts. html/template escapes these
// by the place where they stand.
var page = sync.OnceValue(func() *template.Template { return template.Must(template.New("page.html").Parse(pageText)) })

// policy lets a browser load nothing and run nothing: the one style sheet is in
// the file, and known by its digest.
func policy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

// HTML writes the report as one file that needs no network and no JavaScript.
// The same build gives the same bytes.
func (b Build) HTML(w io.Writer) error {
	return page().Execute(w, struct {
		view
		Policy string
		Style  template.CSS
	}{b.view(), policy(), template.CSS(style)})
}
