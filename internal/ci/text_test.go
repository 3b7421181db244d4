package ci_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hullwright/hullwright/internal/ci"
)

func TestSanitize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain\ttext\nsecond é🚀\n", "plain\ttext\nsecond é🚀\n"},
		{"a\r\nb\r\n", "a\nb\n"},
		{"10%\r20%\r30%\n", "10%20%30%\n"},
		{"x\r::add-mask::e\n", "x::add-mask::e\n"},
		{"::set-output name=digest::x\n", ": :set-output name=digest::x\n"},
		{"  \t::error::x", "  \t: :error::x"},
		{"\u00a0\u2003::error::x", "\u00a0\u2003: :error::x"},
		{":\x00:warning::x", ": :warning::x"},
		{"\x1b[0m::debug::x", ": :debug::x"},
		{"std::vector<int> ::x", "std::vector<int> ::x"},
		{":::x", ": ::x"},
		{"##[set-output name=a]b", "## [set-output name=a]b"},
		{"text ##[command]x", "text ## [command]x"},
		{"###[group]x", "### [group]x"},
		{"##vso[task.setvariable variable=a]b", "##vso [task.setvariable variable=a]b"},
		{"##teamcity[message text='x']", "##teamcity [message text='x']"},
		{"##\x1b[1mvso[task.x]", "##vso [task.x]"},
		{"# [link] ## Heading [x]\n", "# [link] ## Heading [x]\n"},
		{"\x1b[31mred\x1b[0m \x1b]0;title\x07after \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "red after link"},
		{"\x1b]never closed\nnext line\n", "\nnext line\n"},
		{"\u009b31mred \u009dtitle\u009cafter", "red after"},
		{"\x1bcreset\x1b(B", "reset"},
		{"\x1b[0Ksection_end:1:build\r\x1b[0K\n", "section_end:1:build\n"},
		{"a\x00\x07\x08\x0b\x7f\u0085b", "ab"},
		{"good\u202eevil\u2066x\ufeff", "goodevilx"},
		{"bad \xff\xfe utf", "bad �� utf"},
		{"cut \xe2\x82", "cut �"},
	} {
		if got := ci.Clean(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
		var b strings.Builder
		w := ci.Sanitize(&b)
		if _, err := io.Copy(w, iotest.OneByteReader(strings.NewReader(c.in))); err != nil {
			t.Fatal(err)
		}
		if w.Close(); b.String() != c.want {
			t.Errorf("%q byte by byte: got %q, want %q", c.in, b.String(), c.want)
		}
	}
}

func TestSanitizeCutsLines(t *testing.T) {
	var b strings.Builder
	w := ci.Sanitize(&b)
	for range 1000 {
		io.WriteString(w, strings.Repeat("x", 1000))
	}
	io.WriteString(w, "\nnext\n")
	w.Close()
	if got := b.String(); len(got) > 66<<10 || !strings.HasSuffix(got, "… [line cut]\nnext\n") {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-40:])
	}
}

// What Sanitize takes many letters at a time it takes no other way by one.
func FuzzSanitizeByLetters(f *testing.F) {
	f.Add("a :: b ##[x] [y] :::\x1b[0m z\r\n ##a[b #[c\xff::")
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		w := ci.Sanitize(&b)
		for i := range len(s) {
			io.WriteString(w, s[i:i+1])
		}
		w.Close()
		if whole := ci.Clean(s); whole != b.String() {
			t.Errorf("%q: %q, by letters %q", s, whole, b.String())
		}
	})
}

func FuzzSecrets(f *testing.F) {
	f.Add("hunter22", "a hunter22 b", 4)
	f.Add("aaaa", "aaaaaaa", 3)
	f.Fuzz(func(t *testing.T, secret, text string, at int) {
		var s ci.Secrets
		s.Add(secret)
		hidden := s.Hide(text)
		var b strings.Builder
		w := s.Writer(&b)
		at = max(0, min(at, len(text)))
		io.WriteString(w, text[:at])
		io.WriteString(w, text[at:])
		w.Flush()
		if b.String() != hidden {
			t.Errorf("%q in %q cut at %d: %q, whole %q", secret, text, at, b.String(), hidden)
		}
		blotted := []byte(text)
		if s.Blot(blotted, true); len(blotted) != len(text) {
			t.Errorf("%q has another length: %q", text, blotted)
		}
		for _, line := range strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			line = strings.TrimSpace(line)
			if len(line) >= 4 && strings.Trim(line, "*") != "" && (strings.Contains(hidden, line) || strings.Contains(string(blotted), line)) {
				t.Errorf("%q shows %q: %q, %q", text, line, hidden, blotted)
			}
		}
	})
}

func FuzzSanitize(f *testing.F) {
	f.Add("::a\n##[x]\x1b[0m\r\xff", 3)
	f.Fuzz(func(t *testing.T, s string, at int) {
		whole := ci.Clean(s)
		var b strings.Builder
		w := ci.Sanitize(&b)
		at = max(0, min(at, len(s)))
		io.WriteString(w, s[:at])
		io.WriteString(w, s[at:])
		w.Close()
		if b.String() != whole {
			t.Errorf("%q cut at %d: %q, whole: %q", s, at, b.String(), whole)
		}
		if strings.ContainsAny(whole, "\r\x1b\x00") || strings.Contains(whole, "##[") || strings.Contains(whole, "##vso[") {
			t.Errorf("%q lets through %q", s, whole)
		}
		for line := range strings.Lines(whole) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") {
				t.Errorf("%q lets through a command: %q", s, whole)
			}
		}
	})
}

func TestFence(t *testing.T) {
	var out bytes.Buffer
	p := detect(t, ci.Host{Environ: map[string]string{"GITHUB_ACTIONS": "true"}, Stdout: io.Discard, Stderr: io.Discard})
	tokens := map[string]bool{}
	for _, text := range []string{"log\n", "::set-output name=a::b", "", "::stop-commands::x\n"} {
		out.Reset()
		w, err := ci.Foreign(p, &out)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil { // a second Close is idle
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		token := strings.TrimPrefix(lines[0], "::stop-commands::")
		if len(token) != 32 || lines[len(lines)-1] != "::"+token+"::" || strings.Count(out.String(), "\n::") != 1 {
			t.Errorf("%q: %q", text, out.String())
		}
		tokens[token] = true
	}
	if len(tokens) != 4 {
		t.Errorf("tokens repeat: %v", tokens)
	}
	out.Reset()
	w, err := ci.Foreign(detect(t, ci.Host{Environ: map[string]string{}}), &out)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "##[x]\r\n")
	if w.Close(); out.String() != "## [x]\n" {
		t.Errorf("without a fence: %q", out.String())
	}
}

func TestRedactor(t *testing.T) {
	var out strings.Builder
	r := ci.NewRedactor(&out)
	p := detect(t, ci.Host{Environ: map[string]string{"GITLAB_CI": "true"}, Stdout: io.Discard, Stderr: r})
	p.Mask("hunter22")
	p.Mask("hunter22-long\nline two of it\nabc\n")
	p.Mask("")
	for _, part := range []string{"a hunter22 b hun", "ter22", "-lo", "ng c hunter22-los ", "line two", " of it abc hunt"} {
		if n, err := io.WriteString(r, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "a *** b *** c ***-los *** abc hunt"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Programs print secrets in encodings: a header's base64, an address, a JSON
// document. What is known in one form is hidden in all.
func TestSecretsAreHiddenInEveryForm(t *testing.T) {
	const secret = `pa"ss w/ö&d+<1>`
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nab\nxyzxyzxyzxyzxyz=\n-----END KEY-----\n"
	var s ci.Secrets
	s.Add(secret)
	s.Add(pem)
	s.Add("abc")
	s.Add("")
	for name, c := range map[string]struct{ text, want string }{
		"plain":               {"x " + secret + " y", "x *** y"},
		"base64":              {"x cGEic3Mgdy/DtiZkKzwxPg== y", "x *** y"},
		"base64, URL's":       {"x cGEic3Mgdy_DtiZkKzwxPg== y", "x *** y"},
		"basic authorization": {base64.StdEncoding.EncodeToString([]byte("ada:" + secret + "!")), "YWRhOnBh***MT4h"},
		"shifted once":        {base64.StdEncoding.EncodeToString([]byte("u:" + secret)), ""},
		"shifted twice":       {base64.StdEncoding.EncodeToString([]byte("u:p" + secret)), ""},
		"query":               {"?t=pa%22ss+w%2F%C3%B6%26d%2B%3C1%3E&", "?t=***&"},
		"component":           {"?t=pa%22ss%20w%2F%C3%B6%26d%2B%3C1%3E&", "?t=***&"},
		"JSON":                {`{"t":"pa\"ss w/ö&d+<1>"}`, `{"t":"***"}`},
		"JSON for HTML":       {`{"t":"pa\"ss w/ö\u0026d+\u003c1\u003e"}`, `{"t":"***"}`},
		"a key's line":        {"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "***"},
		"a key as JSON":       {`"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nab\nxyzxyzxyzxyzxyz=\n-----END KEY-----"`, `"***"`},
		"too short":           {"abc ab", "abc ab"},
		"split over lines":    {"pa\"ss\nw/ö&d+<1>", "pa\"ss\nw/ö&d+<1>"}, // as documented
	} {
		got := s.Hide(c.text)
		if c.want == "" && (!strings.Contains(got, "***") || len(got) > 14) || c.want != "" && got != c.want {
			t.Errorf("%s: %q becomes %q, want %q", name, c.text, got, c.want)
		}
	}
	// A whole file in base64 has line breaks of its own.
	for line := range strings.Lines(wrap(base64.StdEncoding.EncodeToString([]byte(strings.TrimSpace(pem))))) {
		if got := s.Hide(line); got != "***\n" {
			t.Errorf("a line of the key's base64: %q becomes %q", line, got)
		}
	}
	if got := (*ci.Secrets)(nil).Hide("x"); got != "x" {
		t.Errorf("without secrets: %q", got)
	}
}

func wrap(text string) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), 76) {
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func TestBlotKeepsTheLength(t *testing.T) {
	var s ci.Secrets
	s.Add("hunter22")
	p := []byte("a hunter22 b hunter22hunt")
	if partial := s.Blot(p, false); partial != 4 || string(p) != "a ******** b ********hunt" {
		t.Errorf("%d, %q", partial, p)
	}
	if partial := s.Blot(p[len(p)-4:], true); partial != 0 {
		t.Errorf("at the end %d bytes may be more", partial)
	}
}
