package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRelease(t *testing.T) {
	tests := []struct {
		text string
		want host
	}{
		{"ID=debian\nVERSION_CODENAME=bookworm\n", host{debian: true, codename: "bookworm"}},
		{"NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", host{codename: "noble"}},
		{"ID=\"fedora\"\n", host{}},
		{"", host{}},
	}
	for _, tt := range tests {
		if got := parseRelease(tt.text); got != tt.want {
			t.Errorf("parseRelease(%q) = %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

func TestParseSources(t *testing.T) {
	deb822 := "# a comment\nTypes: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/debian.gpg\n"
	tests := []struct {
		name, text string
		want       source
		ok         bool
	}{
		{"deb822", deb822, source{"http://mirror.example/debian", "/usr/share/keyrings/debian.gpg"}, true},
		{"the second paragraph", strings.ReplaceAll(deb822, "bookworm", "bookworm-security") + "\n" + deb822, source{"http://mirror.example/debian", "/usr/share/keyrings/debian.gpg"}, true},
		{"a key in the file", strings.Replace(deb822, "/usr/share/keyrings/debian.gpg", "\n -----BEGIN PGP", 1), source{uri: "http://mirror.example/debian"}, true},
		{"one line", "# deb http://old.example bookworm main\ndeb http://mirror.example/debian bookworm main\n", source{uri: "http://mirror.example/debian"}, true},
		{"options", "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm contrib main", source{"http://mirror.example/debian", "/k.gpg"}, true},
		{"another release", "deb http://mirror.example/debian trixie main", source{}, false},
		{"another component", "deb http://mirror.example/debian bookworm contrib", source{}, false},
		{"sources only", "deb-src http://mirror.example/debian bookworm main", source{}, false},
		{"nothing", "", source{}, false},
		{"an open bracket", "deb [signed-by=/k.gpg http://mirror.example/debian bookworm main", source{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseSources(tt.text, "bookworm")
			if got != tt.want || ok != tt.ok {
				t.Errorf("parseSources = %+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add("Types: deb\nURIs: http://a\nSuites: s\nComponents: main\n")
	f.Add("deb [signed-by=/k] http://a s main")
	f.Add("deb ]")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parseSources(text, "s"); ok != (s.uri != "") {
			t.Errorf("parseSources(%q) = %+v, %v", text, s, ok)
		}
	})
}

func TestParseStat(t *testing.T) {
	// The name of a process may hold anything.
	stat := "42 (a) b ( c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3"
	start, state, err := parseStat(stat)
	if start != "987654" || state != "S" || err != nil {
		t.Errorf("parseStat = %q, %q, %v", start, state, err)
	}
	for _, bad := range []string{"", "42", "42 (a", "42 (a) S 1 2"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) has no error", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0")
	f.Fuzz(func(t *testing.T, stat string) {
		if start, state, err := parseStat(stat); err == nil && (start == "" || state == "") {
			t.Errorf("parseStat(%q) = %q, %q", stat, start, state)
		}
	})
}

func TestParseMounts(t *testing.T) {
	const mountinfo = `1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 0:1 / /env/engine/data/overlay rw - overlay overlay rw
3 1 0:2 / /environment rw - tmpfs tmpfs rw
4 1 0:3 / /env/a\040b rw - tmpfs tmpfs rw
5 1 0:4 / /env rw - tmpfs tmpfs rw
broken
`
	got := parseMounts(mountinfo, "/env")
	want := []string{"/env/a b", "/env/engine/data/overlay"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parseMounts (-want +got):\n%s", diff)
	}
}

func TestWithholds(t *testing.T) {
	tests := []struct {
		status string
		want   bool
		fails  bool
	}{
		{"Name:\tx\nCapBnd:\t000001fffeffffff\n", true, false},
		{"CapBnd:\t000001ffffffffff\n", false, false},
		{"CapBnd:\tno number\n", false, true},
		{"Name:\tx\n", false, true},
	}
	for _, tt := range tests {
		got, err := withholds(tt.status, capSysResource)
		if (err != nil) != tt.fails || err == nil && got != tt.want {
			t.Errorf("withholds(%q) = %v, %v", tt.status, got, err)
		}
	}
}

func TestQEMUVersion(t *testing.T) {
	for in, want := range map[string]string{
		"qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright\n": "v7.2.22",
		"qemu-aarch64 version 10.0.0\n":                                  "v10.0.0",
		"":                                                               "unknown",
	} {
		if got := qemuVersion([]byte(in)); got != want {
			t.Errorf("qemuVersion(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrefixPath(t *testing.T) {
	tests := []struct{ path, want string }{
		{"/usr/bin:/bin", "/a:/b:/usr/bin:/bin"},
		{"/b:/usr/bin:/a", "/a:/b:/usr/bin"},
		{"", "/a:/b"},
	}
	for _, tt := range tests {
		if got := prefixPath(tt.path, "/a", "/b"); got != tt.want {
			t.Errorf("prefixPath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"a b": "'a b'", "it's $HOME": `'it'\''s $HOME'`, "": "''"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestLayout(t *testing.T) {
	tests := []struct {
		environ map[string]string
		want    string // empty is an error
	}{
		{map[string]string{"HOME": "/home/a"}, "/home/a/.cache/hullwright/env"},
		{map[string]string{"HOME": "/home/a", "XDG_CACHE_HOME": "/c"}, "/c/hullwright/env"},
		{map[string]string{"HOME": "/home/a", "XDG_CACHE_HOME": "/c", "HULLWRIGHT_ENV_DIR": "/e"}, "/e"},
		{map[string]string{}, ""},
		{map[string]string{"HULLWRIGHT_ENV_DIR": "/" + strings.Repeat("long", 25)}, ""},
	}
	for _, tt := range tests {
		l, err := newLayout(tt.environ)
		if l.dir != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("newLayout(%v) = %q, %v, want %q", tt.environ, l.dir, err, tt.want)
		}
	}
}

func TestModFile(t *testing.T) {
	var m modFile
	m.Require = append(m.Require, struct{ Path, Version string }{"github.com/docker/buildx", "v1.2.3"}, struct{ Path, Version string }{"example.com/x", "v9.9.9"})
	m.Tool = append(m.Tool, struct{ Path string }{"github.com/docker/buildx/cmd/buildx"}, struct{ Path string }{"github.com/Shopify/toxiproxy/v2/cmd/server"})
	if got, want := m.ldflags(), "-s -w -X github.com/docker/buildx/version.Version=v1.2.3"; got != want {
		t.Errorf("ldflags = %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"buildx", "toxiproxy-server"}, m.programs()); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
}

func TestWriteFile(t *testing.T) {
	path := t.TempDir() + "/sub/file"
	for _, text := range []string{"one", "two"} {
		if err := writeFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("file holds %q, %v, want %q", got, err, text)
		}
	}
}
