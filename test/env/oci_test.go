package main

import (
	"archive/tar"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestBusyboxTree(t *testing.T) {
	tree := busyboxTree([]byte("elf"), []string{"usr/bin/env", "bin/sh", "bin/busybox", "linuxrc", "opt/odd/x"}, "x", "a name")
	layer, err := layerOf(tree)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]string{} // what matters of each file
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h.FileInfo().Mode().String() + " " + h.Linkname
	}
	for name, want := range map[string]string{
		"bin/busybox": "-rwxr-xr-x ",
		"bin/sh":      "Lrwxrwxrwx /bin/busybox",
		"usr/bin/env": "Lrwxrwxrwx /bin/busybox",
		"tmp/":        "dtrwxrwxrwx ",
		"etc/passwd":  "-rw-r--r-- ",
		"linuxrc":     "",
		"opt/odd/x":   "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// An index is the same whenever it is made, and a registry gives it back whole.
func TestPushIndex(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")

	var digests []v1.Hash
	for range 2 {
		idx := testIndex(t)
		digest, err := idx.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
		if err := pushIndex(t.Context(), address, "library/x", []string{"1", "latest"}, idx); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("made twice: %s and %s", digests[0], digests[1])
	}
	ref, err := name.ParseReference(address + "/library/x:latest")
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(back); err != nil {
		t.Error(err)
	}
	manifest, err := back.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7"}, platforms); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	for tag, want := range map[string]bool{"1": true, "latest": true, "2": false} {
		if got := inRegistry(t.Context(), address, "library/x", tag); got != want {
			t.Errorf("inRegistry(%s) = %v, want %v", tag, got, want)
		}
	}
	server.Close()
	if inRegistry(t.Context(), address, "library/x", "1") {
		t.Error("a registry that is gone has a tag")
	}
}

func testIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	var images []platformImage
	for _, a := range archs {
		layer, err := layerOf(busyboxTree([]byte(a.debian), []string{"bin/sh"}, "x", "x"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := imageOf(a.platform, v1.Config{Cmd: []string{"/bin/sh"}}, layer)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, platformImage{a.platform, img})
	}
	return indexOf(images...)
}

// The runtime takes the capability out wherever it stands, leaves JSON, and
// hands every argument on.
func TestRuncScript(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := write("withheld", string(runcScript), 0o755)
	write("runc", "#!/bin/sh\nprintf '%s|' \"$@\"\n", 0o755)
	tests := []struct{ before, after string }{
		{`{"bounding":["CAP_A","CAP_SYS_RESOURCE","CAP_B"]}`, `{"bounding":["CAP_A","CAP_B"]}`},
		{`{"bounding":["CAP_SYS_RESOURCE","CAP_B"],"x":["CAP_B","CAP_SYS_RESOURCE"]}`, `{"bounding":["CAP_B"],"x":["CAP_B"]}`},
		{`{"bounding":["CAP_SYS_RESOURCE"]}`, `{"bounding":[]}`},
		{`{"bounding":["CAP_A"]}`, `{"bounding":["CAP_A"]}`},
	}
	for _, tt := range tests {
		config, process := write("config.json", tt.before, 0o644), write("process", tt.before, 0o644)
		c := exec.Command(script, "--root", "/r", "exec", "--bundle", dir, "--process", process, "a b")
		c.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if want := "--root|/r|exec|--bundle|" + dir + "|--process|" + process + "|a b|"; string(out) != want {
			t.Errorf("runc got %q, want %q", out, want)
		}
		for _, path := range []string{config, process} {
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.after {
				t.Errorf("%s: %s became %s (%v), want %s", filepath.Base(path), tt.before, got, err, tt.after)
			}
		}
	}
}
