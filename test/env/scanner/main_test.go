package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, dir, name string) document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.PredicateType != "https://spdx.dev/Document" {
		t.Errorf("%s has the predicate type %q", name, s.PredicateType)
	}
	return s.Predicate
}

func TestRun(t *testing.T) {
	sources := tree(t, map[string]string{
		"core/sbom/var/lib/dpkg/status":         "Package: adduser\nStatus: install ok installed\nVersion: 3.134\nArchitecture: all\nDescription: add\n  and: remove\n\nPackage: bash\nVersion: 5.2.15-2+b7\nArchitecture: amd64\n",
		"core/sbom/hello":                       "hello\n",
		"extras/sbom-base/lib/apk/db/installed": "C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\n\n",
	})
	// A link must neither be followed nor be taken for a file.
	if err := os.Symlink("/etc/passwd", filepath.Join(sources, "core/sbom/passwd")); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := run(out, filepath.Join(sources, "core/sbom"), filepath.Join(sources, "extras"), noon); err != nil {
		t.Fatal(err)
	}

	core := read(t, out, "sbom.spdx.json")
	type named struct{ Name, Version, Locator string }
	names := func(d document) []named {
		var list []named
		for _, p := range d.Packages {
			list = append(list, named{p.Name, p.Version, p.References[0].Locator})
		}
		return list
	}
	if diff := cmp.Diff([]named{
		{"adduser", "3.134", "pkg:deb/debian/adduser@3.134?arch=all"},
		{"bash", "5.2.15-2+b7", "pkg:deb/debian/bash@5.2.15-2+b7?arch=amd64"},
	}, names(core)); diff != "" {
		t.Errorf("packages of the core (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(spdxFile{ID: "SPDXRef-File-0", Name: "/hello", Checksums: []checksum{
		{"SHA1", "f572d396fae9206628714fb2ce00f72e94f2258f"},
		{"SHA256", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"},
	}}, core.Files[0]); diff != "" || len(core.Files) != 2 {
		t.Errorf("%d files of the core, want 2 (-want +got):\n%s", len(core.Files), diff)
	}
	if len(core.Relationships) != 4 || core.Creation.Created != "2025-01-01T12:00:00Z" {
		t.Errorf("the document is %+v", core)
	}
	if diff := cmp.Diff([]named{{"musl", "1.2.5-r0", "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64"}}, names(read(t, out, "sbom-base.spdx.json"))); diff != "" {
		t.Errorf("packages of the extra (-want +got):\n%s", diff)
	}
}

func TestRunFaults(t *testing.T) {
	root := tree(t, map[string]string{"root/file": "x"})
	for _, tt := range []struct{ name, destination, source, extras, want string }{
		{"no destination", "", filepath.Join(root, "root"), "", "no BUILDKIT_SCAN_DESTINATION"},
		{"no source", root, "", "", "no BUILDKIT_SCAN_SOURCE"},
		{"a source that is not there", root, filepath.Join(root, "none"), "", "no such file"},
		{"a destination that is not there", filepath.Join(root, "none"), filepath.Join(root, "root"), "", "no such file"},
		{"extras that are not there", root, filepath.Join(root, "root"), filepath.Join(root, "none"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := run(tt.destination, tt.source, tt.extras, noon)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("run: %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add("Package: a\nVersion: 1\n\nPackage: b\n")
	f.Add("P:musl\nV:1\n\n\n")
	f.Add(" : \n:")
	f.Fuzz(func(t *testing.T, text string) {
		records, err := parseRecords(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, r := range records {
			if len(r) == 0 {
				t.Errorf("an empty record in %q", text)
			}
		}
	})
}
