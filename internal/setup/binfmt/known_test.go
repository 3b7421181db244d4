package binfmt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022": "7.2.22",
		"qemu-arm version 4.2.1 (Debian 1:4.2-3ubuntu6.30)":                                      "4.2.1",
		"binfmt/14ebeca qemu/v9.2.0 go/1.23.6":                                                   "9.2.0",
		"docker.io/tonistiigi/binfmt:qemu-v10.2.3-68":                                            "10.2.3",
		"docker.io/tonistiigi/binfmt:qemu-v7.0.0":                                                "7.0.0",
		"qemu-riscv64 version 10.0":                                                              "10.0.0",
		"docker.io/tonistiigi/binfmt:latest":                                                     "",
		"10.2.3":                                                                                 "",
	} {
		v, ok := ParseVersion(text)
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("%q: %s, %t", text, v, ok)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("qemu-arm version 7.2.22")
	f.Add("qemu/v9.2.0")
	f.Add("version 99999999999999999999999.1")
	f.Fuzz(func(t *testing.T, text string) {
		if v, ok := ParseVersion(text); ok {
			if again, ok := ParseVersion("qemu/v" + v.String()); !ok || again != v {
				t.Errorf("%q became %s", text, v)
			}
		}
	})
}

func TestKnown(t *testing.T) {
	for _, tt := range []struct{ arch, version, want string }{
		{"arm64", "qemu/v4.2.1", "moby/issues/43039"},
		{"arm", "qemu/v4.2.1", ""},
		{"arm64", "qemu/v5.0.1", ""},
		{"arm64", "qemu/v5.2.0", "buildx/issues/542"},
		{"s390x", "qemu/v7.0.0", "binfmt/issues/215"},
		{"arm64", "qemu-arm version 7.2.14", "binfmt/issues/215"},
		{"arm64", "qemu-arm version 7.2.22", ""},
		{"ppc64le", "qemu/v8.0.4", "binfmt/issues/215"},
		{"arm64", "qemu/v8.1.5", ""},
		{"arm64", "qemu-aarch64 version 8.2.2", "binfmt/issues/240"},
		{"arm", "qemu-arm version 8.2.2", ""},
		{"arm64", "qemu/v9.2.0", "binfmt/issues/240"},
		{"arm64", "qemu/v10.0.4", ""},
		{"arm64", "qemu/v10.1.3", "binfmt/issues/298"},
		{"arm64", "qemu/v10.2.3", ""},
	} {
		v, ok := ParseVersion(tt.version)
		if !ok {
			t.Fatal(tt.version)
		}
		got, found := Known(tt.arch, v)
		if found != (tt.want != "") || !strings.Contains(got.Source, tt.want) {
			t.Errorf("%s %s: %+v", tt.arch, v, got)
		}
	}
}

func TestVersionOf(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := VersionOf(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for name, path := range map[string]string{
		"fails": script("fails", "exit 3"), "silent": script("silent", "echo hello"), "directory": dir,
	} {
		if v, err := VersionOf(t.Context(), path); err == nil {
			t.Errorf("%s: %s", name, v)
		}
	}
	// A link of Debian's kind.
	good := script("qemu-x-static", `[ "${0##*/}" = qemu-x-static ] && echo qemu-x version 7.2.22`)
	link := filepath.Join(dir, "x-binfmt-P")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	if v, err := VersionOf(t.Context(), link); err != nil || v != (Version{7, 2, 22}) {
		t.Errorf("%s, %v", v, err)
	}
}
